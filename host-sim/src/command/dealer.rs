//! `ringlet dealer`: the dealer's role on its own.

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
        dealer::deal,
        event::Event,
        meeting::{Parties, meet_parties},
        secrets::Secrets,
        supervision,
    },
};

/// Options of `dealer`.
#[derive(Clone, Debug, Args)]
pub struct DealerArgs {
    /// Wait for the parties at this address (host:port).
    /// The roster's address when left out.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Give up when a party has taken nothing for so many seconds during the run.
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
pub fn run(args: &DealerArgs) -> Result<(), Failure> {
    let keys = Secrets::new(args.process.secrets.seed()).dealer_keys()?;
    let membership = args
        .identity
        .membership(Actor::Dealer, args.process.supervised)?;
    let address = membership.address(args.listen.as_ref(), Actor::Dealer, "--listen")?;
    let endpoint = args
        .process
        .endpoint(Actor::Dealer, membership.credentials)?;
    let quiet = args.process.supervised;
    let listener = endpoint.listen(&address)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("dealer: waiting for both parties at {address}"))?;
    }
    let Parties { hellos, mut ends } =
        meet_parties(Helper::Dealer, &listener, &endpoint, TcpEnd::bounded)?;
    let session = &hellos[0].session;
    let idle = Duration::from_secs(args.idle);
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let [p0, p1] = &mut ends;
    let mut to_p0 = Link::new(p0, Remote::Party(Role::P0), UNBOUNDED);
    let mut to_p1 = Link::new(p1, Remote::Party(Role::P1), UNBOUNDED);
    send_key(&mut to_p0, &keys[0], 0)?;
    send_key(&mut to_p1, &keys[1], 0)?;
    if !quiet {
        console::line(&format!(
            "dealer: serving model {}, {}",
            session.model.name,
            work(session)
        ))?;
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(session.iterations().into()),
    };
    let mut to_p1 = deal(session, keys, to_p1, |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    })?;
    to_p1.end(true)?;
    to_p0.end(true)?;
    to_p1.confirm(true)?;
    to_p0.confirm(true)?;
    bar.finish_and_clear();
    if !quiet {
        console::line("dealer: done")?;
    }
    Ok(())
}
