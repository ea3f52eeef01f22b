//! SecureNN's assistant, from its links to both parties to its end.

use std::{net::TcpListener, time::Duration};

use ringlet_core::{
    Role,
    net::{Link, Remote},
    prg::Key,
    securenn::{Assistant, AssistantContext, assistant_words},
    session::{Rank, Ranks, RunError, Session},
};

use super::{
    dealer::Progress,
    meeting::{FurtherRanksOf, Parties, RankReception, finish_with_parties, start_parties},
    ranks::{self, Closer, offer},
};
use crate::{
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{Endpoint, UNBOUNDED},
        rank_end::RankEnd,
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
            |ranks, mut ends| {
                let [p0, p1] = &mut ends;
                let links = [(Role::P0, p0), (Role::P1, p1)]
                    .map(|(role, end)| Link::new(AnyEnd::new(end), Remote::Party(role), UNBOUNDED));
                self.run_rank(ranks.rank(), links, &mut |_, _| ())?;
                let [p0, p1] = &mut ends;
                finish_with_parties([p0, p1])
            },
        )
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

/// A session whose parties have come and have their keys.
pub struct Begun {
    session: Session,
    own: Key,
    shared: [Key; 2],
    /// The iteration that comes first.
    first: u32,
    ends: [SecureEnd; 2],
    /// The links to both parties' further ranks.
    further: Vec<[RankEnd; 2]>,
    closer: Closer,
}

/// Begins a session with two parties that have come: sends them their keys, and waits for their further ranks. There are as
/// many ranks as both parties and the assistant offer, which offers at most `threads`. A party may be silent for as long as
/// `idle`.
pub fn begin(
    parties: Parties,
    (own, shared): (Key, [Key; 2]),
    (listener, endpoint): (&TcpListener, &Endpoint),
    (threads, idle): (Option<u16>, Duration),
) -> Result<Begun, Failure> {
    let first = parties.first();
    let Parties { hellos, mut ends } = parties;
    let session = hellos[0].session.clone();
    let offers = hellos.each_ref().map(|hello| hello.rank.count());
    let ranks = offer(threads, session.most_ranks()).count();
    let ranks = ranks.min(offers[0]).min(offers[1]);
    let mut closer = Closer::of_party();
    let mut reception = None;
    if ranks > 1 {
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
        further: further.collect(),
        closer,
    })
}

impl Begun {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How many ranks each role has.
    pub fn ranks(&self) -> u16 {
        self.further.len() as u16 + 1
    }

    /// Assists both parties from the checkpoint that they have in common, or from the beginning, and ends the session with
    /// both. `progress` gets the iteration and the bytes that the first rank has sent so far.
    pub fn serve(self, progress: Progress<'_>) -> Result<(), Failure> {
        let mut ends = self.ends;
        let assisting = Assisting {
            session: &self.session,
            own: self.own,
            shared: self.shared,
            first: self.first,
        };
        let [p0, p1] = &mut ends;
        let links = [(Role::P0, &mut *p0), (Role::P1, &mut *p1)]
            .map(|(role, end)| Link::new(AnyEnd::new(end), Remote::Party(role), UNBOUNDED));
        assisting.run(links, (self.further, &self.closer), progress)?;
        finish_with_parties([p0, p1])
    }
}
