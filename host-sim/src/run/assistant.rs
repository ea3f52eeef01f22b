//! SecureNN's assistant, from its links to both parties to its end.

use std::{net::TcpListener, time::Duration};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    net::{Finish, Link, Remote},
    prg::Key,
    securenn::{Assistant, AssistantContext, assistant_words},
    session::{Rank, Ranks, RunError, Session},
};

use super::{
    beginning::{Beginning, await_rank},
    dealer::Progress,
    meeting::{FurtherRanksOf, Parties, RankReception, finish_with_parties, start_parties},
    mpi_ranks::MpiRanks,
    ranks::{self, Closer, offer},
};
use crate::{
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{Endpoint, UNBOUNDED, broken},
        rank_end::RankEnd,
        reception::MakeEnd,
        secure::SecureEnd,
        tcp::TcpEnd,
    },
    resources::filled,
};

/// What the ranks of the assistant need beside their links.
pub struct Assisting<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The key that nobody else has.
    pub own: Key,
    /// Those that the assistant shares with P0 and with P1.
    pub shared: [Key; 2],
    /// The iteration that comes first.
    pub first: u32,
}

impl Assisting<'_> {
    /// Assists through a whole session, with a rank for `links`, on this thread, and one for each of `further`, on threads
    /// of their own.
    pub fn run(
        &self,
        links: [Link<AnyEnd<'_>>; 2],
        further: (Vec<[RankEnd; 2]>, &Closer),
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        ranks::run(
            further,
            |ranks| self.run_rank(ranks.rank(), links, progress),
            |ranks, ends| self.run_further_rank(ranks.rank(), ends),
        )
    }

    /// Assists as a further rank, and ends the links to the same ranks of the parties.
    fn run_further_rank(&self, rank: Rank, mut ends: [RankEnd; 2]) -> Result<(), Failure> {
        self.run_rank(rank, links(&mut ends), &mut |_, _| ())?;
        finish_with_parties(ends.each_mut())
    }

    /// As [`Assisting::run`], for one of the ranks.
    fn run_rank(
        &self,
        rank: Rank,
        [first, second]: [Link<AnyEnd<'_>>; 2],
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        let session = self.session;
        let network = ringlet_core::securenn::check(session)?;
        let mut memory = filled(0, assistant_words(session, &network), "the shares")?;
        let mut assistant =
            Assistant::new(session, &network, &mut memory).map_err(RunError::from)?;
        let (own, shared) = (self.own.clone(), self.shared.clone());
        let mut cx = AssistantContext::new(own, shared, first, second);
        if self.first > 0 {
            assistant.start_at(self.first)?;
        }
        for iteration in self.first..session.iterations() {
            assistant.iterate_as_rank(&mut cx, rank, iteration)?;
            progress(iteration, cx.sent());
        }
        Ok(())
    }
}

/// The links to both parties over these ends.
fn links<E: Read + Write + Finish + Send>(ends: &mut [E; 2]) -> [Link<AnyEnd<'_>>; 2] {
    let [p0, p1] = ends;
    [(Role::P0, p0), (Role::P1, p1)]
        .map(|(role, end)| Link::new(AnyEnd::new(end), Remote::Party(role), UNBOUNDED))
}

/// A session whose parties have come and have their keys.
pub struct Begun {
    session: Session,
    own: Key,
    shared: [Key; 2],
    /// The iteration that comes first.
    first: u32,
    ends: [SecureEnd; 2],
    /// How many ranks each role has.
    ranks: u16,
    /// The links to both parties' further ranks that this process has as threads.
    further: Vec<[RankEnd; 2]>,
    closer: Closer,
}

/// Begins a session with two parties that have come: sends them their keys, and waits for their further ranks. There are as
/// many ranks as both parties and the assistant offer, which offers at most `threads`; or each is one of the assistant's
/// `processes`, of which all roles have to have the same number. A party may be silent for as long as `idle`.
pub fn begin(
    mut parties: Parties,
    (own, shared): (Key, [Key; 2]),
    (listener, endpoint): (&TcpListener, &Endpoint),
    (threads, idle): (Option<u16>, Duration),
    processes: Option<&mut MpiRanks>,
) -> Result<Begun, Failure> {
    let count = processes.as_ref().map_or(1, |ranks| ranks.rank().count());
    parties.check_processes(count)?;
    let first = parties.first();
    let Parties { hellos, mut ends } = parties;
    let session = hellos[0].session.clone();
    let offers = hellos.each_ref().map(|hello| hello.rank.count());
    let ranks = match &processes {
        Some(_) => count,
        None => {
            let own = offer(threads, session.most_ranks()).count();
            own.min(offers[0]).min(offers[1])
        }
    };
    let mut closer = Closer::of_party();
    let mut reception = None;
    if let Some(processes) = processes {
        let [p0, p1] = &shared;
        let keys = [own.clone(), p0.clone(), p1.clone()];
        let hello = hellos[0].clone();
        Beginning { hello, keys, first }.give(processes)?;
    } else if ranks > 1 {
        let of_both = FurtherRanksOf {
            roles: &Role::BOTH,
            count: ranks,
            indices: 1..ranks,
        };
        let place = (listener, endpoint);
        // The parties run the same session, so the hello of either is as good.
        reception = Some(RankReception::open(
            place,
            &hellos[0],
            of_both,
            TcpEnd::free,
        )?);
    }
    let start = (&shared, first, ranks);
    let mut of_p0 = start_parties(&mut ends, start, reception, (idle, &mut closer))?;
    let of_p1 = of_p0.split_off(of_p0.len() / 2);
    let pairs = of_p0.into_iter().zip(of_p1);
    let further = pairs.map(|(p0, p1)| [p0, p1].map(RankEnd::Secure));
    Ok(Begun {
        session,
        own,
        shared,
        first,
        ends,
        ranks,
        further: further.collect(),
        closer,
    })
}

/// Assists as a further rank that is a process of its own, to the same ranks of both parties.
pub fn run_further_process(
    place: (&TcpListener, &Endpoint),
    idle: Duration,
    beginning: Beginning<3>,
    ranks: &mut MpiRanks,
) -> Result<(), Failure> {
    let Beginning {
        hello,
        keys: [own, p0, p1],
        first,
    } = beginning;
    let wanted = (&*ranks, TcpEnd::free as MakeEnd);
    let ends = await_rank(place, &hello, &Role::BOTH, wanted)?;
    for end in &ends {
        end.tcp().set_patience(idle).map_err(broken)?;
    }
    let assisting = Assisting {
        session: &hello.session,
        own,
        shared: [p0, p1],
        first,
    };
    assisting.run_further_rank(ranks.rank(), ends.map(RankEnd::Secure))?;
    ranks.meet();
    Ok(())
}

impl Begun {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How many ranks each role has.
    pub fn ranks(&self) -> u16 {
        self.ranks
    }

    /// Assists both parties from the checkpoint that they have in common, or from the beginning, and ends the session with
    /// both. `progress` gets the iteration and the bytes that the first rank has sent so far.
    pub fn serve(
        self,
        processes: Option<&mut MpiRanks>,
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        let mut ends = self.ends;
        let assisting = Assisting {
            session: &self.session,
            own: self.own,
            shared: self.shared,
            first: self.first,
        };
        let links = links(&mut ends);
        match processes {
            Some(ranks) => {
                assisting.run_rank(ranks.rank(), links, progress)?;
                ranks.meet();
            }
            None => assisting.run(links, (self.further, &self.closer), progress)?,
        }
        finish_with_parties(ends.each_mut())
    }
}
