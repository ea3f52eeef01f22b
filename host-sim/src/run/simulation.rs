//! A session with all its roles as threads of this process.

use std::{
    sync::mpsc::{Sender, channel},
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
        handshake::{Hello, receive_hello},
    },
    share::Observer,
};

use super::{
    actors::{Actor, ActorEvent, Helper, Take, follow, report_end},
    checkpoints::Simulated,
    dealer::run_dealer,
    dispatch::{InRing, in_ring},
    event::StageValues,
    handshakes::{greet, meet_parties},
    losses::Losses,
    party::{Emit, FurtherRanks, PartySetup, run_party},
    ranges::{Ranges, Watch, observers, taken},
    role_time::RoleTime,
    secrets::Secrets,
    securenn,
};
use crate::{
    config::args::OnRange,
    data::{Images, OwnImages},
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::UNBOUNDED,
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
        wait_time::WaitTime,
    },
    resources::spawn_scoped,
};

/// A session to run as threads.
pub struct Simulation<'a> {
    /// The agreed parameters.
    pub session: &'a Session,
    /// The network that they describe.
    pub network: &'a Network,
    /// All images, P0's first.
    pub images: &'a Images,
    /// Delay and rate of the links.
    pub shape: TrafficShape,
    /// The source of keys and initial weights.
    pub secrets: Secrets,
    /// Where the parties' checkpoints are, if they keep any.
    pub checkpoints: Option<Simulated>,
    /// The model that the training begins with, if it begins with a party's.
    pub initial: &'a [StageValues],
    /// What happens when values leave their range; none if the simulation does not watch them.
    pub on_range: Option<OnRange>,
}

/// A party after its handshakes.
pub struct ConnectedParty<'s> {
    /// What it needs beside links and data.
    pub setup: PartySetup<'s>,
    /// The link to the peer.
    pub peer: Link<AnyEnd<'static>>,
    /// The link to the dealer or the assistant.
    pub helper: Link<AnyEnd<'static>>,
    /// Its own images.
    pub data: OwnImages<'s>,
}

/// Runs a party after its handshakes.
pub type PartyRun<'a> =
    Box<dyn FnOnce(ConnectedParty<'_>, Emit<'_>) -> Result<(), Failure> + Send + 'a>;

/// The same with an assistant, and with the key that only the parties have.
pub type AssistedRun<'a> =
    Box<dyn FnOnce(ConnectedParty<'_>, Key, Emit<'_>) -> Result<(), Failure> + Send + 'a>;

/// Runs the dealer or the assistant, with an end of a link to either party.
type HelperRun<'a> = Box<dyn FnOnce([MemoryEnd; 2]) -> Result<(), Failure> + Send + 'a>;

impl Simulation<'_> {
    /// Trains, and watches the range contract; `take` gets the parties' events. Returns where the roles' time went, and
    /// the ranges of all values.
    pub fn train(&self, take: Take<'_>) -> Result<(Vec<RoleTime>, Ranges), Failure> {
        match self.session.protocol {
            Protocol::SecureNn { .. } => self.train_by_securenn(take),
            Protocol::Dealt { .. } => in_ring(self.session, Training(self, take)),
        }
    }

    fn train_by_securenn(&self, take: Take<'_>) -> Result<(Vec<RoleTime>, Ranges), Failure> {
        let (observer_p0, mut observer_p1, ranges) =
            observers::<u64>(self.on_range, self.session, self.network);
        let losses = self.losses();
        let mut watch = Watch::new(ranges.clone(), self.on_range);
        if let Some(losses) = &losses {
            watch = watch.with_losses(losses.done());
        }
        let mut observer_p0 = observer_p0.with_losses(losses);
        let p0 = move |mut party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let links = (party.peer, party.helper);
            let (setup, data) = (party.setup, &mut party.data);
            let watched = &mut |event| watch.pass(event, emit);
            securenn::run_party(setup, pair, links, data, &mut observer_p0, watched).map(drop)
        };
        let p1 = move |mut party: ConnectedParty<'_>, pair, emit: Emit<'_>| {
            let links = (party.peer, party.helper);
            let (setup, data) = (party.setup, &mut party.data);
            securenn::run_party(setup, pair, links, data, &mut observer_p1, emit).map(drop)
        };
        let times = self.with_assistant((Box::new(p0), Box::new(p1)), take)?;
        Ok((times, taken(&ranges)?))
    }

    /// Runs P0 and P1 with a dealer.
    pub fn with_dealer<R: Ring>(
        &self,
        parties: (PartyRun<'_>, PartyRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let links = [memory::bounded(self.shape), memory::bounded(self.shape)];
        let first = self.first();
        let deal = move |ends| serve_dealer::<R>(keys, ends, first);
        self.run((Helper::Dealer, Box::new(deal)), links, parties, take)
    }

    /// Runs both parties with an assistant. Each gets the key that only the parties have.
    pub fn with_assistant(
        &self,
        (p0, p1): (AssistedRun<'_>, AssistedRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let secrets = self.secrets;
        let keys = (secrets.assistant_key()?, secrets.dealer_keys()?);
        let links = [memory::duplex(self.shape), memory::duplex(self.shape)];
        let pair_of = move |connected: &mut ConnectedParty<'_>| {
            let part = secrets.pair_part(connected.setup.role)?;
            securenn::share_pair_key(&part, &mut connected.peer)
        };
        let run_p0 = move |mut connected: ConnectedParty<'_>, emit: Emit<'_>| {
            let pair = pair_of(&mut connected)?;
            p0(connected, pair, emit)
        };
        let run_p1 = move |mut connected: ConnectedParty<'_>, emit: Emit<'_>| {
            let pair = pair_of(&mut connected)?;
            p1(connected, pair, emit)
        };
        let first = self.first();
        let assist = move |ends| serve_assistant(keys, ends, first);
        let parties: (PartyRun<'_>, PartyRun<'_>) = (Box::new(run_p0), Box::new(run_p1));
        self.run((Helper::Assistant, Box::new(assist)), links, parties, take)
    }

    /// Runs each role in a thread; `links` are those of the dealer or assistant.
    fn run(
        &self,
        (helper, help): (Helper, HelperRun<'_>),
        links: [[MemoryEnd; 2]; 2],
        (p0, p1): (PartyRun<'_>, PartyRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let [end_p0, end_p1] = memory::duplex(self.shape);
        let [[to_p0, helper_p0], [to_p1, helper_p1]] = links;
        let waits = [
            ("p0", [end_p0.wait_time(), helper_p0.wait_time()]),
            ("p1", [end_p1.wait_time(), helper_p1.wait_time()]),
        ];
        let helper_waits = [to_p0.wait_time(), to_p1.wait_time()];
        let (events, reported) = channel();
        let start = Instant::now();
        thread::scope(|scope| {
            let of_helper = events.clone();
            let actor = Actor::Helper(helper);
            let work = move || report_end(&of_helper, actor, || help([to_p0, to_p1]));
            spawn_scoped(scope, work)?;
            let of_p0 = events.clone();
            let work = move || self.run_party(Role::P0, [end_p0, helper_p0], p0, &of_p0);
            spawn_scoped(scope, work)?;
            let work = move || self.run_party(Role::P1, [end_p1, helper_p1], p1, &events);
            spawn_scoped(scope, work)?;
            follow(reported, take)
        })?;
        let total = start.elapsed();
        let mut times: Vec<RoleTime> = waits
            .into_iter()
            .map(|(name, [peer, helper])| RoleTime {
                name,
                total,
                peer: peer.total(),
                helper: helper.total(),
            })
            .collect();
        times.push(helper_time(helper, total, helper_waits));
        Ok(times)
    }

    /// Connects a party, runs it, and reports how it ended.
    fn run_party(
        &self,
        role: Role,
        ends: [MemoryEnd; 2],
        party: PartyRun<'_>,
        events: &Sender<ActorEvent>,
    ) {
        let actor = Actor::Party(role);
        report_end(events, actor, || {
            let checkpoints = self.checkpoints.as_ref();
            let mut keeper = checkpoints
                .map(|simulated| simulated.keeper(role, self.session))
                .transpose()?;
            let mut connected = self.connect(role, ends)?;
            connected.setup.durable = keeper.as_mut().map(|keeper| (keeper, self.first()));
            let mut emit = |event| {
                events
                    .send((actor, event))
                    .map_err(|_| Failure::new("the simulation has stopped", ""))
            };
            party(connected, &mut emit)
        });
    }

    /// The iteration that comes first.
    fn first(&self) -> u32 {
        self.checkpoints.as_ref().map_or(0, Simulated::first)
    }

    /// What adds up the losses of the training.
    fn losses(&self) -> Option<Losses<'_>> {
        Losses::new(
            self.session,
            self.network,
            &self.images.labels,
            self.first(),
        )
    }

    /// Completes the handshakes of a party.
    fn connect(
        &self,
        role: Role,
        [peer, helper]: [MemoryEnd; 2],
    ) -> Result<ConnectedParty<'_>, Failure> {
        let remote = Helper::of(self.session.protocol).remote();
        let mut peer = Link::new(AnyEnd::new(peer), Remote::Peer, UNBOUNDED);
        let mut helper = Link::new(AnyEnd::new(helper), remote, UNBOUNDED);
        let split = self.session.samples[0] as usize;
        let own = match role {
            Role::P0 => 0..split,
            Role::P1 => split..self.images.len(),
        };
        Ok(ConnectedParty {
            setup: PartySetup {
                session: self.session,
                network: self.network,
                role,
                secret: self.secrets.initial_weights(role)?,
                initial: match self.session.initial_model == Some(role) {
                    true => self.initial,
                    false => &[],
                },
                key: greet(&Hello::new(role, self.session), &mut peer, &mut helper)?,
                simulated: true,
                durable: None,
                positions: None,
                beside: None,
                validation: None,
                contributions: None,
                further: FurtherRanks::default(),
            },
            peer,
            helper,
            data: OwnImages::new(self.images, own, self.network.classes),
        })
    }
}

/// Where the time of a helper went. The dealer waits for P1 only; both parties are the assistant's peers.
fn helper_time(helper: Helper, total: Duration, [p0, p1]: [WaitTime; 2]) -> RoleTime {
    let (peer, own) = match helper {
        Helper::Dealer => (Duration::ZERO, p1.total()),
        Helper::Assistant => (p0.total() + p1.total(), Duration::ZERO),
    };
    RoleTime {
        name: helper.name(),
        total,
        peer,
        helper: own,
    }
}

/// Training with a dealer.
struct Training<'a>(&'a Simulation<'a>, Take<'a>);

impl InRing for Training<'_> {
    type Output = (Vec<RoleTime>, Ranges);

    fn run<R: Ring>(self) -> Result<Self::Output, Failure> {
        let Training(simulation, take) = self;
        let (observer_p0, mut observer_p1, ranges) =
            observers::<R>(simulation.on_range, simulation.session, simulation.network);
        let losses = simulation.losses();
        let mut watch = Watch::new(ranges.clone(), simulation.on_range);
        if let Some(losses) = &losses {
            watch = watch.with_losses(losses.done());
        }
        let mut observer_p0 = observer_p0.with_losses(losses);
        let p0 = move |party: ConnectedParty<'_>, emit: Emit<'_>| {
            let mut watched = |event| watch.pass(event, emit);
            train(party, &mut observer_p0, &mut watched)
        };
        let p1 =
            move |party: ConnectedParty<'_>, emit: Emit<'_>| train(party, &mut observer_p1, emit);
        let times = simulation.with_dealer::<R>((Box::new(p0), Box::new(p1)), take)?;
        Ok((times, taken(&ranges)?))
    }
}

/// Trains a party with a dealer.
fn train<R: Ring>(
    mut party: ConnectedParty<'_>,
    observer: &mut dyn Observer<R>,
    emit: Emit<'_>,
) -> Result<(), Failure> {
    let links = (party.peer, party.helper);
    run_party::<R>(party.setup, links, &mut party.data, observer, emit).map(drop)
}

/// Runs the dealer, with an end of a link to either party.
pub fn serve_dealer<R: Ring>(
    keys: [Key; 2],
    ends: [MemoryEnd; 2],
    first: u32,
) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(AnyEnd::new(end), Remote::Party(Role::P1), UNBOUNDED));
    let [to_p0, to_p1] = &mut links;
    let heard = [receive_hello(to_p0)?, receive_hello(to_p1)?];
    let (session, [to_p0, to_p1]) = meet_parties(Helper::Dealer, links, heard, &keys)?;
    let outcome = run_dealer::<R>(&session, keys, to_p1, first, &mut |_, _| {});
    drop(to_p0);
    outcome
}

/// Runs the assistant, with an end of a link to either party.
fn serve_assistant(keys: (Key, [Key; 2]), ends: [MemoryEnd; 2], start: u32) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(AnyEnd::new(end), Remote::Party(Role::P0), UNBOUNDED));
    let [first, second] = &mut links;
    let heard = [receive_hello(first)?, receive_hello(second)?];
    let met = meet_parties(Helper::Assistant, links, heard, &keys.1)?;
    let (session, [first, second]) = met;
    let second = second.with_remote(Remote::Party(Role::P1));
    securenn::run_assistant(&session, keys, (first, second), start, &mut |_, _| {})
}

#[cfg(test)]
mod tests {
    use ringlet_core::model::Model;

    use super::*;
    use crate::{
        config::session::one_batch,
        data::{Part, load},
        run::event::Event,
    };

    #[test]
    fn every_layer_that_sends_takes_time_of_its_iteration() {
        let model = Model::built_in("digits8").expect("built in");
        let session = one_batch(model, 8).expect("a session");
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a network");
        let images = load(None, Part::Train).expect("images").slice(0..8);
        let simulation = Simulation {
            session: &session,
            network: &network,
            images: &images,
            shape: TrafficShape::default(),
            secrets: Secrets::Seed(1),
            checkpoints: None,
            initial: &[],
            on_range: None,
        };
        let mut seen = Vec::new();
        let mut take = |role, event| {
            if let Event::Iteration {
                traffic, seconds, ..
            } = event
            {
                let times = traffic.nanoseconds.as_flattened();
                for (time, cost) in times.iter().zip(traffic.cost_rows.as_flattened()) {
                    assert!(*time > 0 || cost.online_bytes == 0);
                }
                let sum: u64 = times.iter().sum();
                assert!(sum as f64 <= 1e9 * seconds, "{sum} ns in {seconds} s");
                seen.push(role);
            }
            Ok(())
        };
        simulation.train(&mut take).expect("a run");
        seen.sort_unstable_by_key(|role| role.index());
        assert_eq!(seen, Role::BOTH);
    }
}
