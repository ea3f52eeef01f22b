//! `ringlet assistant`: the role of SecureNN's assistant on its own.

use std::{io, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::{Role, net::Remote};

use crate::{
    config::args::{ProcessArgs, seconds},
    console,
    error::Failure,
    links::{
        connect::{broken, hear_parties, listen},
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper, event::Event, handshakes::meet_parties, secrets::Secrets,
        securenn::run_assistant, supervision,
    },
};

/// Options of `assistant`.
#[derive(Clone, Debug, Args)]
pub struct AssistantArgs {
    /// Wait for the parties at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: String,
    /// Give up when a party has been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// Options of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Serves two parties, and ends with them.
pub fn run(args: &AssistantArgs) -> Result<(), Failure> {
    let secrets = Secrets::new(args.process.secrets.seed());
    let (own, keys) = (secrets.assistant_key()?, secrets.dealer_keys()?);
    let shape = args.process.shape.shape()?;
    let patience = Duration::from_secs(args.process.wait);
    let listener = listen(&args.listen)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    let quiet = args.process.supervised;
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("assistant: waiting for both parties at {address}"))?;
    }
    let end = |stream| TcpEnd::free(stream, shape);
    let (links, heard) = hear_parties(&listener, patience, end)?;
    let met = meet_parties(Helper::Assistant, links, heard, &keys, &[None, None])?;
    let (session, [first, second]) = met;
    if !quiet {
        console::line(&format!(
            "assistant: serving model {}, {}",
            session.model.name,
            work(&session)
        ))?;
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(session.iterations().into()),
    };
    let second = second.with_remote(Remote::Party(Role::P1));
    let idle = Duration::from_secs(args.idle);
    for link in [&first, &second] {
        let end = link.transport().inner();
        end.set_patience(idle).map_err(broken)?;
    }
    run_assistant(&session, (own, keys), (first, second), |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    })?;
    bar.finish_and_clear();
    if !quiet {
        console::line("assistant: done")?;
    }
    Ok(())
}
