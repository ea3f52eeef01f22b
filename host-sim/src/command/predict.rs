//! `ringlet predict`: private inference, all roles on this machine.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::{
    Role,
    session::{Session, Task},
};

use crate::{
    config::{
        args::{
            DataArgs, LinkArgs, OnRange, ProtocolName, RingName, RoleName, SessionArgs, TriplesName,
        },
        model::model,
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console,
    data::{
        Classes, DataSet, Images,
        backbone::keep_after,
        dataset::ToClassify,
        file::{check_writable, write_whole},
        model_file::{self, Trained},
        normalise::MeanAndDeviation,
        parameters::encode_model,
        range_bits::RangeBits,
    },
    error::Failure,
    output::{
        amounts::{bytes, counted, work},
        classes::{Names, classes_table},
    },
    run::{
        actors::Helper, audits::AuditRecord, event::Event, inference, secrets::Secrets,
        simulation::Simulation,
    },
};

/// The most images whose classes are printed.
const PRINTED: usize = 20;

/// Options of `predict`.
#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// The model: a file that `train --save` or `party --save` has written, or a state_dict of PyTorch's in safetensors, whose
    /// model --model describes.
    #[arg(long, value_name = "FILE")]
    pub model_file: PathBuf,
    /// The model's description, if the file has none: a built-in model's name or a JSON file.
    #[arg(long, value_name = "NAME|FILE")]
    pub model: Option<String>,
    /// The images. Of those with classes, the held-out ones are used if some are held out.
    #[command(flatten)]
    pub data: DataArgs,
    /// Classify only this image, counted from 0.
    #[arg(long, value_name = "N", conflicts_with = "count")]
    pub image: Option<usize>,
    /// Classify the first so many images; all when left out.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<usize>,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: u32,
    /// Images processed at a time within a batch. The whole batch when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// The party that owns the images. Only it learns their classes. The other owns the model.
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = RoleName::P0)]
    pub asking: RoleName,
    /// How activations are computed.
    #[arg(long, value_enum, default_value_t = ProtocolName::Exact)]
    pub protocol: ProtocolName,
    /// What triples are made for. Under --protocol spdz fused when left out, under --protocol securenn baseline.
    #[arg(long, value_enum)]
    pub triples: Option<TriplesName>,
    /// Ring of linear arithmetic: u32 when left out, and u64 under --protocol spdz and securenn.
    #[arg(long, value_enum)]
    pub ring: Option<RingName>,
    /// Fraction bits of fixed-point numbers: 12 when left out, 20 for exact ReLU in u64, 13 for securenn.
    #[arg(long, value_name = "BITS")]
    pub fraction_bits: Option<u32>,
    /// Bits before the binary point of values between layers, as in `train`. As the model's file keeps it when left out.
    #[arg(long, value_name = "BITS[,BITS...]")]
    pub range_bits: Option<RangeBits>,
    /// How pixels become numbers, as in `train`. As the model's file keeps it when left out.
    #[arg(long, visible_alias = "normalize", value_name = "MEAN:DEVIATION[,...]")]
    pub normalise: Option<MeanAndDeviation>,
    /// Every N batches, from the first on, count privately how many values left the range contract at each layer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit: Option<u32>,
    /// Write the classes to this file, as CSV; up to 20 are printed when left out.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Delay and rate of the links.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// When values leave the range contract: end without classes, or go on with a warning.
    #[arg(long, value_enum, value_name = "ACTION", default_value_t)]
    pub on_range: OnRange,
    /// Seed of all keys: for tests only.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
}

/// Parses a number above 0.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give at least 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

impl PredictArgs {
    /// The arguments of the session.
    fn session(&self) -> SessionArgs {
        SessionArgs {
            batch: self.batch,
            micro_batch: self.micro_batch,
            protocol: self.protocol,
            triples: self.triples,
            lr: 1.0,
            momentum: Some(0.0),
            audit: self.audit,
            ring: self.ring,
            fraction_bits: self.fraction_bits,
            range_bits: self.range_bits.clone(),
            normalise: self.normalise.clone(),
            seed: self.seed,
            ..SessionArgs::usual(self.data.clone())
        }
    }
}

/// The cost of a batch.
#[derive(Clone, Copy, Default)]
struct Batch {
    samples: u32,
    seconds: f64,
    rounds: u64,
    /// Bytes that P0 and P1 sent, and that the dealer or the assistant sent.
    sent: [u64; 3],
}

/// The chosen images, and the number of the first one.
fn images(args: &PredictArgs, set: &DataSet) -> Result<(ToClassify, usize), Failure> {
    let ToClassify {
        images,
        labelled,
        mut names,
    } = set.load_to_classify()?;
    let range = match (args.image, args.count) {
        (Some(image), _) => image..image.saturating_add(1),
        (None, Some(count)) => 0..count,
        (None, None) => 0..images.len(),
    };
    if range.end > images.len() || range.is_empty() {
        return Err(Failure::new(
            format!("there are {} images, numbered from 0", images.len()),
            "correct --image or --count",
        ));
    }
    names.drain(..range.start.min(names.len()));
    let chosen = ToClassify {
        images: images.slice(range.clone()),
        labelled,
        names,
    };
    Ok((chosen, range.start))
}

/// Classifies.
pub fn run(args: &PredictArgs) -> Result<(), Failure> {
    let mut session_args = args.session();
    let protocol = Protocol::new(&session_args)?;
    let described = args.model.as_deref();
    let described = described.map(|name| model(Some(name), None)).transpose()?;
    let mut trained = model_file::load(&args.model_file, described)?;
    session_args.adopt(&args.model_file, &trained.marks, true)?;
    let set = session_args.data_set(Some(args.model_file.clone()))?;
    keep_after(&mut trained, session_args.data.backbone.freeze.as_deref())?;
    let Trained {
        model,
        marks,
        parameters,
        ..
    } = trained;
    if let (Some(backbone), Some(mark)) = (&set.backbone, &marks.backbone) {
        backbone.check(mark, &args.model_file)?;
    }
    if marks.left_range {
        console::note(&format!(
            "warning: values left their range when {} was trained, so its classes are not to be trusted",
            args.model_file.display()
        ));
    }
    let (chosen, first) = images(args, &set)?;
    let images = &chosen.images;
    let asking = Role::from(args.asking);
    let secrets = Secrets::new(args.seed);
    let count = images.count()?;
    let mut samples = [0; 2];
    samples[asking.index()] = count;
    let setting = Setting {
        model: ModelSource::Trained(&model, &marks, Some(images)),
        samples: Samples::Counts(samples),
        shuffle_seed: secrets.shuffle_seed()?,
        receiver: None,
        task: Task::Infer,
        normalise_by: None,
        backbone: set.backbone.clone(),
    };
    let CheckedSession {
        session,
        network,
        classes: known,
        ..
    } = session(&session_args, &protocol, setting)?;
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    console::line(&format!(
        "classifying {} of {asking} by the model of {} ({}), {}",
        counted(count.into(), "image"),
        asking.other(),
        session.model.name,
        work(&session)
    ))?;
    let simulation = Simulation {
        session: &session,
        network: &network,
        images,
        shape: args.shape.shape()?,
        secrets,
        checkpoints: None,
        initial: &[],
        on_range: Some(args.on_range),
    };
    let mut batches = vec![Batch::default(); session.iterations() as usize];
    let bar = ProgressBar::new(session.iterations().into());
    let model = encode_model(&network, &session, &parameters)?;
    let classes = inference::simulate(&simulation, &model, &mut |role, event| {
        let parameters = (&session, &network);
        let record = match &event {
            Event::Iteration {
                iteration, audit, ..
            } => {
                batches[*iteration as usize].add(role, &event);
                bar.set_position(u64::from(*iteration) + 1);
                // Both parties learn the same counts.
                let audit = audit.as_ref().filter(|_| role == Role::P0);
                audit.map(|counts| AuditRecord::new(*iteration, parameters, counts))
            }
            Event::OutsideRange { iteration, counts } => {
                Some(AuditRecord::seen(*iteration, parameters, counts))
            }
            _ => None,
        };
        let Some(record) = record.filter(|record| !record.is_sound()) else {
            return Ok(());
        };
        if args.on_range == OnRange::Stop {
            return Err(record.failure());
        }
        let warnings = record.warnings();
        bar.suspend(|| warnings.iter().for_each(|warning| console::note(warning)));
        Ok(())
    });
    bar.finish_and_clear();
    let found = classes?;
    let classes: Vec<u8> = found.iter().map(|&(_, class)| class).collect();
    let names = Names {
        files: &chosen.names,
        classes: &known,
    };
    let table = classes_table(found, first, names)?;
    if let Some(path) = &args.out {
        write_whole(path, table.as_bytes())?;
        console::line(&format!("the classes are in {}", path.display()))?;
    } else if classes.len() <= PRINTED {
        console::print(&table)?;
    }
    if chosen.labelled {
        console::line(&verdict(&classes, images, &known))?;
    }
    console::print(&costs(&session, &batches))
}

impl Batch {
    /// Adds what one party reports of the batch.
    fn add(&mut self, role: Role, event: &Event) {
        let Event::Iteration {
            samples,
            seconds,
            traffic,
            ..
        } = event
        else {
            return;
        };
        let cost = traffic.total();
        self.samples = *samples;
        self.seconds = self.seconds.max(*seconds);
        self.rounds = self.rounds.max(cost.rounds);
        self.sent[role.index()] += cost.online_bytes;
        self.sent[2] += cost.dealer_bytes;
    }
}

/// How many of the classes are right.
fn verdict(classes: &[u8], images: &Images, known: &Classes) -> String {
    let labels = &images.labels;
    if let ([class], [label]) = (classes, &labels[..]) {
        let right = if class == label { "right" } else { "wrong" };
        return format!("{right}: its label is {}", known.name((*label).into()));
    }
    let pairs = classes.iter().zip(labels);
    let right = pairs.filter(|(class, label)| class == label).count();
    format!(
        "{:.2} % of them right",
        100.0 * right as f64 / classes.len() as f64
    )
}

/// The cost of batches: of the first, which opens the model under a dealer, of the other whole ones on average, and of a
/// shorter last one.
fn costs(session: &Session, batches: &[Batch]) -> String {
    let helper = Helper::of(session.protocol);
    let mut text = format!(
        "\n{:<18}{:>12}{:>14}{:>14}{:>16}{:>9}\n",
        "",
        "seconds",
        "p0 sent",
        "p1 sent",
        format!("{} sent", helper.name()),
        "rounds"
    );
    let mut row = |name: &str, batches: &[Batch]| {
        let count = batches.len() as u64;
        if count == 0 {
            return;
        }
        let seconds: f64 = batches.iter().map(|batch| batch.seconds).sum();
        let rounds: u64 = batches.iter().map(|batch| batch.rounds).sum();
        let [p0, p1, other] = [0, 1, 2].map(|role| {
            let sent: u64 = batches.iter().map(|batch| batch.sent[role]).sum();
            bytes(sent / count)
        });
        let _ = writeln!(
            text,
            "{name:<18}{:>12.4}{p0:>14}{p1:>14}{other:>16}{:>9}",
            seconds / count as f64,
            rounds / count
        );
    };
    let whole = batches.partition_point(|batch| batch.samples == session.batch);
    let (whole, last) = batches.split_at(whole);
    if helper == Helper::Assistant {
        row("a batch", whole);
    } else {
        let (first, later) = whole.split_at(1.min(whole.len()));
        row("first, with model", first);
        row("a later batch", later);
    }
    for last in last {
        row(&format!("the last, of {}", last.samples), &[*last]);
    }
    text
}
