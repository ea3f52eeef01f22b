//! Simulations with recorded links.

use std::{
    io,
    sync::{Arc, Mutex, mpsc::channel},
    thread,
};

use embedded_io::{ErrorType, Read, Write};
use ringlet::{
    data::{Images, OwnImages},
    links::{
        any_end::AnyEnd,
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
    },
    run::{
        actors::Helper,
        dealer::run_dealer,
        event::{Event, StageValues},
        handshakes::{greet, meet_parties},
        inference,
        party::{PartySetup, run_party},
        party_ranks::{FurtherRanks, Observers, PartyLinks},
    },
};
use ringlet_core::{
    Role,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{
        Session,
        handshake::{Hello, receive_hello},
    },
    share::{Observer, Share, Values},
};

/// All bytes that one end has sent.
pub type Transcript = Arc<Mutex<Vec<u8>>>;

/// A transport that keeps a copy of what it sends.
pub struct Recorded {
    inner: MemoryEnd,
    sent: Transcript,
}

impl Recorded {
    fn new(inner: MemoryEnd) -> (Self, Transcript) {
        let sent = Transcript::default();
        (
            Recorded {
                inner,
                sent: sent.clone(),
            },
            sent,
        )
    }
}

impl ErrorType for Recorded {
    type Error = io::Error;
}

impl Read for Recorded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sent.lock().expect("no panic").extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Narrow shares of one party: the cost row, whether in the backward pass, the bits of their ring, and the shares.
pub type Narrow = (usize, bool, u32, Vec<u64>);

/// Keeps all observed shares.
#[derive(Default)]
struct Keeping(Vec<Narrow>);

impl<R: Ring> Observer<R> for Keeping {
    fn values(&mut self, stage: usize, values: Values, [_, bits]: [u32; 2], shares: &[Share<R>]) {
        let (row, backward) = values.cost_row(stage);
        let shares = shares.iter().map(|share| share.reveal().to_u64()).collect();
        self.0.push((row, backward, bits, shares));
    }
}

/// The record of a simulation.
pub struct Recording {
    /// What P0 and P1 sent to each other, handshake included.
    pub peer: [Vec<u8>; 2],
    /// What the dealer sent to P0 and to P1, handshake included.
    pub dealer: [Vec<u8>; 2],
    /// What P0 and P1 sent to the dealer.
    pub to_dealer: [Vec<u8>; 2],
    /// Each party's shares of the model before each epoch and at the end.
    pub shares: [Vec<Vec<StageValues>>; 2],
    /// Each party's narrow shares, in the order of the run: products, logits, gradients, velocities.
    pub narrow: [Vec<Narrow>; 2],
    /// The model that was revealed to the session's receiver.
    pub revealed: [Option<Vec<StageValues>>; 2],
}

/// A model of some weights, at the master weights' scale.
fn some_model(network: &Network, session: &Session) -> Vec<StageValues> {
    let [_, fraction] = session.master();
    let unit = |index: usize| (index * 7919 % 1009) as i128 - 504;
    let value = |index: usize| ((unit(index) << fraction) / 4096) as u128;
    let stages = network.stages.iter();
    stages
        .map(|stage| (0..stage.parameters()).map(value).collect())
        .collect()
}

/// Runs a session in its ring with the given keys. The initial weights come from `weights`, or are those of a fixed model if the
/// session begins with one.
pub fn record(session: &Session, images: &Images, keys: [Key; 2], weights: u8) -> Recording {
    let weights = [weights, weights.wrapping_add(1)].map(|byte| Key::new([byte; 32]));
    record_with(session, images, keys, weights)
}

/// The same, with the secrets from which the parties draw their parts of the initial weights.
pub fn record_with(
    session: &Session,
    images: &Images,
    keys: [Key; 2],
    weights: [Key; 2],
) -> Recording {
    if session.format.ring == u32::BITS {
        record_in::<u32>(session, images, keys, weights)
    } else {
        record_in::<u64>(session, images, keys, weights)
    }
}

fn record_in<R: Ring>(
    session: &Session,
    images: &Images,
    keys: [Key; 2],
    weights: [Key; 2],
) -> Recording {
    let network = ringlet_core::dealt::check::<R>(session).expect("a session that runs");
    let model = &some_model(&network, session);
    let (tell, told) = channel();
    let run = |party: ConnectedRole<'_>| {
        let role = party.setup.role;
        let setup = PartySetup {
            initial: match session.initial_model == Some(role) {
                true => model,
                false => &[],
            },
            ..party.setup
        };
        let mut data = party.data;
        let emit = &mut |event| {
            tell.send((role, event)).expect("a listener");
            Ok(())
        };
        let mut observer = Keeping::default();
        let observers = Observers::only(&mut observer);
        let revealed = run_party::<R>(setup, party.links, &mut data, observers, emit);
        (revealed.expect("a party that runs"), observer.0)
    };
    let roles = Roles {
        session,
        network: &network,
        images,
        keys,
        secrets: weights,
    };
    let Sent {
        peer,
        dealer,
        to_dealer,
        made: [first, second],
    } = roles.run::<R, _>(&run);
    drop(tell);
    let mut shares = [Vec::new(), Vec::new()];
    for (role, event) in told {
        if let Event::Shares { stages, .. } = event {
            shares[role.index()].push(stages);
        }
    }
    Recording {
        peer,
        dealer,
        to_dealer,
        shares,
        narrow: [first.1, second.1],
        revealed: [first.0, second.0],
    }
}

/// Runs an inference in the ring of 32 bits by a model. Returns what P0 and P1 sent to each other, handshake included, and the
/// classes of the images, which their owner has found.
pub fn record_inference(
    session: &Session,
    images: &Images,
    keys: [Key; 2],
    model: &[StageValues],
) -> ([Vec<u8>; 2], Vec<u8>) {
    let network = ringlet_core::dealt::check::<u32>(session).expect("a session that runs");
    let run = |party: ConnectedRole<'_>| {
        let own = match session.model_owner() == Some(party.setup.role) {
            true => model,
            false => &[],
        };
        let mut data = party.data;
        let mut observer = Keeping::default();
        let observers = Observers::only(&mut observer);
        let links = party.links;
        let emit = &mut |_| Ok(());
        inference::run_party::<u32>(party.setup, own, links, &mut data, observers, emit)
            .expect("a party that runs")
    };
    let roles = Roles {
        session,
        network: &network,
        images,
        keys,
        // An inference draws no weights.
        secrets: [1, 2].map(|byte| Key::new([byte; 32])),
    };
    let Sent { peer, made, .. } = roles.run::<u32, _>(&run);
    let mut found = made.concat();
    found.sort_unstable();
    (peer, found.into_iter().map(|(_, class)| class).collect())
}

/// A party with its links to the other roles, after the handshakes.
struct ConnectedRole<'a> {
    setup: PartySetup<'a>,
    links: PartyLinks<'a>,
    data: OwnImages<'a>,
}

/// What all roles of a session begin with.
struct Roles<'a> {
    session: &'a Session,
    network: &'a Network,
    images: &'a Images,
    keys: [Key; 2],
    secrets: [Key; 2],
}

/// What the roles have sent, and what the parties have made.
struct Sent<T> {
    peer: [Vec<u8>; 2],
    dealer: [Vec<u8>; 2],
    to_dealer: [Vec<u8>; 2],
    made: [T; 2],
}

impl Roles<'_> {
    /// Runs both parties by `run`, and the dealer.
    fn run<R: Ring, T: Send>(self, run: &(impl Fn(ConnectedRole<'_>) -> T + Sync)) -> Sent<T> {
        let Roles {
            session,
            network,
            images,
            keys,
            secrets,
        } = self;
        let [peer0, peer1] = memory::duplex(TrafficShape::default()).map(Recorded::new);
        let [dealer0, party0] = memory::bounded(TrafficShape::default()).map(Recorded::new);
        let [dealer1, party1] = memory::bounded(TrafficShape::default()).map(Recorded::new);
        let split = session.samples[0] as usize;
        let own = [0..split, split..split + session.samples[1] as usize];
        let ahead = usize::MAX / 4;
        let made = thread::scope(|scope| {
            let links = [dealer0.0, dealer1.0];
            scope.spawn(move || {
                let links =
                    links.map(|end| Link::new(AnyEnd::new(end), Remote::Party(Role::P1), ahead));
                let mut links = links;
                let heard = links
                    .each_mut()
                    .map(|link| receive_hello(link).expect("a hello"));
                let (session, [_p0, p1]) =
                    meet_parties(Helper::Dealer, links, heard, &keys).expect("equal sessions");
                let links = (p1, Vec::new());
                run_dealer::<R>(&session, keys, links, 0, &mut |_, _| {})
                    .expect("a dealer that runs");
            });
            let ends = [(peer0.0, party0.0), (peer1.0, party1.0)];
            let mut parties = Vec::new();
            let roles = Role::BOTH.into_iter().zip(ends).zip(own).zip(secrets);
            for (((role, (peer, dealer)), own), secret) in roles {
                parties.push(scope.spawn(move || {
                    let mut peer = Link::new(AnyEnd::new(peer), Remote::Peer, ahead);
                    let mut dealer = Link::new(AnyEnd::new(dealer), Remote::Dealer, ahead);
                    let setup = PartySetup {
                        session,
                        network,
                        role,
                        secret,
                        initial: &[],
                        key: greet(&Hello::new(role, session), &mut peer, &mut dealer)
                            .expect("a handshake"),
                        simulated: true,
                        durable: None,
                        positions: None,
                        beside: None,
                        validation: None,
                        contributions: None,
                        further: FurtherRanks::default(),
                    };
                    run(ConnectedRole {
                        setup,
                        links: (peer, dealer),
                        data: OwnImages::new(images, own, network.classes),
                    })
                }));
            }
            let ends: Vec<_> = parties
                .into_iter()
                .map(|party| party.join().expect("no panic"))
                .collect();
            <[_; 2]>::try_from(ends).unwrap_or_else(|_| panic!("two parties"))
        });
        let taken = |transcript: Transcript| transcript.lock().expect("no panic").clone();
        Sent {
            peer: [taken(peer0.1), taken(peer1.1)],
            dealer: [taken(dealer0.1), taken(dealer1.1)],
            to_dealer: [taken(party0.1), taken(party1.1)],
            made,
        }
    }
}
