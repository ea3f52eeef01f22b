//! `ringlet party`: one computing party on its own.

mod args;
mod evaluation;
mod growing;
mod inputs;
mod reporters;

use std::{path::Path, time::Duration};

use ringlet_core::session::{
    Rank, Ranks,
    handshake::{Actor, Parameter},
};

use super::role_processes;
use crate::{
    config::session::CheckedSession,
    console,
    data::parameters::encode_model,
    error::Failure,
    output::{amounts::bytes, report::Report},
    run::{
        checkpoints::CheckpointPlan,
        contribution_lists::Place,
        lone_party::{LoneParty, Others},
        mpi_ranks::MpiRanks,
        secrets::Secrets,
    },
};

pub use args::PartyArgs;
use evaluation::EvaluationInputs;
use inputs::Inputs;
use reporters::{Silent, Supervised, Terminal};

/// Runs the party to its end.
pub fn run(args: &PartyArgs) -> Result<(), Failure> {
    role_processes::run(args.process.supervised, |processes| {
        run_rank(args, processes)
    })
}

/// Runs the party in this process, which is one of several if there are `processes`. The first one writes the report.
fn run_rank(args: &PartyArgs, processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let rank = processes.as_ref().map_or(Rank::ONLY, |ranks| ranks.rank());
    let report = match rank.is_first() && !args.process.supervised {
        true => Report::new(&args.report, &heading(args))?,
        false => Report::none(),
    };
    report.end(run_reported(args, (processes, rank), &report))
}

/// What the party does, as the heading of its report.
fn heading(args: &PartyArgs) -> String {
    let what = match (args.infer, &args.evaluate) {
        (true, _) => "inference",
        (_, Some(_)) => "evaluation",
        _ => "training",
    };
    format!("Private {what}, as {} saw it", args.role())
}

/// Runs the party, and tells the report of it.
fn run_reported(
    args: &PartyArgs,
    (processes, rank): (Option<&mut MpiRanks>, Rank),
    report: &Report,
) -> Result<(), Failure> {
    role_processes::check_threads(args.threads, rank)?;
    args.check_files()?;
    let (protocol, others) = args.others(rank)?;
    if let Some(dir) = &args.evaluate {
        return evaluate(args, dir, (rank, &others), report);
    }
    if let Some(path) = &args.contributions
        && let Place::Store(lists) = Place::at(path, Actor::Party(args.role()))
    {
        return growing::run(
            args,
            (&protocol, &others),
            &lists,
            (processes, rank),
            report,
        );
    }
    let speaks = rank.is_first() && !args.process.supervised;
    let inputs = Inputs::new(args, &protocol, speaks)?;
    let CheckedSession {
        session, network, ..
    } = &inputs.checked;
    if let Some(path) = &args.output.save {
        inputs.checked.check_save(path, &args.session)?;
    }
    let labels = inputs.held_out.as_ref();
    let labels = labels.map_or_else(Vec::new, |(_, images)| images.labels.clone());
    let party = LoneParty {
        images: inputs.images,
        contributions: inputs.contributions,
        validation: inputs.held_out,
        model: encode_model(network, session, &inputs.parameters)?,
        checkpoints: CheckpointPlan::new(&args.checkpoints),
        ..lone_party(args, &inputs.checked, rank)?
    };
    let device = if args.process.supervised {
        party.run(&others, processes, &mut Supervised)
    } else if rank.is_first() {
        let mut terminal = Terminal::new(args, &inputs.checked, (&inputs.files, &labels), report);
        let outcome = party.run(&others, processes, &mut terminal);
        terminal.end(outcome)
    } else {
        party.run(&others, processes, &mut Silent)
    };
    let device = device.map_err(|failure| match failure.differs_in() {
        Some(Parameter::Classes) => failure.with_remedy(format!(
            "{}'s classes are {}",
            party.role, inputs.checked.classes
        )),
        Some(Parameter::Samples | Parameter::Model)
            if args.samples.is_none() && args.session.data.data.is_none() =>
        {
            failure.with_remedy(format!(
                "{} has no --data: to own no images, give --model and both parties the same --samples",
                party.role
            ))
        }
        _ => failure,
    })?;
    let Some(taken) = device else {
        return Ok(());
    };
    console::line(&format!(
        "{}: the device took {} of its memory and {} of stack",
        party.role,
        bytes(taken.memory.into()),
        bytes(taken.stack.into())
    ))
}

/// A party in a session, with no inputs yet.
fn lone_party<'a>(
    args: &PartyArgs,
    checked: &'a CheckedSession,
    rank: Rank,
) -> Result<LoneParty<'a>, Failure> {
    Ok(LoneParty {
        session: &checked.session,
        network: &checked.network,
        role: args.role(),
        images: inputs::none(checked),
        contributions: None,
        validation: None,
        model: Vec::new(),
        secrets: Secrets::new(args.process.secrets.seed()),
        simulated: args.process.supervised,
        endpoint: args.endpoint(rank)?,
        idle: Duration::from_secs(args.idle),
        checkpoints: None,
        transcript: args.transcript.clone(),
        // Whoever started a supervised party has its processors.
        threads: args.threads.or(args.process.supervised.then_some(1)),
        process: rank,
    })
}

/// Evaluates the model that the party shares with its peer in the checkpoints in `dir`.
fn evaluate(
    args: &PartyArgs,
    dir: &Path,
    (rank, others): (Rank, &Others),
    report: &Report,
) -> Result<(), Failure> {
    if rank.count() > 1 {
        return Err(Failure::new(
            "an evaluation has one process for each role",
            "start it without mpirun",
        ));
    }
    let endpoint = args.endpoint(rank)?;
    let EvaluationInputs {
        checked,
        images,
        checkpoints,
    } = EvaluationInputs::new(args, dir, endpoint.credentials.own())?;
    let labels = images.labels.clone();
    let party = LoneParty {
        images,
        simulated: false,
        threads: None,
        ..lone_party(args, &checked, rank)?
    };
    let mut terminal = Terminal::new(args, &checked, (&[], &labels), report);
    let outcome = party.evaluate(&checkpoints, others, &mut terminal);
    terminal.end(outcome)
}
