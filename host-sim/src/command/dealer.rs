//! `ringlet dealer`: the dealer's role on its own.

use std::{io, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::{prg::Key, session::handshake::Actor};

use crate::{
    config::args::{IdentityArgs, ProcessArgs, seconds},
    console,
    error::Failure,
    links::{connect::broken, tcp::TcpEnd},
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        dealer::serve,
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
    let mut attempt = 0;
    loop {
        let parties = meet_parties(Helper::Dealer, &listener, &endpoint, TcpEnd::bounded)?;
        let durable = parties.are_durable();
        // A run that goes on has new keys, so no mask serves twice.
        let keys = Secrets::new(args.process.secrets.seed())
            .attempt(attempt)
            .dealer_keys()?;
        if !durable {
            // Who comes later is told so by the system.
            drop(listener);
            deal_to(args, parties, keys)?;
            break;
        }
        match deal_to(args, parties, keys) {
            Ok(()) => break,
            Err(failure) if failure.is_broken_link() && !quiet => console::note(&format!(
                "dealer: {failure}; waiting for both parties again"
            )),
            Err(failure) if failure.is_broken_link() => {}
            Err(failure) => return Err(failure),
        }
        attempt += 1;
    }
    if !quiet {
        console::line("dealer: done")?;
    }
    Ok(())
}

/// Deals to two parties from the checkpoint that they have in common, or from the beginning.
fn deal_to(args: &DealerArgs, parties: Parties, keys: [Key; 2]) -> Result<(), Failure> {
    let quiet = args.process.supervised;
    let session = &parties.hellos[0].session;
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
    let idle = Duration::from_secs(args.idle);
    let dealt = serve(parties, keys, idle, |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    });
    bar.finish_and_clear();
    dealt
}
