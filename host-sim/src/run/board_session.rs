//! A session with an emulated board that is P0 and owns the images. This process is P1 and the dealer, and knows the
//! board's secret, so it can also train the plaintext twin.

use std::{
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::MemoryUsed,
    net::{Link, Remote},
    network::Network,
    prg::{
        Key,
        device_key::{dealer_key, session_secret},
    },
    session::{
        Session,
        handshake::{Hello, Seal},
    },
    share::NoObserver,
};

use super::{
    collect::join,
    device::{DeviceMux, end_session, introduce, start_session},
    event::Event,
    party::{PartySetup, initial_shares, run_party},
    secrets::Secrets,
    simulation::serve_dealer,
};
use crate::{
    data::{
        Images, OwnImages,
        parameters::{Parameters, decode_model},
    },
    error::Failure,
    links::{
        any_end::AnyEnd,
        connect::UNBOUNDED,
        counted::{ByteCounts, Counted},
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
    },
    reference::twin::Twin,
    resources::spawn_scoped,
};

/// The ring of devices.
type Ring = u32;

/// A session with a board.
pub struct BoardSession<'a> {
    session: &'a Session,
    network: &'a Network,
    images: &'a Images,
    secrets: Secrets,
    nonce: u64,
    /// The key that the board shares with the dealer.
    shared: Key,
    /// Secrets from which the board and P1 draw the initial weights.
    weights: [Key; 2],
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
        root: &Key,
    ) -> Result<Self, Failure> {
        let nonce = secrets.nonce()?;
        Ok(BoardSession {
            session,
            network,
            images,
            secrets,
            nonce,
            shared: dealer_key(root),
            weights: [
                session_secret(root, nonce),
                secrets.initial_weights(Role::P1)?,
            ],
        })
    }

    /// Runs the dealer and P1 with the board at `mux`; `emit` gets P1's events, `counts` the bytes between the parties.
    pub fn train(
        &self,
        mux: &DeviceMux,
        counts: &ByteCounts,
        emit: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<Outcome<'a>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let seal = Seal {
            shared: self.shared.clone(),
            nonce: self.secrets.seal(Role::P0)?,
        };
        let seals = [Some(seal), None];
        let [to_p0, dealer_p0] = memory::bounded(TrafficShape::default());
        let [to_p1, dealer_p1] = memory::bounded(TrafficShape::default());
        let (party, dealer) = thread::scope(|scope| {
            let work = move || serve_dealer::<Ring>(keys, seals, [to_p0, to_p1], 0);
            let dealer = spawn_scoped(scope, work)?;
            // At its end the party drops its links, so the dealer ends too.
            let party = self.party(mux, [dealer_p0, dealer_p1], counts, emit);
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
        ends: [MemoryEnd; 2],
        counts: &ByteCounts,
        mut emit: impl FnMut(Event) -> Result<(), Failure>,
    ) -> Result<Outcome<'a>, Failure> {
        let (session, network) = (self.session, self.network);
        let start = Instant::now();
        let [mut relay, mut dealer] = ends.map(|end| Link::new(end, Remote::Dealer, UNBOUNDED));
        start_session(mux, &Hello::new(Role::P0, session), self.nonce)?;
        let (peer, key) = introduce(mux, session, None, (&mut relay, &mut dealer))?;
        let peer = Counted::new(peer.into_inner(), counts);
        let peer = Link::new(AnyEnd::new(peer), Remote::Peer, 0);
        let dealer = Link::new(AnyEnd::new(dealer.into_inner()), Remote::Dealer, UNBOUNDED);
        let mut twin = Twin::new(network, session, self.initial_model()?);
        let mut rounds = 0;
        let follow = |event| {
            if let Event::Iteration {
                iteration,
                samples,
                traffic,
                ..
            } = &event
            {
                rounds += traffic.total().rounds;
                twin.iterate(session, self.images, *iteration, *samples);
            }
            emit(event)
        };
        let setup = PartySetup {
            session,
            network,
            role: Role::P1,
            secret: self.weights[1].clone(),
            key,
            simulated: false,
            durable: None,
        };
        let mut none = OwnImages::new(self.images, 0..0, network.classes);
        let values = run_party::<Ring>(setup, (peer, dealer), &mut none, &mut NoObserver, follow)?;
        let taken = end_session(mux)?;
        Ok(Outcome {
            model: decode_model(network, session, &values.unwrap_or_default()),
            twin,
            taken,
            rounds,
            time: start.elapsed(),
        })
    }

    /// The model that the initial weights of both parties add up to.
    fn initial_model(&self) -> Result<Vec<Parameters>, Failure> {
        let shares = |role: Role| {
            let secret = &self.weights[role.index()];
            initial_shares::<Ring>(self.session, self.network, role, secret)
        };
        let (one, other) = (shares(Role::P0)?, shares(Role::P1)?);
        Ok(join(self.network, self.session, &one, &other))
    }
}
