//! A session with all its roles as threads of this process.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{
        Protocol, Session,
        handshake::{Hello, Seal, receive_hello},
    },
    share::Observer,
};

use crate::links::connect::UNBOUNDED;
use crate::{
    data::{Images, OwnImages},
    error::Failure,
    links::{
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
        wait_time::WaitTime,
    },
    output::report::Spent,
    run::{
        event::Event,
        roles::{Helper, PartySetup, greet, meet_parties, run_dealer, run_party},
        secrets::Secrets,
        securenn,
    },
};

/// A role of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A computing party.
    Party(Role),
    /// The dealer.
    Dealer,
    /// The assistant, in the dealer's place.
    Assistant,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Party(role) => write!(f, "party {role}"),
            Actor::Dealer => f.write_str("the dealer"),
            Actor::Assistant => f.write_str("the assistant"),
        }
    }
}

/// What a role tells.
pub type Told = (Actor, Event);

/// What a simulation runs.
pub struct Simulation<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// All images, P0's first.
    pub images: &'a Images,
    /// What the links are like.
    pub shape: TrafficShape,
    /// Where keys and first weights come from.
    pub secrets: Secrets,
}

/// A party that has met the others, and what it needs.
pub struct Seat<'s> {
    /// Beside its links.
    pub setup: PartySetup<'s>,
    /// To the peer.
    pub peer: Link<MemoryEnd>,
    /// To the dealer or the assistant.
    pub helper: Link<MemoryEnd>,
    /// Its own images.
    pub data: OwnImages,
}

/// Where a party tells what it does.
pub type Emit<'e> = &'e mut dyn FnMut(Event) -> Result<(), Failure>;

/// Trains with a dealer.
fn train<R: Ring>(
    mut seat: Seat<'_>,
    observer: &mut impl Observer<R>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let (peer, dealer) = (seat.peer, seat.helper);
    run_party::<R, _, _>(seat.setup, peer, dealer, &mut seat.data, observer, emit).map(drop)
}

impl Simulation<'_> {
    /// Runs all roles to their end, with a watch on either party; `take` gets what the parties tell.
    /// Returns where the roles' time went.
    pub fn run<R: Ring>(
        &self,
        (mut watch_p0, mut watch_p1): (impl Observer<R> + Send, impl Observer<R> + Send),
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        self.with_dealer::<R>(
            move |seat, emit| train(seat, &mut watch_p0, emit),
            move |seat, emit| train(seat, &mut watch_p1, emit),
            take,
        )
    }

    /// The same with an assistant in the dealer's place.
    pub fn run_assisted(
        &self,
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let train = |mut seat: Seat<'_>, pair, emit: Emit<'_>| {
            let links = (seat.peer, seat.helper);
            securenn::run_party(seat.setup, pair, links, &mut seat.data, emit).map(drop)
        };
        self.with_assistant(train, take)
    }

    /// Runs both parties beside a dealer.
    pub fn with_dealer<R: Ring>(
        &self,
        p0: impl FnOnce(Seat<'_>, Emit<'_>) -> Result<(), Failure> + Send,
        p1: impl FnOnce(Seat<'_>, Emit<'_>) -> Result<(), Failure> + Send,
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let helpers = [memory::bounded(self.shape), memory::bounded(self.shape)];
        let deal = move |ends| deal::<R>(keys, [None, None], ends);
        self.play((Actor::Dealer, deal), helpers, (p0, p1), take)
    }

    /// Runs both parties beside an assistant; each gets the key that both share.
    pub fn with_assistant(
        &self,
        party: impl Fn(Seat<'_>, Key, Emit<'_>) -> Result<(), Failure> + Sync,
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let (secrets, party) = (self.secrets, &party);
        let keys = (secrets.assistant_own()?, secrets.dealer_keys()?);
        let helpers = [memory::duplex(self.shape), memory::duplex(self.shape)];
        let run = move |mut seat: Seat<'_>, emit: Emit<'_>| {
            let part = secrets.pair_part(seat.setup.role)?;
            let pair = securenn::share_pair_key(&part, &mut seat.peer)?;
            party(seat, pair, emit)
        };
        let assist = move |ends| assist(keys, ends);
        self.play((Actor::Assistant, assist), helpers, (run, run), take)
    }

    /// Runs all roles in threads of their own; `helpers` are the links of the dealer or assistant.
    fn play(
        &self,
        (helper, help): (
            Actor,
            impl FnOnce([MemoryEnd; 2]) -> Result<(), Failure> + Send,
        ),
        helpers: [[MemoryEnd; 2]; 2],
        (p0, p1): (
            impl FnOnce(Seat<'_>, Emit<'_>) -> Result<(), Failure> + Send,
            impl FnOnce(Seat<'_>, Emit<'_>) -> Result<(), Failure> + Send,
        ),
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let [end_p0, end_p1] = memory::duplex(self.shape);
        let [[to_p0, helped_p0], [to_p1, helped_p1]] = helpers;
        let (tell, told) = channel();
        let start = Instant::now();
        let waits = [
            ("p0", [end_p0.wait_time(), helped_p0.wait_time()]),
            ("p1", [end_p1.wait_time(), helped_p1.wait_time()]),
            match helper {
                Actor::Assistant => ("assistant", [to_p0.wait_time(), to_p1.wait_time()]),
                _ => ("dealer", [WaitTime::default(), to_p1.wait_time()]),
            },
        ];
        let outcome = thread::scope(|scope| {
            let helper_tell = tell.clone();
            scope.spawn(move || tell_end(&helper_tell, helper, || help([to_p0, to_p1])));
            let tell_p0 = tell.clone();
            scope.spawn(move || self.compute(Role::P0, [end_p0, helped_p0], p0, &tell_p0));
            scope.spawn(move || self.compute(Role::P1, [end_p1, helped_p1], p1, &tell));
            follow(told, take)
        });
        outcome?;
        let total = start.elapsed();
        Ok(waits
            .into_iter()
            .map(|(name, [peer, dealer])| match helper {
                // The assistant's peers are both parties.
                Actor::Assistant if name == "assistant" => Spent {
                    name,
                    total,
                    peer: peer.total() + dealer.total(),
                    dealer: Duration::ZERO,
                },
                _ => Spent {
                    name,
                    total,
                    peer: peer.total(),
                    dealer: dealer.total(),
                },
            })
            .collect())
    }

    /// Seats a party, runs it, and tells how it ended.
    fn compute(
        &self,
        role: Role,
        ends: [MemoryEnd; 2],
        party: impl FnOnce(Seat<'_>, Emit<'_>) -> Result<(), Failure>,
        tell: &Sender<Told>,
    ) {
        let actor = Actor::Party(role);
        tell_end(tell, actor, || {
            let seat = self.seat(role, ends)?;
            let mut emit = |event| {
                tell.send((actor, event))
                    .map_err(|_| Failure::new("the simulation has stopped", ""))
            };
            party(seat, &mut emit)
        });
    }

    /// Has a party meet the others.
    fn seat(&self, role: Role, [peer, helper]: [MemoryEnd; 2]) -> Result<Seat<'_>, Failure> {
        let remote = match self.session.protocol {
            Protocol::SecureNn { .. } => Remote::Assistant,
            Protocol::Dealt { .. } => Remote::Dealer,
        };
        let mut peer = Link::new(peer, Remote::Peer, UNBOUNDED);
        let mut helper = Link::new(helper, remote, UNBOUNDED);
        let split = self.session.samples[0] as usize;
        let own = match role {
            Role::P0 => 0..split,
            Role::P1 => split..self.images.len(),
        };
        Ok(Seat {
            setup: PartySetup {
                session: self.session,
                network: self.network,
                role,
                secret: self.secrets.initial_weights(role)?,
                key: greet(&Hello::new(role, self.session), &mut peer, &mut helper)?,
                simulated: true,
            },
            peer,
            helper,
            data: OwnImages::new(self.images.slice(own), self.network.classes),
        })
    }
}

/// Hands what the parties tell to `take` until all roles are done; returns the failure to tell the
/// user, if any.
pub fn follow(
    told: Receiver<Told>,
    mut take: impl FnMut(Role, Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failures: Vec<(Actor, Failure)> = Vec::new();
    for (actor, event) in told {
        match (actor, event) {
            (
                _,
                Event::Failed {
                    message,
                    consequence,
                },
            ) => {
                failures.push((actor, Failure::told(message, consequence)));
            }
            (Actor::Party(role), event) => take(role, event)?,
            (Actor::Dealer | Actor::Assistant, _) => {}
        }
    }
    // The cause before what follows from it.
    failures.sort_by_key(|(_, failure)| failure.is_consequence());
    match failures.into_iter().next() {
        Some((actor, failure)) => Err(failure.of(&actor.to_string())),
        None => Ok(()),
    }
}

/// Runs `role` and tells how it ended.
fn tell_end(tell: &Sender<Told>, actor: Actor, role: impl FnOnce() -> Result<(), Failure>) {
    let event = match role() {
        Ok(()) => Event::Done,
        Err(failure) => Event::from(&failure),
    };
    // Nobody listens only when the run has failed already.
    let _ = tell.send((actor, event));
}

/// The dealer's role, with an end of a link to either party.
pub fn deal<R: Ring>(
    keys: [Key; 2],
    seals: [Option<Seal>; 2],
    ends: [MemoryEnd; 2],
) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(end, Remote::Party(Role::P1), UNBOUNDED));
    let [to_p0, to_p1] = &mut links;
    let heard = [receive_hello(to_p0)?, receive_hello(to_p1)?];
    let (session, [to_p0, to_p1]) = meet_parties(Helper::Dealer, links, heard, &keys, &seals)?;
    let outcome = run_dealer::<R, _>(&session, keys, to_p1, |_, _| {});
    drop(to_p0);
    outcome.map(drop)
}

/// The assistant's role, with an end of a link to either party.
fn assist(keys: (Key, [Key; 2]), ends: [MemoryEnd; 2]) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(end, Remote::Party(Role::P0), UNBOUNDED));
    let [first, second] = &mut links;
    let heard = [receive_hello(first)?, receive_hello(second)?];
    let met = meet_parties(Helper::Assistant, links, heard, &keys.1, &[None, None])?;
    let (session, [first, second]) = met;
    let second = second.renamed(Remote::Party(Role::P1));
    securenn::run_assistant(&session, keys, (first, second), |_, _| {}).map(drop)
}
