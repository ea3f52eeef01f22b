//! Options of how a training goes, beside its learning rate and momentum.

use std::{fmt, str::FromStr};

use clap::{Args, ValueEnum};
use ringlet_core::{
    model::InitialWeights,
    session::{ClassWeights, RATE_FRACTION, Schedule, TrainingOptions},
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
    /// How much the samples of each class count: a number for each class, such as 1,1,3.5.
    ///
    /// The gradient of a sample is multiplied by the weight of its class. It is divided by the batch as ever, and not by the sum
    /// of the batch's weights. All count 1 when left out.
    #[arg(long, value_name = "NUMBER[,NUMBER...]", value_delimiter = ',')]
    pub class_weights: Vec<f64>,
    /// Nesterov's momentum, as PyTorch has it.
    #[arg(long)]
    pub nesterov: bool,
    /// Clip each value of the mean gradient to this magnitude, such as 0.5.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub clip_value: Option<f64>,
    /// How random weights are drawn.
    #[arg(long, value_enum, value_name = "DISTRIBUTION", default_value_t)]
    pub initial_weights: InitialWeightsName,
}

impl TrainingArgs {
    /// The options as a session has them, whose class weights are smaller by a factor and whose learning rate is larger by it.
    /// Fails by the option that is out of range.
    pub fn options(&self, largest_weight: f64) -> Result<TrainingOptions, Failure> {
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
            weight_decay: part(self.weight_decay, "--weight-decay")
                .map(|units| (f64::from(units) / largest_weight).round() as u32)?,
            label_smoothing: part(self.label_smoothing, "--label-smoothing")?,
            initial_weights: match self.initial_weights {
                InitialWeightsName::He => InitialWeights::He,
                InitialWeightsName::Xavier => InitialWeights::Xavier,
                InitialWeightsName::Zero => InitialWeights::Zero,
            },
            nesterov: self.nesterov,
            privacy: None,
            clip: match self.clip_value {
                None => 0,
                Some(value) if units(value) > 0 && value < 256.0 => {
                    units(value / largest_weight).max(1)
                }
                Some(value) => {
                    return Err(Failure::new(
                        format!("--clip-value {value} is out of range"),
                        "give a number above 0 and below 256",
                    ));
                }
            },
        })
    }

    /// The weights of `classes` classes, of which the largest is 1, and the factor that makes them those of the user; 1 if all
    /// count the same. Fails if there are not as many, or one is out of range.
    pub fn class_weights(&self, classes: usize) -> Result<(ClassWeights, f64), Failure> {
        let given = &self.class_weights;
        if given.is_empty() {
            return Ok((ClassWeights::NONE, 1.0));
        }
        if given.len() != classes {
            return Err(Failure::new(
                format!(
                    "--class-weights has {} numbers, and the model has {classes} classes",
                    given.len()
                ),
                "give a number for each class, in the order of the classes",
            ));
        }
        let largest = given.iter().copied().fold(0.0, f64::max);
        let one = f64::from(1u32 << ClassWeights::FRACTION);
        let units = given.iter().map(|weight| {
            let unit = (weight / largest * one).round();
            let is_sound = largest < 256.0 && (1.0..=one).contains(&unit);
            is_sound.then_some(unit as u16)
        });
        let weights = units.collect::<Option<Vec<u16>>>();
        let weights = weights.and_then(|units| ClassWeights::new(&units));
        let weights = weights.ok_or_else(|| {
            Failure::new(
                "--class-weights has a number that is out of range",
                "give numbers above 0 and below 256, of which none is more than 4096 times another",
            )
        })?;
        Ok((weights, largest))
    }

    /// The options that give another process the same.
    pub fn to_options(&self) -> Vec<String> {
        let initial = self.initial_weights.to_possible_value();
        let initial = initial.map_or(String::new(), |value| value.get_name().to_owned());
        let weights: Vec<String> = self.class_weights.iter().map(f64::to_string).collect();
        [
            ("--schedule", self.schedule.to_string()),
            ("--warm-up", self.warm_up.to_string()),
            ("--weight-decay", self.weight_decay.to_string()),
            ("--label-smoothing", self.label_smoothing.to_string()),
            ("--initial-weights", initial),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(self.nesterov.then(|| "--nesterov".to_owned()))
        .chain(self.clip_value.map(|value| format!("--clip-value={value}")))
        .chain((!weights.is_empty()).then(|| format!("--class-weights={}", weights.join(","))))
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
        assert_eq!(usual.options(1.0).ok(), Some(TrainingOptions::default()));
        let given = TrainingArgs {
            schedule: ScheduleName::Step(3, 0.3),
            warm_up: 7,
            weight_decay: 0.0005,
            label_smoothing: 0.1,
            initial_weights: InitialWeightsName::Xavier,
            class_weights: vec![1.0, 0.25],
            nesterov: true,
            clip_value: Some(0.5),
        };
        for args in [usual, given] {
            let again = parsed(&args.to_options());
            assert_eq!(again.options(1.0).ok(), args.options(1.0).ok());
            let classes = args.class_weights.len().max(2);
            let weights = args.class_weights(classes).ok();
            assert!(weights.is_some() && weights == again.class_weights(classes).ok());
        }
    }

    #[test]
    fn class_weights_are_scaled_by_the_largest() {
        let with = |weights: &[f64]| {
            let args = TrainingArgs {
                class_weights: weights.to_vec(),
                ..TrainingArgs::default()
            };
            args.class_weights(3).map_err(|failure| failure.to_string())
        };
        let (weights, largest) = with(&[1.0, 4.0, 0.5]).expect("weights");
        assert_eq!(largest, 4.0);
        assert_eq!(weights.weights(), [1024, 4096, 512]);
        assert_eq!(with(&[]), Ok((ClassWeights::NONE, 1.0)));
        for wrong in [
            &[1.0, 2.0][..],
            &[1.0, 0.0, 1.0],
            &[1.0, -1.0, 1.0],
            &[1.0, f64::NAN, 1.0],
            &[1.0, f64::INFINITY, 1.0],
            &[1.0, 300.0, 1.0],
            &[200.0, 0.001, 1.0],
        ] {
            let line = with(wrong).expect_err("a refusal");
            assert!(line.contains("--class-weights"), "{line}");
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
            args.options(1.0).map_err(|failure| failure.to_string())
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
