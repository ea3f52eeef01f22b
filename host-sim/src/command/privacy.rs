//! `ringlet privacy`: epsilon of a training with differentially private gradients, or the noise that a wanted epsilon takes.

use clap::{ArgGroup, Args};
use serde_json::json;

use crate::{
    console,
    error::Failure,
    privacy::{Guarantee, Imprecision, Padding, SampledGaussian, Training, smallest_noise},
};

/// Most rows of the table.
const ROWS: u32 = 20;
/// What printed figures are rounded up to.
const EPSILON_STEPS: f64 = 1e3;
const NOISE_STEPS: f64 = 1e4;

/// Options of `privacy`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("goal").args(["noise", "epsilon"]).required(true)))]
pub struct PrivacyArgs {
    /// Training samples.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: u32,
    /// Samples that an iteration draws on average, each with the same probability.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Passes over the training samples, of as many iterations as there are batches.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// The probability with which epsilon may not hold: below 1 / samples.
    #[arg(long, value_name = "D")]
    pub delta: f64,
    /// Noise multiplier: the deviation of one party's noise over the most that a sample changes the sum of gradients.
    #[arg(long, value_name = "S")]
    pub noise: Option<f64>,
    /// The wanted epsilon, of which the noise multiplier is printed.
    #[arg(long, value_name = "E")]
    pub epsilon: Option<f64>,
    /// Parameters of the model, each of which gets noise.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub parameters: u64,
    /// Size of a padded batch, which hides how many samples were drawn; one that overflows almost never when left out.
    #[arg(long, value_name = "N")]
    pub padded: Option<u32>,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// What is printed.
struct Accounted {
    noise: f64,
    padding: Padding,
    rows: Vec<Row>,
}

/// The guarantee after an epoch.
struct Row {
    epoch: u32,
    iterations: u64,
    guarantee: Guarantee,
}

/// Accounts, and prints.
pub fn run(args: &PrivacyArgs) -> Result<(), Failure> {
    let accounted = account(args)?;
    if args.delta * f64::from(args.samples) >= 1.0 {
        console::note(
            "delta is not below 1 / samples: it would allow to publish a sample as it is",
        );
    }
    console::print(&match args.json {
        true => format!("{}\n", accounted.json(args)),
        false => accounted.table(args),
    })
}

fn account(args: &PrivacyArgs) -> Result<Accounted, Failure> {
    let rate = f64::from(args.batch) / f64::from(args.samples);
    let each_epoch = u64::from(args.samples.div_ceil(args.batch));
    let iterations = u64::from(args.epochs) * each_epoch;
    // Refuses a rate above 1 before the padding needs it.
    SampledGaussian::new(rate, args.noise.unwrap_or(1.0))?;
    let padding = match args.padded {
        Some(size) => Padding::new(args.samples, rate, size),
        None => Padding::smallest(args.samples, rate, iterations, args.delta),
    };
    let training = |multiplier| {
        Ok(Training {
            mechanism: SampledGaussian::new(rate, multiplier)?,
            imprecision: Imprecision::new(args.parameters, &padding),
        })
    };
    let noise = match (args.noise, args.epsilon) {
        (None, Some(epsilon)) => {
            let noise = smallest_noise(training, (iterations, args.delta), epsilon)?;
            (noise * NOISE_STEPS).ceil() / NOISE_STEPS
        }
        (noise, _) => noise.unwrap_or(f64::NAN),
    };
    let training = training(noise)?;
    let step = args.epochs.div_ceil(ROWS);
    let epochs = (step..args.epochs).step_by(step as usize);
    let row = |epoch: u32| {
        let iterations = u64::from(epoch) * each_epoch;
        Ok(Row {
            epoch,
            iterations,
            guarantee: training.guarantee(iterations, args.delta)?,
        })
    };
    Ok(Accounted {
        noise,
        padding,
        rows: epochs
            .chain([args.epochs])
            .map(row)
            .collect::<Result<_, Failure>>()?,
    })
}

/// Epsilon as it is printed: never less than it is.
fn rounded_up(epsilon: f64) -> f64 {
    (epsilon * EPSILON_STEPS).ceil() / EPSILON_STEPS
}

impl Accounted {
    fn table(&self, args: &PrivacyArgs) -> String {
        let mut table = format!(
            "noise multiplier {} by each party, {} samples in batches of {} by Poisson sampling, padded to {}\n\n",
            self.noise, args.samples, args.batch, self.padding.size
        );
        table += &format!("{:>7}{:>14}{:>12}\n", "epoch", "iterations", "epsilon");
        for row in &self.rows {
            table += &format!(
                "{:>7}{:>14}{:>12.3}\n",
                row.epoch,
                row.iterations,
                rounded_up(row.guarantee.epsilon)
            );
        }
        table
            + &format!(
                "\nat delta {:e}, for adding or removing one sample, against whoever does not see which samples are drawn\n",
                args.delta
            )
    }

    fn json(&self, args: &PrivacyArgs) -> serde_json::Value {
        let row = |row: &Row| {
            json!({
                "epoch": row.epoch,
                "iterations": row.iterations,
                "epsilon": rounded_up(row.guarantee.epsilon),
                "order": row.guarantee.order,
            })
        };
        json!({
            "noise": self.noise,
            "delta": args.delta,
            "samples": args.samples,
            "batch": args.batch,
            "padded": self.padding.size,
            "epochs": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}
