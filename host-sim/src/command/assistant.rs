//! `ringlet assistant`: the role of SecureNN's assistant on its own.

use std::{io, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::{
    Role,
    net::{Link, Remote},
    session::handshake::{Actor, send_key},
};

use crate::{
    config::args::{IdentityArgs, ProcessArgs, seconds},
    console,
    error::Failure,
    links::{
        connect::{UNBOUNDED, broken},
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        event::Event,
        meeting::{Parties, meet_parties},
        secrets::Secrets,
        securenn::run_assistant,
        supervision,
    },
};

/// Options of `assistant`.
#[derive(Clone, Debug, Args)]
pub struct AssistantArgs {
    /// Wait for the parties at this address (host:port).
    /// The roster's address when left out.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Give up when a party has been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// The identities of the roles.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Options of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Serves two parties, and ends with them.
pub fn run(args: &AssistantArgs) -> Result<(), Failure> {
    let secrets = Secrets::new(args.process.secrets.seed());
    let (own, keys) = (secrets.assistant_key()?, secrets.dealer_keys()?);
    let membership = args
        .identity
        .membership(Actor::Assistant, args.process.supervised)?;
    let address = membership.address(args.listen.as_ref(), Actor::Assistant, "--listen")?;
    let endpoint = args
        .process
        .endpoint(Actor::Assistant, membership.credentials)?;
    let listener = endpoint.listen(&address)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    let quiet = args.process.supervised;
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("assistant: waiting for both parties at {address}"))?;
    }
    let Parties { hellos, mut ends } =
        meet_parties(Helper::Assistant, &listener, &endpoint, TcpEnd::free)?;
    let session = &hellos[0].session;
    let idle = Duration::from_secs(args.idle);
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let [p0, p1] = &mut ends;
    let mut first = Link::new(p0, Remote::Party(Role::P0), UNBOUNDED);
    let mut second = Link::new(p1, Remote::Party(Role::P1), UNBOUNDED);
    send_key(&mut first, &keys[0], 0)?;
    send_key(&mut second, &keys[1], 0)?;
    if !quiet {
        console::line(&format!(
            "assistant: serving model {}, {}",
            session.model.name,
            work(session)
        ))?;
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(session.iterations().into()),
    };
    let links = run_assistant(session, (own, keys), (first, second), |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    })?;
    let (mut first, mut second) = links;
    first.end(true)?;
    second.end(true)?;
    first.confirm(true)?;
    second.confirm(true)?;
    bar.finish_and_clear();
    if !quiet {
        console::line("assistant: done")?;
    }
    Ok(())
}
