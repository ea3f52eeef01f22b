//! `ringlet assistant`: the role of SecureNN's assistant on its own.

use std::{io, time::Duration};

use clap::Args;
use ringlet_core::session::{Rank, Ranks, handshake::Actor};

use super::role_processes;
use crate::{
    config::args::{IdentityArgs, LogArgs, ProcessArgs, SessionFileArgs, seconds, threads},
    console::{self, bar::Bar},
    error::Failure,
    links::{
        connect::{Endpoint, broken},
        rank_address::rank_address,
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        assistant::{Begun, begin, run_further_process},
        beginning::Beginning,
        event::Event,
        meeting::{Needed, meet_parties},
        mpi_ranks::MpiRanks,
        secrets::Secrets,
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
    /// Assist on so many threads.
    ///
    /// As many as the machine has processors when left out. There are no more than the parties have, and than a batch has
    /// micro-batches.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
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
    role_processes::run(args.process.supervised, |processes| {
        run_rank(args, processes)
    })
}

/// Runs the assistant in this process, which is one of several if there are `processes`.
fn run_rank(args: &AssistantArgs, mut processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let rank = processes.as_ref().map_or(Rank::ONLY, |ranks| ranks.rank());
    role_processes::check_threads(args.threads, rank)?;
    let membership = args
        .identity
        .membership(Actor::Assistant, args.process.supervised)?;
    let address = membership.address(args.listen.as_ref(), Actor::Assistant, "--listen")?;
    let address = rank_address(&address, rank)?;
    let endpoint = args
        .process
        .endpoint(Actor::Assistant, membership.credentials)?;
    let listener = endpoint.listen(&address)?;
    let idle = Duration::from_secs(args.idle);
    if let (Some(ranks), false) = (&mut processes, rank.is_first()) {
        let endpoint = Endpoint {
            quiet: true,
            ..endpoint
        };
        let beginning = Beginning::take(ranks)?;
        return run_further_process((&listener, &endpoint), idle, beginning, ranks);
    }
    let address = listener.local_addr().map_err(broken)?.to_string();
    let quiet = args.process.supervised;
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::note(&format!("assistant: waiting for both parties at {address}"));
    }
    // Whoever started a supervised assistant has its processors.
    let threads = args.threads.or(quiet.then_some(1));
    let mut attempt = 0;
    loop {
        let parties = meet_parties(
            (Helper::Assistant, Needed::None),
            &listener,
            &endpoint,
            TcpEnd::free,
        )?;
        // Several processes end together, and are started again together.
        let durable = parties.are_durable() && processes.is_none();
        // A run that goes on has new keys, so no mask serves twice.
        let secrets = Secrets::new(args.process.secrets.seed()).attempt(attempt);
        let keys = (secrets.assistant_key()?, secrets.dealer_keys()?);
        let place = (&listener, &endpoint);
        let limits = (threads, idle);
        if !durable {
            let begun = begin(parties, keys, place, limits, processes.as_deref_mut())?;
            // Who comes later is told so by the system.
            drop(listener);
            serve(quiet, begun, processes)?;
            break;
        }
        let begun = begin(parties, keys, place, limits, None);
        let served = begun.and_then(|begun| serve(quiet, begun, None));
        match served {
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
fn serve(quiet: bool, begun: Begun, processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let session = begun.session().clone();
    if !quiet {
        let ranks = match (begun.ranks(), &processes) {
            (1, _) => String::new(),
            (ranks, None) => format!(" on {ranks} threads"),
            (ranks, Some(_)) => format!(" in {ranks} processes"),
        };
        console::note(&format!(
            "assistant: serving model {}, {}{ranks}",
            session.model.name,
            work(&session)
        ));
    }
    let mut bar = match quiet {
        true => Bar::hidden(),
        false => Bar::new("assistant", &session),
    };
    let progress = &mut |iteration, sent| {
        let done = u64::from(iteration) + 1;
        bar.set(done, format!("{} sent", bytes(sent)));
        bar.tell_epoch(done);
    };
    let served = begun.serve(processes, progress);
    bar.finish();
    served
}
