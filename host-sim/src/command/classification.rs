//! Private inference with all roles on this machine, as several commands run it.

use std::fmt::Write as _;

use ringlet_core::{
    Role,
    session::{Session, Task},
};

use crate::{
    config::{
        args::{ClassificationArgs, OnRange, SessionArgs},
        model::model,
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console::{self, bar::Bar},
    data::{
        Classes, DataSet, Images,
        backbone::keep_after,
        model_file::{self, Trained},
        parameters::encode_model,
    },
    error::Failure,
    output::{
        amounts::{bytes, counted, work},
        report::Report,
    },
    run::{
        actors::Helper, audits::AuditRecord, classes, event::Event, inference, secrets::Secrets,
        simulation::Simulation,
    },
};

/// What an inference has found, and what it has cost.
pub struct Classified {
    /// The number of each image and its class, in order.
    pub found: classes::Classes,
    /// Number of classes of the model.
    pub classes: usize,
    /// What the classes are called, as far as it is known.
    pub names: Classes,
    /// The cost of the batches, as a table.
    pub costs: String,
}

/// A model, and where the images for it come from.
pub struct Loaded {
    /// The model's file, with the parameters of the layers that are not frozen.
    trained: Trained,
    /// The options of the session, completed by what the file says.
    session: SessionArgs,
    /// The images, or the features that frozen layers make of them.
    pub set: DataSet,
}

/// Loads the model that the arguments name, and warns if its classes are not to be trusted.
pub fn load(args: &ClassificationArgs) -> Result<Loaded, Failure> {
    let described = args.model.as_deref();
    let described = described.map(|name| model(Some(name), None)).transpose()?;
    let mut trained = model_file::load(&args.model_file, described)?;
    if trained.marks.left_range {
        console::note(&format!(
            "warning: values left their range when {} was trained, so its classes are not to be trusted",
            args.model_file.display()
        ));
    }
    let mut session = args.session();
    session.adopt(&args.model_file, &trained.marks, true)?;
    let set = session.data_set(Some(args.model_file.clone()))?;
    keep_after(&mut trained, session.data.backbone.freeze.as_deref())?;
    if let (Some(backbone), Some(mark)) = (&set.backbone, &trained.marks.backbone) {
        backbone.check(mark, &args.model_file)?;
    }
    Ok(Loaded {
        trained,
        session,
        set,
    })
}

/// Classifies `images` by the model.
pub fn classify(
    args: &ClassificationArgs,
    loaded: &Loaded,
    images: &Images,
    report: &Report,
) -> Result<Classified, Failure> {
    let session_args = &loaded.session;
    let protocol = Protocol::new(session_args)?;
    let Trained {
        model,
        marks,
        parameters,
        ..
    } = &loaded.trained;
    let asking = Role::from(args.asking);
    let secrets = Secrets::new(args.seed);
    let count = images.count()?;
    let mut samples = [0; 2];
    samples[asking.index()] = count;
    let setting = Setting {
        model: ModelSource::Trained(model, marks, Some(images)),
        samples: Samples::Counts(samples),
        shuffle_seed: secrets.shuffle_seed()?,
        receiver: None,
        task: Task::Infer,
        normalise_by: None,
        backbone: loaded.set.backbone.clone(),
    };
    let CheckedSession {
        session,
        network,
        classes: known,
        ..
    } = session(session_args, &protocol, setting)?;
    console::note(&format!(
        "classifying {} of {asking} by the model of {} ({}), {}",
        counted(count.into(), "image"),
        asking.other(),
        session.model.name,
        work(&session)
    ));
    report.session((&session, &network), 0)?;
    report.setting("images of", asking.to_string());
    let simulation = Simulation {
        session: &session,
        network: &network,
        images,
        shape: args.shape.shape()?,
        secrets,
        checkpoints: None,
        initial: &[],
        on_range: Some(args.on_range),
        threads: args.threads,
    };
    let mut batches = vec![Batch::default(); session.iterations() as usize];
    let mut bar = Bar::new("classification", &session);
    let model = encode_model(&network, &session, parameters)?;
    let classes = inference::simulate(&simulation, &model, &mut |role, event| {
        let parameters = (&session, &network);
        let record = match &event {
            Event::Iteration {
                iteration,
                audit,
                traffic,
                ..
            } => {
                report.traffic(role, *iteration, traffic)?;
                report.batch(*iteration)?;
                batches[*iteration as usize].add(role, &event);
                bar.set(u64::from(*iteration) + 1, String::new());
                // Both parties learn the same counts.
                let audit = audit.as_ref().filter(|_| role == Role::P0);
                audit.map(|counts| AuditRecord::new(*iteration, parameters, counts))
            }
            Event::OutsideRange { iteration, counts } => {
                Some(AuditRecord::seen(*iteration, parameters, counts))
            }
            _ => None,
        };
        if let Some(record) = &record {
            report.range(record);
        }
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
    bar.finish();
    Ok(Classified {
        found: classes?,
        classes: network.classes,
        names: known,
        costs: costs(&session, &batches),
    })
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

impl Loaded {
    /// Classes of the model.
    pub fn classes(&self) -> usize {
        self.trained.network.classes
    }
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
