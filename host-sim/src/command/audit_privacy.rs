//! `ringlet audit-privacy`: how much a model tells about its samples, by an attack on plaintext trainings with and without
//! differentially private gradients.

use clap::Args;
use ringlet_core::session::Task;
use serde_json::{Value, json};

use crate::{
    config::{
        args::{DataArgs, LogArgs, SessionArgs, training::TrainingArgs},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console::{self, bar::Bar},
    data::normalise::MeanAndDeviation,
    error::Failure,
    output::amounts::counted,
    privacy::{
        FALSE_ALARMS, Guesses, Imprecision, SampledGaussian, Separation, Training, best_guesses,
        smallest_noise,
    },
    reference::{
        privacy_attack::{Attack, Observed, canary_scores},
        private_step::PrivateTraining,
    },
};

/// The probability with which the attack may prove too much.
const ERROR: f64 = 0.05;
/// The epsilon of the noise when nothing else is asked for.
const EPSILON: f64 = 3.0;

/// Options of `audit-privacy`.
#[derive(Clone, Debug, Args)]
pub struct AuditPrivacyArgs {
    /// A built-in model, dense:CLASSES (one dense layer) or a JSON file.
    ///
    /// Chosen by the data's shape when left out.
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// The images.
    #[command(flatten)]
    pub data: DataArgs,
    /// How pixels become numbers, as in `train`.
    #[arg(long, visible_alias = "normalize", value_name = "MEAN:DEVIATION[,...]")]
    pub normalise: Option<MeanAndDeviation>,
    /// Samples that an iteration draws on average.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Passes over the samples of a training.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: u32,
    /// Learning rate.
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.25,
        allow_negative_numbers = true
    )]
    pub lr: f64,
    /// Momentum, at least 0 and below 1.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0.875,
        allow_negative_numbers = true
    )]
    pub momentum: f64,
    /// How the trainings go otherwise.
    #[command(flatten)]
    pub training: TrainingArgs,
    /// The bound of the norm of a sample's gradient, over all layers.
    #[arg(
        long,
        value_name = "C",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    pub dp_clip: f64,
    /// Noise multiplier: the deviation of one party's noise over the bound.
    #[arg(
        long,
        value_name = "S",
        conflicts_with = "dp_epsilon",
        allow_negative_numbers = true
    )]
    pub dp_noise: Option<f64>,
    /// The epsilon that the noise is to give; 3 when left out.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub dp_epsilon: Option<f64>,
    /// The probability with which epsilon may not hold.
    #[arg(
        long,
        value_name = "D",
        default_value_t = 1e-5,
        allow_negative_numbers = true
    )]
    pub dp_delta: f64,
    /// Parties whose noise the attacker does not know: 1 for a party that sees the model, 2 for anyone else.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub parties: u32,
    /// Images of white pixels and labels at random, each of which a coin puts into a training or not.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub canaries: u32,
    /// Trainings with noise, and as many without.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub runs: u32,
    /// Seed of all that is random.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the noise promises.
struct Promise {
    noise: f64,
    epsilon: f64,
}

/// What the attack finds in trainings of one kind.
struct Finding {
    accuracy: f64,
    members: Separation,
    guesses: Guesses,
    /// The epsilon that it refutes.
    epsilon: f64,
}

/// Attacks, and prints. Fails if the attack refutes what the noise promises.
pub fn run(args: &AuditPrivacyArgs) -> Result<(), Failure> {
    let (promise, [without, with]) = audit(args)?;
    console::print(&match args.json {
        true => format!("{}\n", json(args, &promise, [&without, &with])),
        false => table(args, &promise, [&without, &with]),
    })?;
    match with.epsilon > promise.epsilon {
        true => Err(Failure::new(
            format!(
                "the attack proves that epsilon is at least {:.3}, and the accountant promises {:.3}",
                with.epsilon, promise.epsilon
            ),
            "repeat it with another --seed; if it fails again, do not trust the noise, and report it as SECURITY.md says",
        )),
        false => Ok(()),
    }
}

fn audit(args: &AuditPrivacyArgs) -> Result<(Promise, [Finding; 2]), Failure> {
    let mut session_args = SessionArgs {
        model: args.model.clone(),
        batch: args.batch,
        epochs: args.epochs,
        lr: args.lr,
        momentum: Some(args.momentum),
        training: args.training.clone(),
        normalise: args.normalise.clone(),
        ..SessionArgs::usual(args.data.clone())
    };
    if !(args.dp_clip > 0.0 && args.dp_clip.is_finite()) {
        return Err(Failure::new(
            format!("--dp-clip is {}, not a number above 0", args.dp_clip),
            "choose one such as 1",
        ));
    }
    let set = session_args.measured_data_set(None)?;
    let [train, test] = set.load_both()?;
    if train.len() < 2 {
        return Err(Failure::new(
            "there is no second training image, and half of them stay out of a training",
            "give more with --data",
        ));
    }
    let samples = Attack::expected_samples(train.len(), args.canaries as usize);
    let rate = f64::from(args.batch) / samples as f64;
    // Refuses a rate above 1.
    SampledGaussian::new(rate, 1.0)?;
    let setting = Setting {
        model: ModelSource::Images(&[&train, &test]),
        samples: Samples::Split(samples),
        shuffle_seed: args.seed,
        receiver: None,
        task: Task::Train,
        normalise_by: Some(&train),
        backbone: set.backbone.clone(),
    };
    let CheckedSession {
        session, network, ..
    } = session(&session_args, &Protocol::Exact, setting)?;
    train.check_labels(network.classes)?;
    test.check_labels(network.classes)?;
    let iterations = session.iterations();
    let promise = promise(args, rate, iterations.into())?;
    let private = PrivateTraining {
        rate,
        clip: args.dp_clip,
        noise: promise.noise,
        parties: args.parties,
        seed: args.seed,
    };
    console::note(&format!(
        "{} of {}, each of {} on about {}, half of them with noise",
        counted(2 * u64::from(args.runs), "training"),
        session.model.name,
        counted(iterations.into(), "iteration"),
        counted(samples as u64, "sample"),
    ));
    let attack = Attack::new(
        (&network, &session),
        (&train, &test),
        args.canaries as usize,
        args.seed,
    );
    let total = 2 * u64::from(args.runs) * u64::from(iterations);
    let mut bar = Bar::of_steps("audit-privacy", "iteration", total);
    let mut done = 0;
    let kinds = [PrivateTraining::unprotected(rate), private];
    let observed = attack.observe_all(&kinds, args.runs, || {
        done += 1;
        bar.set(done, String::new());
    });
    bar.finish();
    let found = observed?.map(|trainings| Finding::of(&trainings, args.dp_delta));
    Ok((promise, found))
}

/// The noise that is asked for, and its epsilon.
fn promise(args: &AuditPrivacyArgs, rate: f64, iterations: u64) -> Result<Promise, Failure> {
    let training = |multiplier| {
        Ok(Training {
            mechanism: SampledGaussian::new(rate, multiplier)?,
            imprecision: Imprecision::NONE,
        })
    };
    let noise = match args.dp_noise {
        Some(noise) => noise,
        None => {
            let epsilon = args.dp_epsilon.unwrap_or(EPSILON);
            smallest_noise(training, (iterations, args.dp_delta), epsilon)?
        }
    };
    let guarantee = training(noise)?.guarantee(iterations, args.dp_delta)?;
    Ok(Promise {
        noise,
        epsilon: guarantee.epsilon,
    })
}

impl Finding {
    fn of(trainings: &[Observed], delta: f64) -> Self {
        let accuracies = trainings.iter().map(|training| training.accuracy);
        let separation = |training: &Observed| {
            // A member has the lower loss.
            let [members, others] = [&training.members, &training.others]
                .map(|losses| losses.iter().map(|loss| -loss).collect::<Vec<f64>>());
            Separation::of(&members, &others)
        };
        let separations: Vec<Separation> = trainings.iter().map(separation).collect();
        let (guesses, epsilon) = best_guesses(&canary_scores(trainings), delta, ERROR);
        Finding {
            accuracy: accuracies.sum::<f64>() / trainings.len() as f64,
            members: Separation::mean(&separations),
            guesses,
            epsilon,
        }
    }

    fn json(&self) -> Value {
        json!({
            "accuracy": self.accuracy,
            "area": self.members.area,
            "advantage": self.members.advantage,
            "found_at_0.001": self.members.found[0],
            "found_at_0.01": self.members.found[1],
            "guesses": self.guesses.made,
            "right": self.guesses.right,
            "epsilon": self.epsilon,
        })
    }
}

fn json(args: &AuditPrivacyArgs, promise: &Promise, [without, with]: [&Finding; 2]) -> Value {
    json!({
        "noise": promise.noise,
        "clip": args.dp_clip,
        "delta": args.dp_delta,
        "epsilon": promise.epsilon,
        "parties": args.parties,
        "runs": args.runs,
        "canaries": args.canaries,
        "without": without.json(),
        "with": with.json(),
    })
}

fn table(args: &AuditPrivacyArgs, promise: &Promise, [without, with]: [&Finding; 2]) -> String {
    let row = |name: &str, value: &dyn Fn(&Finding) -> String| {
        format!("{name:<46}{:>16}{:>16}\n", value(without), value(with))
    };
    let percent = |part: f64| format!("{:.2} %", 100.0 * part);
    let found = |at: usize| {
        row(
            &format!("  found at {} % false alarms", 100.0 * FALSE_ALARMS[at]),
            &|finding| percent(finding.members.found[at]),
        )
    };
    [
        format!("{:<46}{:>16}{:>16}\n", "", "without noise", "with noise"),
        row("held-out images classified right", &|finding| {
            percent(finding.accuracy)
        }),
        "members of the training, told by their loss\n".to_owned(),
        row("  area under the ROC curve (chance 0.5)", &|finding| {
            format!("{:.4}", finding.members.area)
        }),
        row("  advantage (chance 0)", &|finding| {
            format!("{:.4}", finding.members.advantage)
        }),
        found(0),
        found(1),
        "canaries in the training\n".to_owned(),
        row("  guessed right", &|finding| {
            format!("{} of {}", finding.guesses.right, finding.guesses.made)
        }),
        row("  so epsilon is at least (95 % confidence)", &|finding| {
            format!("{:.3}", finding.epsilon)
        }),
        format!(
            "{:<46}{:>16}{:>16.3}\n\n",
            "epsilon by the accountant, at most", "none", promise.epsilon
        ),
        format!(
            "noise multiplier {:.4} by each party, of which the attacker does not know {}; delta {:e}\n",
            promise.noise,
            match args.parties {
                1 => "one",
                _ => "two",
            },
            args.dp_delta
        ),
        conclusion(promise, [without, with]),
    ]
    .concat()
}

/// What the figures mean.
fn conclusion(promise: &Promise, [without, with]: [&Finding; 2]) -> String {
    let (proved, epsilon) = (with.epsilon, promise.epsilon);
    match (proved > epsilon, without.epsilon > epsilon) {
        (true, _) => format!(
            "the attack finds more than epsilon {epsilon:.3} allows: the noise does not protect as it should\n"
        ),
        (false, true) => format!(
            "without noise the attack proves more than epsilon {epsilon:.3} allows, with noise it does not: the noise protects\n"
        ),
        (false, false) => format!(
            "the attack is too weak to tell: even without noise it proves less than epsilon {epsilon:.3}; give it more --canaries, --runs or --epochs\n"
        ),
    }
}
