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
    session::{Session, handshake::Hello},
};

use super::{
    actors::{Actor, ActorEvent, Helper, Take, follow, report_end},
    checkpoints::Simulated,
    dealer_source::DealerSource,
    event::StageValues,
    handshakes::greet,
    party::{Emit, PartySetup},
    party_ranks::{FurtherRanks, RankNeeds},
    ranks::offer,
    role_time::RoleTime,
    secrets::Secrets,
    securenn,
    simulated_helpers::{serve_assistant, serve_dealer},
};
use crate::{
    config::args::OnRange,
    data::{Images, OwnImages},
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::UNBOUNDED,
        memory::{self, MemoryEnd},
        rank_end::RankEnd,
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
    /// How many threads each role may have; as many as the machine has processors if not given.
    pub threads: Option<u16>,
}

/// The ends of a party's links, the first rank's first. Of P0's ranks, the first alone has a link to the dealer.
struct PartyEnds {
    peers: Vec<MemoryEnd>,
    helpers: Vec<MemoryEnd>,
}

impl PartyEnds {
    /// The first rank's link to its peer, and none yet to the dealer or the assistant.
    fn new(peer: MemoryEnd) -> Self {
        PartyEnds {
            peers: vec![peer],
            helpers: Vec::new(),
        }
    }

    /// How long the ranks wait for their peers, and how long for the dealer or the assistant.
    fn waits(&self) -> [Vec<WaitTime>; 2] {
        [wait_times(&self.peers), wait_times(&self.helpers)]
    }
}

fn wait_times(ends: &[MemoryEnd]) -> Vec<WaitTime> {
    ends.iter().map(MemoryEnd::wait_time).collect()
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

/// Runs the dealer or the assistant, with the ends of its links to the ranks of P0 and of P1.
type HelperRun<'a> = Box<dyn FnOnce([Vec<MemoryEnd>; 2]) -> Result<(), Failure> + Send + 'a>;

impl Simulation<'_> {
    /// Runs P0 and P1 with a dealer.
    pub fn with_dealer<R: Ring>(
        &self,
        parties: (PartyRun<'_>, PartyRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let first = self.first();
        let deal = move |ends| serve_dealer::<R>(keys, ends, first);
        let dealer = (Helper::Dealer, Box::new(deal) as HelperRun<'_>);
        self.run(dealer, memory::bounded, parties, take)
    }

    /// Runs both parties with an assistant. Each gets the key that only the parties have.
    pub fn with_assistant(
        &self,
        (p0, p1): (AssistedRun<'_>, AssistedRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let secrets = self.secrets;
        let keys = (secrets.assistant_key()?, secrets.dealer_keys()?);
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
        let assistant = (Helper::Assistant, Box::new(assist) as HelperRun<'_>);
        self.run(assistant, memory::duplex, parties, take)
    }

    /// How many ranks each role has.
    pub(super) fn ranks(&self) -> u16 {
        offer(self.threads, self.session.most_ranks()).count()
    }

    /// Runs each rank of each role in a thread; `make` makes the links of the dealer or assistant, whose end is the first.
    fn run(
        &self,
        (helper, help): (Helper, HelperRun<'_>),
        make: fn(TrafficShape) -> [MemoryEnd; 2],
        (p0, p1): (PartyRun<'_>, PartyRun<'_>),
        take: Take<'_>,
    ) -> Result<Vec<RoleTime>, Failure> {
        let ranks = self.ranks();
        let (first, between) = memory::between_ranks(memory::duplex, self.shape, ranks);
        let mut party_ends = first.map(PartyEnds::new);
        for ends in between {
            for (party, end) in party_ends.iter_mut().zip(ends) {
                party.peers.push(end);
            }
        }
        // Of P0's ranks the first alone speaks with the dealer.
        let helped = match helper {
            Helper::Dealer => [1, ranks],
            Helper::Assistant => [ranks; 2],
        };
        let mut helper_ends = [Vec::new(), Vec::new()];
        for ((party, ends), count) in party_ends.iter_mut().zip(&mut helper_ends).zip(helped) {
            let (first, further) = memory::between_ranks(make, self.shape, count);
            for [of_helper, of_party] in std::iter::once(first).chain(further) {
                ends.push(of_helper);
                party.helpers.push(of_party);
            }
        }
        let [p0_ends, p1_ends] = party_ends;
        let waits = [("p0", p0_ends.waits()), ("p1", p1_ends.waits())];
        let helper_waits = helper_ends.each_ref().map(|ends| wait_times(ends));
        let (events, reported) = channel();
        let start = Instant::now();
        thread::scope(|scope| {
            let of_helper = events.clone();
            let actor = Actor::Helper(helper);
            let work = move || report_end(&of_helper, actor, || help(helper_ends));
            spawn_scoped(scope, work)?;
            let of_p0 = events.clone();
            let work = move || self.run_party(Role::P0, p0_ends, p0, &of_p0);
            spawn_scoped(scope, work)?;
            let work = move || self.run_party(Role::P1, p1_ends, p1, &events);
            spawn_scoped(scope, work)?;
            follow(reported, take)
        })?;
        let total = start.elapsed();
        let mean = |waits: &[WaitTime]| {
            let all: Duration = waits.iter().map(WaitTime::total).sum();
            all / u32::from(ranks)
        };
        let mut times: Vec<RoleTime> = waits
            .iter()
            .map(|(name, [peer, helper])| RoleTime {
                name,
                total,
                peer: mean(peer),
                helper: mean(helper),
            })
            .collect();
        let helper_waits = helper_waits.each_ref().map(|waits| mean(waits));
        times.push(helper_time(helper, total, helper_waits));
        Ok(times)
    }

    /// Connects a party, runs it, and reports how it ended.
    fn run_party(
        &self,
        role: Role,
        ends: PartyEnds,
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
    pub(super) fn first(&self) -> u32 {
        self.checkpoints.as_ref().map_or(0, Simulated::first)
    }

    /// Completes the handshakes of a party.
    fn connect(
        &self,
        role: Role,
        PartyEnds { peers, helpers }: PartyEnds,
    ) -> Result<ConnectedParty<'_>, Failure> {
        let remote = Helper::of(self.session.protocol).remote();
        let (mut peers, mut helpers) = (peers.into_iter(), helpers.into_iter());
        let mut next = || (peers.next(), helpers.next());
        let (Some(peer), Some(helper)) = next() else {
            return Err(Failure::new("a party has no link", ""));
        };
        let mut peer = Link::new(AnyEnd::new(peer), Remote::Peer, UNBOUNDED);
        let mut helper = Link::new(AnyEnd::new(helper), remote, UNBOUNDED);
        let split = self.session.samples[0] as usize;
        let own = match role {
            Role::P0 => 0..split,
            Role::P1 => split..self.images.len(),
        };
        let data = || OwnImages::new(self.images, own.clone(), self.network.classes);
        let mut further = FurtherRanks::default();
        while let (Some(peer), helper) = next() {
            further.needs.push(RankNeeds {
                peer: RankEnd::Memory(peer),
                helper: helper.map(|end| DealerSource::Link(RankEnd::Memory(end))),
                positions: None,
                data: Box::new(data()),
            });
        }
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
                further,
            },
            peer,
            helper,
            data: data(),
        })
    }
}

/// Where the time of a helper went. The dealer waits for P1 only; both parties are the assistant's peers.
fn helper_time(helper: Helper, total: Duration, [p0, p1]: [Duration; 2]) -> RoleTime {
    let (peer, own) = match helper {
        Helper::Dealer => (Duration::ZERO, p1),
        Helper::Assistant => (p0 + p1, Duration::ZERO),
    };
    RoleTime {
        name: helper.name(),
        total,
        peer,
        helper: own,
    }
}
