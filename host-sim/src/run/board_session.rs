//! A session with an emulated board that is P0 and owns the images. This process is P1 and the dealer, and knows the
//! board's secret, so it can also train the plaintext twin.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::{MemoryUsed, Peer, Peers, Policy, Record},
    net::{Link, Remote, secure::Identity},
    network::Network,
    prg::{
        Key,
        device_key::{identity_secret, session_secret},
    },
    session::{
        Session,
        handshake::{Actor, Checkpoints},
    },
    share::NoObserver,
};

use super::{
    actors::Helper,
    beside_device::{BesideDevice, Met},
    collect::join,
    dealer::begin,
    device::{DeviceMux, THE_DEVICE, end_session},
    event::Event,
    meeting::{Needed, meet_parties},
    party::{Emit, PartySetup, initial_shares, run_party},
    party_ranks::{FurtherRanks, Observers},
    secrets::Secrets,
};
use crate::{
    data::{
        Images, OwnImages,
        parameters::{Parameters, decode_model},
    },
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::{Endpoint, UNBOUNDED, broken},
        counted::{ByteCounts, Counted},
        credentials::Credentials,
        tcp::TcpEnd,
        traffic_shaper::Lines,
    },
    reference::twin::Twin,
    resources::spawn_scoped,
};

/// How long the roles of this process may take to meet: a board is slow, and its dealer waits for it.
const WAIT: Duration = Duration::from_secs(60);

/// The ring of devices.
type Ring = u32;

/// A session with a board.
pub struct BoardSession<'a> {
    session: &'a Session,
    network: &'a Network,
    images: &'a Images,
    secrets: Secrets,
    /// The identities of P1 and of the dealer.
    p1: Identity,
    dealer: Identity,
    /// The board's root secret.
    root: Key,
}

/// The result of a session with a board.
pub struct Outcome<'a> {
    /// The trained model.
    pub model: Vec<Parameters>,
    /// The plaintext twin.
    pub twin: Twin<'a>,
    /// What the session took of the board's memory.
    pub taken: MemoryUsed,
    /// Rounds of the session.
    pub rounds: u64,
    /// Time of the session.
    pub time: Duration,
}

impl<'a> BoardSession<'a> {
    /// A session with a board that owns the `images` and has the root secret `root`.
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        images: &'a Images,
        secrets: Secrets,
        root: Key,
    ) -> Result<Self, Failure> {
        let identity = |actor| secrets.beside_board(actor).map(Identity::new);
        Ok(BoardSession {
            session,
            network,
            images,
            secrets,
            p1: identity(Actor::Party(Role::P1))?,
            dealer: identity(Actor::Dealer)?,
            root,
        })
    }

    /// The record for the board: it agrees to this session.
    pub fn record(&self) -> Record {
        let mut peers = Peers::new();
        // There is room for four.
        let _ = peers.push(Peer {
            role: Role::P1,
            identity: self.p1.public(),
        });
        Record {
            root: self.root.clone(),
            dealer: self.dealer.public(),
            peers,
            policy: Policy {
                reveal_to: [false, true],
                least_batch: 1,
                ..Policy::default()
            },
        }
    }

    /// The role `own` as the others meet it.
    fn endpoint(&self, own: Actor, identity: &Identity) -> Endpoint {
        let board = Identity::new(identity_secret(&self.root));
        let others = [
            (Actor::Party(Role::P0), board.public()),
            (Actor::Party(Role::P1), self.p1.public()),
            (Actor::Dealer, self.dealer.public()),
        ];
        Endpoint {
            own,
            credentials: Arc::new(Credentials::new(identity.clone(), others)),
            lines: Lines::default(),
            wait: WAIT,
            quiet: true,
        }
    }

    /// Runs the dealer and P1 with the board at `mux`; `emit` gets P1's events, `counts` the bytes between the parties.
    /// Either role may be silent for as long as `idle`.
    pub fn train(
        &self,
        mux: &DeviceMux,
        counts: &ByteCounts,
        idle: Duration,
        emit: Emit<'_>,
    ) -> Result<Outcome<'a>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let dealer = self.endpoint(Actor::Dealer, &self.dealer);
        let listener = dealer.listen("127.0.0.1:0")?;
        let address = listener.local_addr().map_err(broken)?.to_string();
        let (party, dealer) = thread::scope(|scope| {
            let work = move || {
                let helper = (Helper::Dealer, Needed::None);
                let parties = meet_parties(helper, &listener, &dealer, TcpEnd::bounded)?;
                let begun = begin(parties, keys, (&listener, &dealer), (Some(1), idle), None)?;
                begun.serve(None, &mut |_, _| ())
            };
            let dealer = spawn_scoped(scope, work)?;
            // At its end the party drops its links, so the dealer ends too.
            let party = self.party(mux, &address, counts, idle, emit);
            Ok::<_, Failure>((party, dealer.join()))
        })?;
        match (party, dealer) {
            (Err(failure), Ok(Err(cause))) if failure.is_consequence() => {
                Err(cause.of("the dealer"))
            }
            (party, _) => party,
        }
    }

    fn party(
        &self,
        mux: &DeviceMux,
        dealer: &str,
        counts: &ByteCounts,
        idle: Duration,
        emit: Emit<'_>,
    ) -> Result<Outcome<'a>, Failure> {
        let (session, network) = (self.session, self.network);
        let start = Instant::now();
        let endpoint = self.endpoint(Actor::Party(Role::P1), &self.p1);
        let board =
            BesideDevice::start(mux, session, &endpoint, (Checkpoints::default(), 0), idle)?;
        let weights = [
            session_secret(&self.root, &board.fresh()),
            self.secrets.initial_weights(Role::P1)?,
        ];
        let Met {
            mut peer,
            mut dealer,
            key,
            ending,
            ..
        } = board.meet(dealer, |channel| Counted::new(channel, counts))?;
        let mut twin = Twin::new(network, session, self.initial_model(&weights)?);
        let mut rounds = 0;
        let follow = &mut |event| {
            if let Event::Iteration {
                iteration,
                samples,
                traffic,
                ..
            } = &event
            {
                rounds += traffic.total().rounds;
                twin.follow(session, self.images, *iteration, *samples);
            }
            emit(event)
        };
        let [_, secret] = weights;
        let setup = PartySetup {
            session,
            network,
            role: Role::P1,
            secret,
            initial: &[],
            key,
            simulated: false,
            durable: None,
            positions: None,
            beside: None,
            validation: None,
            contributions: None,
            further: FurtherRanks::default(),
        };
        let mut none = OwnImages::new(self.images, 0..0, network.classes);
        let links = (
            Link::new(AnyEnd::new(&mut peer), Remote::Peer, 0),
            Link::new(AnyEnd::new(&mut dealer), Remote::Dealer, UNBOUNDED),
        );
        let nobody = &mut NoObserver;
        let observers = Observers::only(nobody);
        let values = run_party::<Ring>(setup, links, &mut none, observers, follow)?;
        ending.finish(&mut dealer, &mut peer)?;
        let taken = end_session(mux, THE_DEVICE)?;
        Ok(Outcome {
            model: decode_model(network, session, &values.unwrap_or_default()),
            twin,
            taken,
            rounds,
            time: start.elapsed(),
        })
    }

    /// The model that the initial weights of both parties add up to.
    fn initial_model(&self, weights: &[Key; 2]) -> Result<Vec<Parameters>, Failure> {
        let shares = |role: Role| {
            let secret = &weights[role.index()];
            initial_shares::<Ring>(self.session, self.network, role, secret)
        };
        let (one, other) = (shares(Role::P0)?, shares(Role::P1)?);
        Ok(join(self.network, self.session, &one, &other))
    }
}
