//! `ringlet bench`: what this machine reaches, and what training or classification takes here.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use ringlet_core::{model::BUILT_IN, session::Task};

use crate::{
    config::{
        args::{LogArgs, ProtocolName, SessionArgs, SessionFileArgs},
        protocol::Protocol,
        session::{CheckedSession, planned},
    },
    console::{self, bar::Bar},
    data::file::check_writable,
    error::Failure,
    measure::{
        course::Course,
        kept::{Kept, MeasuredSession, work},
        rates::Rates,
        secure_link,
        threads::gains,
    },
    output::bench::tables,
};

/// The part of the time that kernels and a link are measured for.
const KERNELS: f64 = 0.15;
const LINK: f64 = 0.02;
/// The part of a session's time that further threads are measured for.
const THREADS: f64 = 0.2;

/// Options of `bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// How long to measure, about.
    ///
    /// More seconds reach larger batches.
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = seconds)]
    pub seconds: f64,
    /// Keep the figures in this file, for `plan --seconds`.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Measure classification in place of training: `predict`, and the roles of inference.
    #[arg(long)]
    pub infer: bool,
    /// The session; all built-in models without --model and --data, by --protocol exact and by securenn.
    #[command(flatten)]
    pub session: SessionArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give 0.1 to 3600 seconds".to_owned()),
    }
}

/// Measures, prints the tables, and keeps the figures.
pub fn run(args: &BenchArgs) -> Result<(), Failure> {
    if let Some(path) = &args.save {
        check_writable(path)?;
    }
    let task = match args.infer {
        true => Task::Infer,
        false => Task::Train,
    };
    let sessions = sessions(&args.session, task)?;
    let start = Instant::now();
    let total = (1e3 * args.seconds) as u64;
    let mut bar = Bar::of_parts("bench", total);
    let mut begin = |what: String| bar.set((start.elapsed().as_millis() as u64).min(total), what);
    let part = |part: f64| Duration::from_secs_f64(args.seconds * part);
    let mut kept = Kept::here();
    kept.rates = Rates::measure(part(KERNELS / Rates::COUNT as f64), || {
        begin("kernels".to_owned());
    });
    kept.link_seconds_per_byte = secure_link::seconds_per_byte(part(LINK))?;
    let count = sessions.len();
    let mut shared = Vec::new();
    for (place, (protocol, checked)) in sessions.into_iter().enumerate() {
        let (session, network) = (&checked.session, &checked.network);
        // What one leaves over is for the others.
        let left = part(1.0).saturating_sub(start.elapsed());
        let share = left / (count - place) as u32;
        let name = &session.model.name;
        let has_gains = task == Task::Train;
        let alone = match has_gains {
            true => share.mul_f64(1.0 - THREADS),
            false => share,
        };
        let course = Course::measure((session, network), u32::MAX, alone, &mut |batch| {
            begin(format!("{name} by {protocol}, batch {batch}"));
        })?;
        if has_gains {
            let batch = course.largest().min(args.session.batch);
            begin(format!("{name} by {protocol}, threads"));
            let of_all: f64 = course.seconds(batch).iter().sum();
            let time = share.as_secs_f64() * THREADS / 2.0;
            let iterations = (time / of_all).clamp(2.0, 9.0) as u32;
            if let Some(gain) = gains((session, network), batch, iterations)? {
                shared.push(([name.to_string(), protocol.to_string()], gain));
            }
        }
        kept.sessions.push(MeasuredSession {
            model: session.model.name.to_string(),
            protocol: protocol.to_string(),
            work: work(session),
            course,
        });
    }
    bar.finish();
    console::print(&tables(&kept, &shared, (task, args.session.batch)))?;
    if let Some(path) = &args.save {
        kept.write(path)?;
        console::note(&format!("written: {}", path.display()));
    }
    Ok(())
}

/// The session that the options describe, or those of all built-in models that their protocol takes.
fn sessions(
    args: &SessionArgs,
    task: Task,
) -> Result<Vec<(ProtocolName, CheckedSession)>, Failure> {
    let checked = |args: &SessionArgs| -> Result<_, Failure> {
        let protocol = Protocol::new(args)?;
        Ok((args.protocol, planned(args, &protocol, (task, None), None)?))
    };
    if args.model.is_some() || args.data.data.is_some() {
        return Ok(vec![checked(args)?]);
    }
    let other = (args.protocol == ProtocolName::Exact).then_some(ProtocolName::Securenn);
    let mut sessions = Vec::new();
    let mut refused = None;
    for protocol in [args.protocol].into_iter().chain(other) {
        for model in BUILT_IN {
            let args = SessionArgs {
                model: Some(model.to_owned()),
                protocol,
                ..args.clone()
            };
            match checked(&args) {
                Ok(session) => sessions.push(session),
                Err(failure) => refused = Some(failure),
            }
        }
    }
    match (sessions.is_empty(), refused) {
        (true, Some(failure)) => Err(failure),
        _ => Ok(sessions),
    }
}
