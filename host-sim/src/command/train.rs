//! `ringlet train`: all roles on this machine.

use std::time::Instant;

use clap::{Args, ValueEnum};
use ringlet_core::{
    Role,
    session::{Session, Task},
};

use super::calibrate::{calibrate, short};
use crate::{
    config::{
        args::{
            CheckpointArgs, InitArgs, LinkArgs, LogArgs, OutputArgs, RangeArgs, ReportArgs,
            SessionArgs, SessionFileArgs, seeded, threads,
        },
        privacy::told,
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, momentum, session},
    },
    console,
    data::{
        Images,
        model_file::save,
        parameters::{Parameters, encode_model},
        range_bits::RangeBits,
    },
    error::Failure,
    output::{
        amounts::{counted, work},
        confusion::Confusion,
        progress::Progress,
        report::{Report, results::wrong},
        tables::{layer_table, range_lines, time_table, truncation_line},
    },
    reference::twin::Twin,
    run::{
        actors::Helper,
        checkpoints::{CheckpointPlan, Simulated},
        collect::{Collector, Record},
        event::Event,
        processes,
        secrets::Secrets,
        simulation::Simulation,
        stop_request,
    },
};

/// What connects the roles of `train`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkName {
    /// Threads of one process.
    Memory,
    /// Processes on this machine.
    Tcp,
}

/// Options of `train`.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// The session.
    #[command(flatten)]
    pub session: SessionArgs,
    /// The files that are written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// The report.
    #[command(flatten)]
    pub report: ReportArgs,
    /// What connects the roles.
    #[arg(long, value_enum, default_value_t = LinkName::Memory)]
    pub link: LinkName,
    /// Delay and rate of the links.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// Train a plaintext float32 network too, from the same weights on the same batches.
    #[arg(long, conflicts_with = "resume")]
    pub twin: bool,
    /// The model with which the training begins, which is P0's.
    #[command(flatten)]
    pub init: InitArgs,
    /// The parties' checkpoints.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// What happens when values leave their range.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Train on so many threads for each role.
    ///
    /// As many as the machine has processors when left out, where one process has all roles; one where each has its own (--link
    /// tcp). There are no more than a batch has micro-batches: see --micro-batch. The model is the same to the bit.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Trains.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let report = Report::new(&args.report, "Private training, all roles on one machine")?;
    let mut progress = None;
    let outcome = train(args, &mut progress, &report);
    // The first failure is the one to tell.
    let told = progress.map_or(Ok(()), |mut progress| progress.end(outcome.as_ref().err()));
    report.end(outcome.and(told))
}

/// Trains, and tells the report of it. The `progress` is there once the run begins.
fn train(
    args: &TrainArgs,
    progress: &mut Option<Progress>,
    report: &Report,
) -> Result<(), Failure> {
    let mut args = args.clone();
    let owner = args.session.init_by.map_or(Role::P0, Role::from);
    let initial = args.init.read(owner, &mut args.session)?;
    let initial = initial.map_or_else(Vec::new, |model| model.parameters);
    let set = args.session.measured_data_set(args.init.init.clone())?;
    let args = &args;
    let protocol = Protocol::new(&args.session)?;
    let common = common_options(args)?;
    let [train, test] = set.load_both()?;
    let secrets = Secrets::new(args.session.seed);
    let setting = Setting {
        model: ModelSource::Images(&[&train, &test]),
        samples: Samples::Split(train.len()),
        shuffle_seed: shuffle_seed(args, secrets)?,
        receiver: None,
        task: Task::Train,
        normalise_by: Some(&train),
        backbone: set.backbone.clone(),
    };
    let checked = session(&args.session, &protocol, setting)?;
    train.check_labels(checked.network.classes)?;
    test.check_labels(checked.network.classes)?;
    let checked = match (&protocol, &args.session.range_bits) {
        (Protocol::Exact, None) => calibrated(checked, &train, &initial)?,
        _ => checked,
    };
    let CheckedSession {
        session,
        network,
        normalise,
        ..
    } = &checked;
    if let Some(path) = &args.output.save {
        checked.check_save(path, &args.session)?;
    }
    let initial = encode_model(network, session, &initial)?;
    let checkpoints = match CheckpointPlan::new(&args.checkpoints) {
        Some(plan) => {
            stop_request::watch()?;
            Some(Simulated::new(&plan, session)?)
        }
        None => None,
    };
    let resumed = checkpoints.as_ref().map(Simulated::first);
    let metrics = args.output.metrics.as_deref();
    let begun = Progress::new("train", session, (metrics, resumed))?.on_range(args.range.on_range);
    let progress = progress.insert(begun.in_report(report));
    report.session((session, network), resumed.unwrap_or(0))?;
    console::note(&format!(
        "training {} on {} of p0 and {} of p1, {}",
        session.model.name,
        counted(session.samples[0].into(), "image"),
        session.samples[1],
        work(session)
    ));
    let delta = args.session.privacy.delta();
    if let Some(told) = told(session, network, delta)? {
        console::note(&told);
    }
    let mut collector = Collector::new(session, network, [&train, &test], args.twin)
        .with_twin_loss(report.is_wanted());
    let mut take = recording(&mut collector, progress, report);
    let outcome = match args.link {
        LinkName::Memory => {
            let simulation = Simulation {
                session,
                network,
                images: &train,
                shape: args.shape.shape()?,
                secrets,
                checkpoints,
                initial: &initial,
                on_range: Some(args.range.on_range),
                threads: args.threads,
            };
            simulation
                .train(&mut take)
                .map(|(times, ranges)| (times, Some(ranges)))
        }
        LinkName::Tcp => {
            let mut common = common;
            if let Some(threads) = args.threads {
                common.extend(["--threads".to_owned(), threads.to_string()]);
            }
            let momentum = momentum(&args.session, &protocol);
            let range = RangeBits::of(session, network);
            let mut options = args
                .session
                .to_options(session, (&range, normalise), momentum);
            options.extend(args.checkpoints.to_options());
            let own = [Role::P0, Role::P1].map(|role| match &args.init.init {
                Some(path) if role == owner => {
                    vec!["--init".to_owned(), path.display().to_string()]
                }
                _ => Vec::new(),
            });
            processes::train(session.protocol, (&common, &options, &own), &mut take)
                .map(|()| (Vec::new(), None))
        }
    };
    drop(take);
    progress.finish();
    let (times, ranges) = outcome?;
    collector.finish()?;
    report.times(&times);
    if let Some(ranges) = &ranges {
        report.ranges(ranges);
    }
    if report.is_wanted() {
        let model = Twin::new(network, session, collector.parameters.clone());
        held_out(report, &model, (&test, &checked));
    }
    if let Some(path) = &args.output.save {
        let saved = checked.saved(&collector.parameters, progress.left_range())?;
        save(
            path,
            (&saved.model, saved.marks),
            &saved.network,
            &saved.parameters,
        )?;
        console::line(&format!("the model is in {}", path.display()))?;
    }
    let table = layer_table(session, network, &collector.sums);
    console::line(&format!("\n{table}"))?;
    if !times.is_empty() {
        console::line(&time_table(session, &times))?;
    }
    if let Some(line) = progress.audits() {
        console::line(&line)?;
    }
    match ranges {
        None => console::line(&unchecked_line(session))?,
        Some(ranges) => match range_lines(session, network, &ranges) {
            Ok(line) => console::line(&line)?,
            Err(warnings) => warnings.iter().for_each(|warning| console::note(warning)),
        },
    }
    if let Some(warning) = progress.behind() {
        console::note(&warning);
    }
    Ok(())
}

/// Tells the report which held-out images the revealed model got wrong.
fn held_out(report: &Report, model: &Twin<'_>, (test, checked): (&Images, &CheckedSession)) {
    let found = model.classes(test);
    let pairs = test.labels.iter().copied().zip(found.iter().copied());
    let confusion = Confusion::new(checked.network.classes, pairs);
    report.confusion(&confusion, &checked.classes);
    // What frozen layers make of images is no picture.
    if checked.backbone.is_none() {
        report.section(|| wrong(test, &found, &checked.classes));
    }
}

/// Iterations of a plaintext training that tell a simulation what range its values need.
const CALIBRATION: u32 = 100;

/// The session with more range where a plaintext training on the images needs more than the usual one.
fn calibrated(
    checked: CheckedSession,
    train: &Images,
    initial: &[Parameters],
) -> Result<CheckedSession, Failure> {
    let CheckedSession {
        session,
        network,
        normalise,
        classes,
        backbone,
        delta,
    } = &checked;
    let iterations = session.iterations().min(CALIBRATION);
    let calibration = calibrate((session, network), (train, initial), iterations)?;
    let short = short(session);
    if calibration.is_short() {
        console::note(&format!("warning: {short}"));
    }
    let range = calibration
        .range_bits()
        .max(&RangeBits::of(session, network));
    let session = Session {
        headroom: range.limited(network, session.format),
        ..session.clone()
    };
    // What the session was without this range, it had passed. So the range leaves no bits for the learning rate.
    let wider = CheckedSession::new(session, normalise.clone(), classes.clone());
    Ok(CheckedSession {
        backbone: backbone.clone(),
        delta: *delta,
        ..wider.map_err(|_| short)?
    })
}

/// The seed of the samples' order. A run that can go on has to have the same one again.
fn shuffle_seed(args: &TrainArgs, secrets: Secrets) -> Result<u64, Failure> {
    match args.checkpoints.dir() {
        Some(_) => Ok(args.session.seed.unwrap_or(0)),
        None => secrets.shuffle_seed(),
    }
}

/// Options for the process of every role.
fn common_options(args: &TrainArgs) -> Result<Vec<String>, Failure> {
    let mut options = args.shape.to_options();
    options.extend(args.log.to_options());
    if let (LinkName::Tcp, Some(seed)) = (args.link, args.session.seed) {
        // A process of its own can be a real role, so only test builds let anyone choose its secrets.
        options.extend(seeded(seed).ok_or_else(|| {
            Failure::new(
                "the roles of --link tcp draw their keys from the operating system, not from --seed",
                "leave out --seed, or use --link memory",
            )
        })?);
    }
    Ok(options)
}

/// Why no ranges were checked.
fn unchecked_line(session: &Session) -> String {
    match Helper::of(session.protocol) {
        Helper::Assistant => truncation_line(session),
        Helper::Dealer => {
            "no process holds both shares, so only --audit checks the range contract \
             (or use --link memory)"
                .to_owned()
        }
    }
}

/// Passes events to the collector, and reports the complete records.
fn recording<'a>(
    collector: &'a mut Collector<'_>,
    progress: &'a mut Progress,
    report: &'a Report,
) -> impl FnMut(Role, Event) -> Result<(), Failure> {
    let start = Instant::now();
    move |role, event| {
        if let Event::Iteration {
            iteration, traffic, ..
        } = &event
        {
            report.traffic(role, *iteration, traffic)?;
        }
        collector.take(role, event);
        while let Some(record) = collector.next(start.elapsed().as_secs_f64())? {
            match record {
                Record::Iteration(record, audit) => {
                    progress.iteration(&record)?;
                    audit.map_or(Ok(()), |audit| progress.audit(&audit))?;
                }
                Record::OutsideRange(record) => progress.outside_range(&record)?,
                Record::Epoch(record) => progress.epoch(&record)?,
            }
        }
        Ok(())
    }
}
