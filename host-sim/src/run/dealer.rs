//! The dealer's role, from its link to P1 to its end.

use std::{net::TcpListener, sync::Arc, time::Duration};

use ringlet_core::{
    Role,
    dealt::{Dealer, DealerContext, Plan},
    net::{Link, Remote},
    num::Ring,
    prg::Key,
    session::{Ranks, RunError, Session, Validation},
};

use super::{
    beginning::{Beginning, await_rank},
    contribution_check,
    dispatch::{InRing, in_ring},
    early_stopping::share_stop,
    meeting::{FurtherRanksOf, Parties, RankReception, finish_with_parties, start_parties},
    mpi_ranks::MpiRanks,
    ranks::{self, Closer, offer},
    role_ranks::RoleRanks,
    validation::{self, Evaluation},
};
use crate::{
    data::{contribution_file::ContributionFile, masked_samples::MaskKeys},
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{Endpoint, UNBOUNDED, broken},
        rank_end::RankEnd,
        reception::MakeEnd,
        secure::SecureEnd,
        tcp::TcpEnd,
        watched::while_alive,
    },
    resources::filled,
};

/// Gets the iteration that is dealt, and the bytes sent so far.
pub type Progress<'a> = &'a mut dyn FnMut(u32, u64);

/// Deals a session to P1 in ring `R`, from the iteration `first` on. There is a further rank for each of the links
/// `further`.
pub fn run_dealer<R: Ring>(
    session: &Session,
    keys: [Key; 2],
    (link, further): (Link<AnyEnd<'_>>, Vec<RankEnd>),
    first: u32,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let dealing = Dealing {
        session,
        validation: None,
        contributions: None,
        keys,
        first,
    };
    run_threads::<R>(&dealing, link, (further, &Closer::of_dealer()), progress)
}

/// What the ranks of the dealer deal.
struct Dealing<'a> {
    session: &'a Session,
    /// The evaluations within it, if there are any.
    validation: Option<Validation>,
    /// The contributions that it trains on, if it does.
    contributions: Option<&'a ContributionFile>,
    keys: [Key; 2],
    /// The iteration that comes first.
    first: u32,
}

/// Deals with a rank for `link`, on this thread, and one for each of `further`, on threads of their own.
fn run_threads<R: Ring>(
    dealing: &Dealing<'_>,
    link: Link<AnyEnd<'_>>,
    further: (Vec<RankEnd>, &Closer),
    progress: Progress<'_>,
) -> Result<(), Failure> {
    ranks::run(
        further,
        |ranks| {
            let ranks = &mut RoleRanks::Threads(ranks);
            run_rank::<R>(dealing, ranks, link, progress)
        },
        |ranks, end| {
            let ranks = &mut RoleRanks::Threads(ranks);
            run_further_rank::<R>(dealing, ranks, end)
        },
    )
}

/// Deals as a further rank, and ends the link to the same rank of P1.
fn run_further_rank<R: Ring>(
    dealing: &Dealing<'_>,
    ranks: &mut RoleRanks<'_>,
    mut end: RankEnd,
) -> Result<(), Failure> {
    let remote = Remote::Party(Role::P1);
    let link = Link::new(AnyEnd::new(&mut end), remote, UNBOUNDED);
    run_rank::<R>(dealing, ranks, link, &mut |_, _| ())?;
    Ok(Link::new(end, remote, UNBOUNDED).finish(true)?)
}

/// As [`run_dealer`], for one of the dealer's ranks. The first one deals the evaluations.
fn run_rank<R: Ring>(
    dealing: &Dealing<'_>,
    ranks: &mut RoleRanks<'_>,
    link: Link<AnyEnd<'_>>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let &Dealing {
        session,
        validation,
        contributions,
        ref keys,
        first,
    } = dealing;
    let network = ringlet_core::dealt::check::<R>(session)?;
    let mut memory = filled(
        0,
        Plan::new(session, &network).dealer_arena_words::<R>(),
        "the masks",
    )?;
    let mut dealer = Dealer::<R>::new(session, &network, &mut memory).map_err(RunError::from)?;
    let mut cx = DealerContext::new(keys.clone(), link);
    if first > 0 {
        dealer.start_at(first)?;
    }
    if let Some(file) = contributions {
        let dealer = (&mut dealer, &mut cx);
        contribution_check::at_dealer(dealer, (session, &network), ranks, file)?;
    }
    for iteration in first..session.iterations() {
        match contributions {
            Some(file) => dealer.iterate_on(&mut cx, ranks, &mut MaskKeys(file), iteration)?,
            None => dealer.iterate_in_ranks(&mut cx, ranks, iteration)?,
        }
        let mut stops = false;
        if let (Some(validation), true) = (&validation, ranks.rank().is_first()) {
            for evaluation in Evaluation::due::<R>(validation, session, iteration)? {
                validation::deal::<R, _>(&evaluation, &mut cx)?;
            }
            if validation.may_stop_after(session, iteration) {
                stops = cx.hear_stop()?;
            }
        }
        progress(iteration, cx.sent());
        if share_stop(ranks, (validation.as_ref(), session), iteration, stops)? {
            break;
        }
    }
    Ok(())
}

/// Deals a session to P1 in its ring, from the iteration `first` on.
pub fn deal(
    session: &Session,
    keys: [Key; 2],
    link: Link<AnyEnd<'_>>,
    first: u32,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    struct Deal<'a> {
        session: &'a Session,
        keys: [Key; 2],
        link: Link<AnyEnd<'a>>,
        first: u32,
        progress: Progress<'a>,
    }

    impl InRing for Deal<'_> {
        type Output = ();

        fn run<R: Ring>(self) -> Result<(), Failure> {
            run_dealer::<R>(
                self.session,
                self.keys,
                (self.link, Vec::new()),
                self.first,
                self.progress,
            )
        }
    }

    let deal = Deal {
        session,
        keys,
        link,
        first,
        progress,
    };
    in_ring(session, deal)
}

/// A session whose parties have come and have their keys.
pub struct Begun {
    session: Session,
    validation: Option<Validation>,
    keys: [Key; 2],
    /// The iteration that comes first.
    first: u32,
    ends: [SecureEnd; 2],
    /// How many ranks each role has.
    ranks: u16,
    /// The links to P1's further ranks that this process has as threads.
    further: Vec<SecureEnd>,
    closer: Closer,
    /// The contributions that the session trains on, if it does.
    contributions: Option<Arc<ContributionFile>>,
}

/// Begins a session with two parties that have come: sends them their keys, and waits for P1's further ranks. There are as
/// many ranks as both parties and the dealer offer, which offers at most `threads`; or each is one of the dealer's
/// `processes`, of which all roles have to have the same number. A party may be silent, or take nothing, for as long as
/// `idle`.
pub fn begin(
    mut parties: Parties,
    keys: [Key; 2],
    (listener, endpoint): (&TcpListener, &Endpoint),
    (threads, idle): (Option<u16>, Duration),
    processes: Option<&mut MpiRanks>,
) -> Result<Begun, Failure> {
    let own = processes.as_ref().map_or(1, |ranks| ranks.rank().count());
    parties.check_processes(own)?;
    let first = parties.first();
    let Parties { hellos, mut ends } = parties;
    let offers = hellos.each_ref().map(|hello| hello.rank.count());
    let (session, validation) = (hellos[0].session.clone(), hellos[0].validation);
    let p1 = &hellos[1];
    let ranks = match &processes {
        Some(_) => own,
        None => {
            let own = offer(threads, session.most_ranks()).count();
            own.min(offers[0]).min(offers[1])
        }
    };
    let mut closer = Closer::of_dealer();
    // Before P1 has its key, with which its further ranks come.
    let mut reception = None;
    if let Some(processes) = processes {
        let (hello, keys) = (p1.clone(), keys.clone());
        Beginning { hello, keys, first }.give(processes)?;
    } else if ranks > 1 {
        let of_p1 = FurtherRanksOf {
            roles: &[Role::P1],
            count: ranks,
            indices: 1..ranks,
        };
        let place = (listener, endpoint);
        reception = Some(RankReception::open(place, p1, of_p1, TcpEnd::bounded)?);
    }
    let start = (&keys, first, ranks);
    let further = start_parties(&mut ends, start, reception, (idle, &mut closer))?;
    Ok(Begun {
        session,
        validation,
        keys,
        first,
        ends,
        ranks,
        further,
        closer,
        contributions: None,
    })
}

/// Deals as a further rank that is a process of its own, to the same rank of P1.
pub fn run_further_process(
    place: (&TcpListener, &Endpoint),
    idle: Duration,
    (beginning, contributions): (Beginning<2>, Option<&ContributionFile>),
    ranks: &mut MpiRanks,
) -> Result<(), Failure> {
    struct Further<'a>(
        Beginning<2>,
        SecureEnd,
        Option<&'a ContributionFile>,
        RoleRanks<'a>,
    );

    impl InRing for Further<'_> {
        type Output = ();

        fn run<R: Ring>(self) -> Result<(), Failure> {
            let Further(beginning, end, contributions, mut ranks) = self;
            let Beginning { hello, keys, first } = beginning;
            let dealing = Dealing {
                session: &hello.session,
                validation: hello.validation,
                contributions,
                keys,
                first,
            };
            run_further_rank::<R>(&dealing, &mut ranks, RankEnd::Secure(end))
        }
    }

    let wanted = (&*ranks, TcpEnd::bounded as MakeEnd);
    let [end] = await_rank(place, &beginning.hello, &[Role::P1], wanted)?;
    end.tcp().set_patience(idle).map_err(broken)?;
    let session = beginning.hello.session.clone();
    let ranks = &mut *ranks;
    let processes = RoleRanks::Processes(ranks);
    let further = Further(beginning, end, contributions, processes);
    in_ring(&session, further)?;
    ranks.meet();
    Ok(())
}

impl Begun {
    /// The same, on these contributions.
    pub fn on(self, contributions: Option<Arc<ContributionFile>>) -> Self {
        Begun {
            contributions,
            ..self
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How many ranks each role has.
    pub fn ranks(&self) -> u16 {
        self.ranks
    }

    /// Deals from the checkpoint that both parties have in common, or from the beginning, and ends the session with
    /// both. `progress` gets the iteration and the bytes that the first rank has sent so far.
    pub fn serve(
        mut self,
        processes: Option<&mut MpiRanks>,
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        struct Ranked<'a>(&'a mut Begun, Option<&'a mut MpiRanks>, Progress<'a>);

        impl InRing for Ranked<'_> {
            type Output = ();

            fn run<R: Ring>(self) -> Result<(), Failure> {
                let Ranked(begun, processes, progress) = self;
                let further = std::mem::take(&mut begun.further);
                let Begun {
                    session,
                    validation,
                    keys,
                    first,
                    ends: [p0, p1],
                    closer,
                    contributions,
                    ..
                } = begun;
                let dealing = Dealing {
                    session,
                    validation: *validation,
                    contributions: contributions.as_deref(),
                    keys: keys.clone(),
                    first: *first,
                };
                let link = Link::new(AnyEnd::new(p1), Remote::Party(Role::P1), UNBOUNDED);
                if let Some(processes) = processes {
                    let ranks = &mut RoleRanks::Processes(processes);
                    run_rank::<R>(&dealing, ranks, link, progress)?;
                    processes.meet();
                    return Ok(());
                }
                let closer = &*closer;
                let further = further.into_iter().map(RankEnd::Secure).collect();
                let run = || run_threads::<R>(&dealing, link, (further, closer), progress);
                // P0 says nothing before the end, and P1 may wait for it and take nothing.
                while_alive(p0.tcp(), closer.links(), run)
            }
        }

        let session = self.session.clone();
        in_ring(&session, Ranked(&mut self, processes, progress))?;
        let [p0, p1] = &mut self.ends;
        finish_with_parties([p0, p1])
    }
}

/// Bytes of corrections that the dealer sends to P1 in a whole session.
pub fn corrections(session: &Session) -> Result<u64, Failure> {
    corrections_from(session, 0)
}

/// Bytes of corrections that the dealer sends to P1 before an iteration of a session.
pub fn corrections_before(session: &Session, iteration: u32) -> Result<u64, Failure> {
    Ok(corrections(session)? - corrections_from(session, iteration)?)
}

fn corrections_from(session: &Session, first: u32) -> Result<u64, Failure> {
    struct Corrections<'a>(&'a Session, u32);

    impl InRing for Corrections<'_> {
        type Output = u64;

        fn run<R: Ring>(self) -> Result<u64, Failure> {
            let network = ringlet_core::dealt::check::<R>(self.0)?;
            Ok(Plan::new(self.0, &network).run_corrections::<R>(self.1))
        }
    }

    in_ring(session, Corrections(session, first))
}
