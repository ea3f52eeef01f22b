//! A session with all its roles as threads of this process.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Instant,
};

use ringlet_core::{
    Role,
    hello::{Hello, Seal, receive_hello},
    link::{Link, Remote},
    network::Network,
    party::Watch,
    prg::Key,
    ring::Ring,
    session::Session,
};

use super::dealer::UNBOUNDED;
use crate::{
    assisted,
    data::{Images, OwnImages},
    error::Failure,
    event::Event,
    links::{
        memory::{self, MemoryEnd},
        shape::Shape,
        waited::Waited,
    },
    report::Spent,
    roles::{Host, PartySetup, greet, host_parties, run_dealer, run_party},
    secrets::Secrets,
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
    pub shape: Shape,
    /// Where keys and first weights come from.
    pub secrets: Secrets,
}

impl Simulation<'_> {
    /// Runs all roles to their end, with a watch on either party; `take` gets what the parties tell.
    /// Returns where the roles' time went.
    pub fn run<R: Ring>(
        &self,
        (watch_p0, watch_p1): (impl Watch<R> + Send, impl Watch<R> + Send),
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let Simulation {
            session,
            network,
            images,
            shape,
            ..
        } = *self;
        let [end_p0, end_p1] = memory::duplex(shape);
        let [supply_p0, dealt_p0] = memory::bounded(shape);
        let [supply_p1, dealt_p1] = memory::bounded(shape);
        let keys = self.secrets.dealer_keys()?;
        let (tell, told) = channel();
        let start = Instant::now();
        let waits = [
            ("p0", [end_p0.waited(), dealt_p0.waited()]),
            ("p1", [end_p1.waited(), dealt_p1.waited()]),
            ("dealer", [Waited::default(), supply_p1.waited()]),
        ];
        let secrets = Role::BOTH.map(|role| self.secrets.first_weights(role));
        let [secret_p0, secret_p1] = secrets;
        let (secret_p0, secret_p1) = (secret_p0?, secret_p1?);
        let split = session.samples[0] as usize;
        let own = [images.slice(0..split), images.slice(split..images.len())];
        let [own_p0, own_p1] = own.map(|images| OwnImages::new(images, network.classes));
        let outcome = thread::scope(|scope| {
            let dealer_tell = tell.clone();
            scope.spawn(move || {
                let links = [supply_p0, supply_p1];
                tell_end(&dealer_tell, Actor::Dealer, || {
                    deal::<R>(keys, [None, None], links)
                });
            });
            let tell_p0 = tell.clone();
            scope.spawn(move || {
                let ends = [end_p0, dealt_p0];
                let setup = (session, network, Role::P0, secret_p0);
                compute::<R>(setup, ends, own_p0, watch_p0, &tell_p0);
            });
            scope.spawn(move || {
                let ends = [end_p1, dealt_p1];
                let setup = (session, network, Role::P1, secret_p1);
                compute::<R>(setup, ends, own_p1, watch_p1, &tell);
            });
            follow(told, take)
        });
        outcome?;
        Ok(spent(waits, start))
    }

    /// The same with an assistant in the dealer's place.
    pub fn run_assisted(
        &self,
        take: impl FnMut(Role, Event) -> Result<(), Failure>,
    ) -> Result<Vec<Spent>, Failure> {
        let Simulation {
            session,
            network,
            images,
            shape,
            secrets,
        } = *self;
        let [end_p0, end_p1] = memory::duplex(shape);
        let [assistant_p0, helped_p0] = memory::duplex(shape);
        let [assistant_p1, helped_p1] = memory::duplex(shape);
        let keys = (secrets.assistant_own()?, secrets.dealer_keys()?);
        let (tell, told) = channel();
        let start = Instant::now();
        let waits = [
            ("p0", [end_p0.waited(), helped_p0.waited()]),
            ("p1", [end_p1.waited(), helped_p1.waited()]),
            ("assistant", [assistant_p0.waited(), assistant_p1.waited()]),
        ];
        let split = session.samples[0] as usize;
        let own = [images.slice(0..split), images.slice(split..images.len())];
        let own = own.map(|images| OwnImages::new(images, network.classes));
        let outcome = thread::scope(|scope| {
            let assistant_tell = tell.clone();
            scope.spawn(move || {
                let links = [assistant_p0, assistant_p1];
                tell_end(&assistant_tell, Actor::Assistant, || assist(keys, links));
            });
            let ends = [[end_p0, helped_p0], [end_p1, helped_p1]];
            for ((role, ends), own) in Role::BOTH.into_iter().zip(ends).zip(own) {
                let tell = tell.clone();
                scope.spawn(move || {
                    let actor = Actor::Party(role);
                    tell_end(&tell, actor, || {
                        let setup = (session, network, role, secrets);
                        compute_assisted(setup, ends, own, &tell)
                    });
                });
            }
            drop(tell);
            follow(told, take)
        });
        outcome?;
        Ok(spent(waits, start))
    }
}

/// Where the roles' time went, from what each waited for its two links.
fn spent(waits: [(&'static str, [Waited; 2]); 3], start: Instant) -> Vec<Spent> {
    let total = start.elapsed();
    waits
        .into_iter()
        .map(|(name, [peer, dealer])| Spent {
            name,
            total,
            peer: peer.total(),
            dealer: dealer.total(),
        })
        .collect()
}

/// The assistant's role, with an end of a link to either party.
fn assist(keys: (Key, [Key; 2]), ends: [MemoryEnd; 2]) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(end, Remote::Party(Role::P0), UNBOUNDED));
    let [first, second] = &mut links;
    let heard = [receive_hello(first)?, receive_hello(second)?];
    let met = host_parties(Host::Assistant, links, heard, &keys.1, &[None, None])?;
    let (session, [first, second]) = met;
    let second = second.renamed(Remote::Party(Role::P1));
    assisted::run_assistant(&session, keys, (first, second), |_, _| {}).map(drop)
}

fn compute_assisted(
    (session, network, role, secrets): (&Session, &Network, Role, Secrets),
    [peer, assistant]: [MemoryEnd; 2],
    mut data: OwnImages,
    tell: &Sender<Told>,
) -> Result<(), Failure> {
    let mut peer = Link::new(peer, Remote::Peer, UNBOUNDED);
    let mut assistant = Link::new(assistant, Remote::Assistant, UNBOUNDED);
    let setup = PartySetup {
        session,
        network,
        role,
        secret: secrets.first_weights(role)?,
        key: greet(&Hello::new(role, session), &mut peer, &mut assistant)?,
        simulated: true,
    };
    let pair = assisted::share_pair_key(&secrets.pair_part(role)?, &mut peer)?;
    let emit = |event| {
        tell.send((Actor::Party(role), event))
            .map_err(|_| Failure::new("the simulation has stopped", ""))
    };
    assisted::run_party(setup, pair, (peer, assistant), &mut data, emit).map(drop)
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
pub(super) fn deal<R: Ring>(
    keys: [Key; 2],
    seals: [Option<Seal>; 2],
    ends: [MemoryEnd; 2],
) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(end, Remote::Party(Role::P1), UNBOUNDED));
    let [to_p0, to_p1] = &mut links;
    let heard = [receive_hello(to_p0)?, receive_hello(to_p1)?];
    let (session, [to_p0, to_p1]) = host_parties(Host::Dealer, links, heard, &keys, &seals)?;
    let outcome = run_dealer::<R, _>(&session, keys, to_p1, |_, _| {});
    drop(to_p0);
    outcome.map(drop)
}

fn compute<R: Ring>(
    (session, network, role, secret): (&Session, &Network, Role, Key),
    [peer, dealer]: [MemoryEnd; 2],
    mut data: OwnImages,
    mut watch: impl Watch<R>,
    tell: &Sender<Told>,
) {
    let actor = Actor::Party(role);
    tell_end(tell, actor, || {
        let mut peer = Link::new(peer, Remote::Peer, UNBOUNDED);
        let mut dealer = Link::new(dealer, Remote::Dealer, UNBOUNDED);
        let setup = PartySetup {
            session,
            network,
            role,
            secret,
            key: greet(&Hello::new(role, session), &mut peer, &mut dealer)?,
            simulated: true,
        };
        let emit = |event| {
            tell.send((actor, event))
                .map_err(|_| Failure::new("the simulation has stopped", ""))
        };
        run_party::<R, _, _>(setup, peer, dealer, &mut data, &mut watch, emit)?;
        Ok(())
    });
}
