//! Options of how a training goes, beside its learning rate and momentum.

use std::{fmt, str::FromStr};

use clap::{Args, ValueEnum};
use ringlet_core::{
    model::InitialWeights,
    session::{RATE_FRACTION, Schedule, TrainingOptions},
};

use crate::error::Failure;

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ScheduleName {
    /// It stays.
    #[default]
    Constant,
    /// After each so many epochs it is multiplied by a factor.
    Step(u32, f64),
    /// It falls along half a cosine to 0.
    Cosine,
}

impl FromStr for ScheduleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let step = |epochs: &str, factor: &str| {
            let epochs = epochs.parse().ok().filter(|&epochs| epochs > 0)?;
            let is_factor = |&factor: &f64| units(factor) > 0 && factor <= 1.0;
            let factor = factor.parse().ok().filter(is_factor)?;
            Some(ScheduleName::Step(epochs, factor))
        };
        let schedule = match parts[..] {
            ["constant"] => Some(ScheduleName::Constant),
            ["cosine"] => Some(ScheduleName::Cosine),
            ["step", epochs, factor] => step(epochs, factor),
            _ => None,
        };
        schedule.ok_or_else(|| {
            "give constant, cosine, or step:EPOCHS:FACTOR with a factor up to 1, such as step:5:0.1"
                .to_owned()
        })
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScheduleName::Constant => f.write_str("constant"),
            ScheduleName::Cosine => f.write_str("cosine"),
            ScheduleName::Step(epochs, factor) => write!(f, "step:{epochs}:{factor}"),
        }
    }
}

/// The distribution of the weights that the parties draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum InitialWeightsName {
    /// Variance 2 / fan-in, for ReLU.
    #[default]
    He,
    /// Variance 2 / (fan-in + fan-out).
    Xavier,
    /// All zero: for a model of one layer.
    Zero,
}

/// How a training goes, beside its learning rate and momentum.
#[derive(Clone, Debug, Default, Args)]
pub struct TrainingArgs {
    /// How the learning rate falls: constant, step:EPOCHS:FACTOR (multiplied by the factor after each so many epochs), or cosine
    /// (to 0 at the end of the run).
    #[arg(long, value_name = "SCHEDULE", default_value_t)]
    pub schedule: ScheduleName,
    /// Iterations at the beginning in which the learning rate rises to --lr.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warm_up: u32,
    /// Add this part of each weight and bias to its gradient, such as 0.0005.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub weight_decay: f64,
    /// Give all classes together this part of each label, such as 0.1.
    #[arg(
        long,
        value_name = "PART",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub label_smoothing: f64,
    /// How random weights are drawn.
    #[arg(long, value_enum, value_name = "DISTRIBUTION", default_value_t)]
    pub initial_weights: InitialWeightsName,
}

impl TrainingArgs {
    /// The options as a session has them. Fails by the option that is out of range.
    pub fn options(&self) -> Result<TrainingOptions, Failure> {
        let part = |value: f64, option: &str| match (0.0..1.0).contains(&value) {
            true => Ok(units(value)),
            false => Err(Failure::new(
                format!("{option} {value} is out of range"),
                "give a number from 0 to below 1",
            )),
        };
        Ok(TrainingOptions {
            schedule: match self.schedule {
                ScheduleName::Constant => Schedule::Constant,
                ScheduleName::Cosine => Schedule::Cosine,
                ScheduleName::Step(epochs, factor) => Schedule::Step {
                    epochs,
                    factor: units(factor),
                },
            },
            warm_up: self.warm_up,
            weight_decay: part(self.weight_decay, "--weight-decay")?,
            label_smoothing: part(self.label_smoothing, "--label-smoothing")?,
            initial_weights: match self.initial_weights {
                InitialWeightsName::He => InitialWeights::He,
                InitialWeightsName::Xavier => InitialWeights::Xavier,
                InitialWeightsName::Zero => InitialWeights::Zero,
            },
        })
    }

    /// The options that give another process the same.
    pub fn to_options(&self) -> Vec<String> {
        let initial = self.initial_weights.to_possible_value();
        let initial = initial.map_or(String::new(), |value| value.get_name().to_owned());
        [
            ("--schedule", self.schedule.to_string()),
            ("--warm-up", self.warm_up.to_string()),
            ("--weight-decay", self.weight_decay.to_string()),
            ("--label-smoothing", self.label_smoothing.to_string()),
            ("--initial-weights", initial),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

/// A number from 0 to 1 with [`RATE_FRACTION`] fraction bits.
fn units(value: f64) -> u32 {
    (value * f64::from(1u32 << RATE_FRACTION)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn schedules_are_read_as_they_are_written() {
        for text in ["constant", "cosine", "step:5:0.1", "step:1:1"] {
            let schedule: ScheduleName = text.parse().expect("a schedule");
            assert_eq!(schedule.to_string(), text);
        }
        for text in [
            "",
            "linear",
            "cosine:2",
            "step",
            "step:5",
            "step:0:0.5",
            "step:5:0",
            "step:5:1.5",
            "step:5:nan",
            "step:5:1e-9",
            "step:-1:0.5",
            "step:5:0.5:1",
        ] {
            assert!(text.parse::<ScheduleName>().is_err(), "{text}");
        }
    }

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        training: TrainingArgs,
    }

    #[test]
    fn another_process_gets_the_same_options() {
        let parsed = |options: &[String]| {
            let name = ["program".to_owned()];
            let program = Program::try_parse_from(name.iter().chain(options)).expect("options");
            program.training
        };
        let usual = parsed(&[]);
        assert_eq!(usual.options().ok(), Some(TrainingOptions::default()));
        let given = TrainingArgs {
            schedule: ScheduleName::Step(3, 0.3),
            warm_up: 7,
            weight_decay: 0.0005,
            label_smoothing: 0.1,
            initial_weights: InitialWeightsName::Xavier,
        };
        for args in [usual, given] {
            let again = parsed(&args.to_options());
            assert_eq!(again.options().ok(), args.options().ok());
        }
    }

    #[test]
    fn parts_out_of_range_are_refused_by_their_option() {
        let with = |decay, smoothing| {
            let args = TrainingArgs {
                weight_decay: decay,
                label_smoothing: smoothing,
                ..TrainingArgs::default()
            };
            args.options().map_err(|failure| failure.to_string())
        };
        let options = with(0.25, 0.5).expect("options");
        assert_eq!(
            [options.weight_decay, options.label_smoothing],
            [1 << 22, 1 << 23]
        );
        assert_eq!(with(0.0, 0.0), Ok(TrainingOptions::default()));
        for wrong in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            let line = with(wrong, 0.0).expect_err("a refusal");
            assert!(line.contains("--weight-decay"), "{line}");
            let line = with(0.0, wrong).expect_err("a refusal");
            assert!(line.contains("--label-smoothing"), "{line}");
        }
    }
}
