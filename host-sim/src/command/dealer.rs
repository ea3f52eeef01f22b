//! `ringlet dealer`: the dealer's role on its own.

use std::{io, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use ringlet_core::session::handshake::Actor;

use crate::{
    config::args::{IdentityArgs, ProcessArgs, seconds, threads},
    console,
    error::Failure,
    links::{connect::broken, tcp::TcpEnd},
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        dealer::{Begun, begin},
        event::Event,
        meeting::meet_parties,
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
    /// Deal on so many threads; as many as the machine has processors when left out.
    /// There are no more than the parties have, and than a batch has micro-batches.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
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
    let idle = Duration::from_secs(args.idle);
    // Whoever started a supervised dealer has its processors.
    let threads = args.threads.or(quiet.then_some(1));
    let mut attempt = 0;
    loop {
        let parties = meet_parties(Helper::Dealer, &listener, &endpoint, TcpEnd::bounded)?;
        let durable = parties.are_durable();
        // A run that goes on has new keys, so no mask serves twice.
        let keys = Secrets::new(args.process.secrets.seed())
            .attempt(attempt)
            .dealer_keys()?;
        let place = (&listener, &endpoint);
        let begin = || begin(parties, keys, place, (threads, idle));
        if !durable {
            let begun = begin()?;
            // Who comes later is told so by the system.
            drop(listener);
            deal(quiet, begun)?;
            break;
        }
        match begin().and_then(|begun| deal(quiet, begun)) {
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

/// Deals a session that has begun, and shows its progress.
fn deal(quiet: bool, begun: Begun) -> Result<(), Failure> {
    let session = begun.session();
    if !quiet {
        let threads = match begun.ranks() {
            1 => String::new(),
            ranks => format!(", on {ranks} threads"),
        };
        console::line(&format!(
            "dealer: serving model {}, {}{threads}",
            session.model.name,
            work(session)
        ))?;
    }
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(session.iterations().into()),
    };
    let dealt = begun.serve(&mut |iteration, sent| {
        bar.set_position(u64::from(iteration) + 1);
        bar.set_message(bytes(sent));
    });
    bar.finish_and_clear();
    dealt
}
