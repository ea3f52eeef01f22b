//! `ringlet party`: one computing party on its own.

mod args;
mod inputs;
mod reporters;

use std::time::Duration;

use ringlet_core::session::handshake::Parameter;

use crate::{
    config::session::CheckedSession,
    console,
    data::{model_file, parameters::encode_model},
    error::Failure,
    output::amounts::bytes,
    run::{checkpoints::CheckpointPlan, lone_party::LoneParty, secrets::Secrets},
};

pub use args::PartyArgs;
use inputs::Inputs;
use reporters::{Supervised, Terminal};

/// Runs the party to its end.
pub fn run(args: &PartyArgs) -> Result<(), Failure> {
    args.check_files()?;
    let (protocol, others) = args.others()?;
    let inputs = Inputs::new(args, &protocol)?;
    let CheckedSession {
        session, network, ..
    } = &inputs.checked;
    if let Some(path) = &args.output.save {
        model_file::check(path, &session.model)?;
    }
    let party = LoneParty {
        session,
        network,
        role: args.role(),
        images: inputs.images,
        model: encode_model(network, session, &inputs.parameters)?,
        secrets: Secrets::new(args.process.secrets.seed()),
        simulated: args.process.supervised,
        endpoint: args.endpoint()?,
        idle: Duration::from_secs(args.idle),
        checkpoints: CheckpointPlan::new(&args.checkpoints),
        transcript: args.transcript.clone(),
        // Whoever started a supervised party has its processors.
        threads: args.threads.or(args.process.supervised.then_some(1)),
    };
    let device = match args.process.supervised {
        true => party.run(&others, &mut Supervised),
        false => party.run(
            &others,
            &mut Terminal::new(args, &inputs.checked, &inputs.files),
        ),
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
