//! `ringlet party`: one computing party on its own.

mod args;
mod inputs;
mod reporters;

use std::time::Duration;

use ringlet_core::session::{Rank, Ranks, handshake::Parameter};

use super::role_processes;
use crate::{
    config::session::CheckedSession,
    console,
    data::parameters::encode_model,
    error::Failure,
    output::amounts::bytes,
    run::{
        checkpoints::CheckpointPlan, lone_party::LoneParty, mpi_ranks::MpiRanks, secrets::Secrets,
    },
};

pub use args::PartyArgs;
use inputs::Inputs;
use reporters::{Silent, Supervised, Terminal};

/// Runs the party to its end.
pub fn run(args: &PartyArgs) -> Result<(), Failure> {
    role_processes::run(args.process.supervised, |processes| {
        run_rank(args, processes)
    })
}

/// Runs the party in this process, which is one of several if there are `processes`.
fn run_rank(args: &PartyArgs, processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let rank = processes.as_ref().map_or(Rank::ONLY, |ranks| ranks.rank());
    role_processes::check_threads(args.threads, rank)?;
    args.check_files()?;
    let (protocol, others) = args.others(rank)?;
    let speaks = rank.is_first() && !args.process.supervised;
    let inputs = Inputs::new(args, &protocol, speaks)?;
    let CheckedSession {
        session, network, ..
    } = &inputs.checked;
    if let Some(path) = &args.output.save {
        inputs.checked.check_save(path, &args.session)?;
    }
    let party = LoneParty {
        session,
        network,
        role: args.role(),
        images: inputs.images,
        model: encode_model(network, session, &inputs.parameters)?,
        secrets: Secrets::new(args.process.secrets.seed()),
        simulated: args.process.supervised,
        endpoint: args.endpoint(rank)?,
        idle: Duration::from_secs(args.idle),
        checkpoints: CheckpointPlan::new(&args.checkpoints),
        transcript: args.transcript.clone(),
        // Whoever started a supervised party has its processors.
        threads: args.threads.or(args.process.supervised.then_some(1)),
        process: rank,
    };
    let device = if args.process.supervised {
        party.run(&others, processes, &mut Supervised)
    } else if rank.is_first() {
        let mut terminal = Terminal::new(args, &inputs.checked, &inputs.files);
        party.run(&others, processes, &mut terminal)
    } else {
        party.run(&others, processes, &mut Silent)
    };
    let device = device.map_err(|failure| match failure.differs_in() {
        Some(Parameter::Classes) => failure.with_remedy(format!(
            "{}'s classes are {}",
            party.role, inputs.checked.classes
        )),
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
