//! `ringlet assistant`: the role of SecureNN's assistant on its own.

use std::{io, time::Duration};

use clap::Args;
use ringlet_core::{
    Role,
    net::{Link, Remote},
    prg::Key,
    session::handshake::{Actor, Start, send_key},
};

use crate::{
    config::args::{IdentityArgs, LogArgs, ProcessArgs, SessionFileArgs, seconds},
    console::{self, bar::Bar},
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{UNBOUNDED, broken},
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        event::Event,
        meeting::{Needed, Parties, finish_with_parties, meet_parties},
        secrets::Secrets,
        securenn::run_assistant,
        supervision,
    },
};

/// Options of `assistant`.
#[derive(Clone, Debug, Args)]
pub struct AssistantArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Wait for the parties at this address (host:port).
    ///
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
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Serves two parties, and ends with them.
pub fn run(args: &AssistantArgs) -> Result<(), Failure> {
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
        console::note(&format!("assistant: waiting for both parties at {address}"));
    }
    let mut attempt = 0;
    loop {
        let parties = meet_parties(
            (Helper::Assistant, Needed::None),
            &listener,
            &endpoint,
            TcpEnd::free,
        )?;
        let durable = parties.are_durable();
        // A run that goes on has new keys, so no mask serves twice.
        let secrets = Secrets::new(args.process.secrets.seed()).attempt(attempt);
        let keys = (secrets.assistant_key()?, secrets.dealer_keys()?);
        if !durable {
            // Who comes later is told so by the system.
            drop(listener);
            serve(args, parties, keys)?;
            break;
        }
        match serve(args, parties, keys) {
            Ok(()) => break,
            Err(failure) if failure.is_broken_link() && !quiet => console::note(&format!(
                "assistant: {failure}; waiting for both parties again"
            )),
            Err(failure) if failure.is_broken_link() => {}
            Err(failure) => return Err(failure),
        }
        attempt += 1;
    }
    if !quiet {
        console::line("assistant: done")?;
    }
    Ok(())
}

/// Assists two parties from the checkpoint that they have in common, or from the beginning.
fn serve(
    args: &AssistantArgs,
    parties: Parties,
    (own, keys): (Key, [Key; 2]),
) -> Result<(), Failure> {
    let quiet = args.process.supervised;
    let start = parties.first();
    let Parties { hellos, mut ends } = parties;
    let session = &hellos[0].session;
    let idle = Duration::from_secs(args.idle);
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let [p0, p1] = &mut ends;
    let mut first = Link::new(AnyEnd::new(&mut *p0), Remote::Party(Role::P0), UNBOUNDED);
    let mut second = Link::new(AnyEnd::new(&mut *p1), Remote::Party(Role::P1), UNBOUNDED);
    for (link, key) in [(&mut first, &keys[0]), (&mut second, &keys[1])] {
        let start = Start {
            key: key.clone(),
            first: start,
            ranks: 1,
        };
        send_key(link, &start)?;
    }
    if !quiet {
        console::note(&format!(
            "assistant: serving model {}, {}",
            session.model.name,
            work(session)
        ));
    }
    let mut bar = match quiet {
        true => Bar::hidden(),
        false => Bar::new("assistant", session),
    };
    let progress = &mut |iteration, sent| {
        let done = u64::from(iteration) + 1;
        bar.set(done, format!("{} sent", bytes(sent)));
        bar.tell_epoch(done);
    };
    let served = run_assistant(session, (own, keys), (first, second), start, progress);
    bar.finish();
    served?;
    finish_with_parties([p0, p1])
}
