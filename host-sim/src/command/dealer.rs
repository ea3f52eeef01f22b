//! `ringlet dealer`: the dealer's role on its own.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use ringlet_core::session::{Rank, Ranks, Session, handshake::Actor};

use super::role_processes;
use crate::{
    config::args::{IdentityArgs, LogArgs, ProcessArgs, SessionFileArgs, seconds, threads},
    console::{self, bar::Bar},
    data::contribution_file::ContributionFile,
    error::Failure,
    links::{
        connect::{Endpoint, broken},
        rank_address::rank_address,
        tcp::TcpEnd,
    },
    output::amounts::{bytes, work},
    run::{
        actors::Helper,
        beginning::Beginning,
        contribution_lists::{Place, StoreLists},
        dealer::{Begun, begin, run_further_process},
        event::Event,
        meeting::{Needed, meet_parties},
        mpi_ranks::MpiRanks,
        secrets::Secrets,
        supervision,
    },
};

/// Options of `dealer`.
#[derive(Clone, Debug, Args)]
pub struct DealerArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// Wait for the parties at this address (host:port).
    ///
    /// The roster's address when left out.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Give up when a party has taken nothing for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// Deal on so many threads.
    ///
    /// As many as the machine has processors when left out. There are no more than the parties have, and than a batch has
    /// micro-batches.
    #[arg(long, value_name = "N", value_parser = threads())]
    pub threads: Option<u16>,
    /// Deal to parties that train on the samples of many owners: this is the dealer's file of contributions, as `ringlet collect
    /// export` writes it, or the store of a `ringlet collect` that runs.
    #[arg(long, value_name = "FILE")]
    pub contributions: Option<PathBuf>,
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
pub fn run(args: &DealerArgs) -> Result<(), Failure> {
    role_processes::run(args.process.supervised, |processes| {
        run_rank(args, processes)
    })
}

/// Runs the dealer in this process, which is one of several if there are `processes`.
fn run_rank(args: &DealerArgs, mut processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let rank = processes.as_ref().map_or(Rank::ONLY, |ranks| ranks.rank());
    role_processes::check_threads(args.threads, rank)?;
    let contributed = Contributed::at(args.contributions.as_deref())?;
    let membership = args
        .identity
        .membership(Actor::Dealer, args.process.supervised)?;
    let address = membership.address(args.listen.as_ref(), Actor::Dealer, "--listen")?;
    let address = rank_address(&address, rank)?;
    let endpoint = args
        .process
        .endpoint(Actor::Dealer, membership.credentials)?;
    let quiet = args.process.supervised;
    let listener = endpoint.listen(&address)?;
    let idle = Duration::from_secs(args.idle);
    if let (Some(ranks), false) = (&mut processes, rank.is_first()) {
        let endpoint = Endpoint {
            quiet: true,
            ..endpoint
        };
        // Each epoch on a store is a session.
        loop {
            let beginning = Beginning::take(ranks)?;
            let contributions = contributed.of(&beginning.hello.session)?;
            let is_last = beginning.hello.session.ends_training();
            let begun = (beginning, contributions.as_deref());
            run_further_process((&listener, &endpoint), idle, begun, ranks)?;
            if is_last {
                return Ok(());
            }
        }
    }
    let address = listener.local_addr().map_err(broken)?.to_string();
    if quiet {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::note(&format!("dealer: waiting for both parties at {address}"));
    }
    // Whoever started a supervised dealer has its processors.
    let threads = args.threads.or(quiet.then_some(1));
    let mut attempt = 0;
    loop {
        let helper = (Helper::Dealer, contributed.needed());
        let parties = meet_parties(helper, &listener, &endpoint, TcpEnd::bounded)?;
        let contributions = contributed.of(parties.session())?;
        let is_last = parties.session().ends_training();
        // Several processes end together, and are started again together.
        let durable = parties.are_durable() && processes.is_none();
        // A run that goes on has new keys, so no mask serves twice.
        let keys = Secrets::new(args.process.secrets.seed())
            .attempt(attempt)
            .dealer_keys()?;
        let place = (&listener, &endpoint);
        let limits = (threads, idle);
        if !durable && is_last {
            let begun = begin(parties, keys, place, limits, processes.as_deref_mut())?;
            let begun = begun.on(contributions);
            // Who comes later is told so by the system.
            drop(listener);
            deal(quiet, begun, processes)?;
            break;
        }
        let begun = begin(parties, keys, place, limits, processes.as_deref_mut());
        let dealt =
            begun.and_then(|begun| deal(quiet, begun.on(contributions), processes.as_deref_mut()));
        match dealt {
            Ok(()) if is_last => break,
            // The parties come again for the next epoch.
            Ok(()) => {}
            Err(failure) if processes.is_some() => return Err(failure),
            Err(failure) if failure.is_broken_link() && !quiet => console::note(&format!(
                "dealer: {failure}; waiting for both parties again"
            )),
            Err(failure) if failure.is_broken_link() => {}
            Err(failure) => return Err(failure),
        }
        attempt += 1;
    }
    contributed.end();
    if !quiet {
        console::line("dealer: done")?;
    }
    Ok(())
}

/// The contributions of a dealer.
enum Contributed {
    /// None.
    None,
    /// Those of a file.
    File(Arc<ContributionFile>),
    /// The lists of a store.
    Lists(StoreLists),
}

impl Contributed {
    /// What `path` names, if it is given.
    fn at(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Contributed::None);
        };
        match Place::at(path, Actor::Dealer) {
            Place::Store(lists) => Ok(Contributed::Lists(lists)),
            Place::File(path) => {
                let file = ContributionFile::open(&path, Actor::Dealer)?;
                Ok(Contributed::File(Arc::new(file)))
            }
        }
    }

    /// What the sessions of parties have to be on.
    fn needed(&self) -> Needed {
        match self {
            Contributed::None => Needed::None,
            Contributed::File(file) => Needed::List(file.list),
            Contributed::Lists(_) => Needed::Store,
        }
    }

    /// The contributions of a session, if it is on any.
    fn of(&self, session: &Session) -> Result<Option<Arc<ContributionFile>>, Failure> {
        match (self, session.contributions) {
            (Contributed::File(file), _) => Ok(Some(file.clone())),
            (Contributed::Lists(lists), Some(of)) => {
                let file = lists.named(of.list)?;
                // The list before may be taken up again.
                lists.forget(file.number.saturating_sub(2));
                Ok(Some(file))
            }
            _ => Ok(None),
        }
    }

    /// The training is over.
    fn end(&self) {
        if let Contributed::Lists(lists) = self {
            lists.forget_all();
        }
    }
}

/// Deals a session that has begun, and shows its progress.
fn deal(quiet: bool, begun: Begun, processes: Option<&mut MpiRanks>) -> Result<(), Failure> {
    let session = begun.session();
    if !quiet {
        let ranks = match (begun.ranks(), &processes) {
            (1, _) => String::new(),
            (ranks, None) => format!(", on {ranks} threads"),
            (ranks, Some(_)) => format!(", in {ranks} processes"),
        };
        console::note(&format!(
            "dealer: serving model {}, {}{ranks}",
            session.model.name,
            work(session)
        ));
    }
    let mut bar = match quiet {
        true => Bar::hidden(),
        false => Bar::new("dealer", session),
    };
    let dealt = begun.serve(processes, &mut |iteration, sent| {
        let done = u64::from(iteration) + 1;
        bar.set(done, format!("{} sent", bytes(sent)));
        bar.tell_epoch(done);
    });
    bar.finish();
    dealt
}
