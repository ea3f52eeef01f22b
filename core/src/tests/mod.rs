//! Whole sessions of the dealt protocols in one process: both parties and the dealer in threads.

mod inference;

extern crate std;

pub(crate) mod audits;
#[cfg(feature = "contributions")]
mod contributions;
mod corrections;
mod costs;
mod evaluation;
mod losses;
mod order;
#[cfg(feature = "private-training")]
mod private;
mod resume;
mod sample_networks;

use std::{ops::Range, thread, vec, vec::Vec};

use sample_networks::all_networks;
pub(crate) use sample_networks::networks;

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::traffic::Traffic,
    data::{Data, DataError, Normalisation},
    dealt::{Dealer, DealerContext, PartyContext, Plan, Trainer},
    gate::{
        harness::{End, Sent, duplex, key},
        polynomial_tests::polynomial,
        reuse::{self, Kept, Used},
    },
    model::{Layer, Model, triple_scheme::TripleScheme},
    net::link::{Link, Remote},
    network::Network,
    num::{
        fixed_point::Format,
        ring::{Ring, Word, signed},
    },
    session::{
        ClassList, ClassWeights, EpochLoss, Headroom, KnownBackbone, Protocol, RunError, Session,
        Task,
    },
    share::{Share, Values, observer::Observer},
};

/// Images and labels computed from the sample's number, from `first` on.
pub(crate) struct SyntheticData {
    pub first: u32,
    pub classes: u8,
}

impl Data for SyntheticData {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        for (at, pixel) in out.iter_mut().enumerate() {
            let bright = at as u32 % 10 == (self.first + sample) % 10;
            *pixel = (at as u8).wrapping_mul(17) / 4 + if bright { 150 } else { 0 };
        }
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Ok(((self.first + sample) % u32::from(self.classes)) as u8)
    }
}

/// The result of a training session.
pub(crate) struct Outcome {
    /// For each party and stage, its shares of the parameters.
    shares: [Vec<Vec<u128>>; 2],
    traffic: [Vec<Traffic>; 2],
    /// Stream positions that P0 used for masks, and that the dealer dealt.
    used: [Used; 2],
    /// Stream positions that P0 used for the masks of samples, with what they mask.
    kept: Kept,
    /// The bytes that P0 sent to P1, if stream positions are recorded.
    sent: Vec<u8>,
    /// Each party's state at the end.
    states: [Vec<u8>; 2],
    /// For each party and iteration, the counts of the audit.
    audited: [Vec<Option<Vec<[u32; 2]>>>; 2],
    /// For each party and iteration, the loss of the epoch that it ended.
    losses: [Vec<Option<EpochLoss>>; 2],
    /// For each party and iteration, the shares that the observer saw, in sessions with audits.
    seen: [Vec<Recorder>; 2],
}

/// Shares in Z_2^bits that an observer saw: cost row, backward, bits, shares.
type Seen = (usize, bool, u32, Vec<u64>);

/// An observer that records the shares that it sees, if `records` is set.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    records: bool,
    seen: Vec<Seen>,
}

impl Recorder {
    /// An observer that records what it sees if it `records`.
    pub fn new(records: bool) -> Self {
        Recorder {
            records,
            seen: Vec::new(),
        }
    }
}

impl<R: Ring> Observer<R> for Recorder {
    fn values(&mut self, stage: usize, values: Values, [_, bits]: [u32; 2], shares: &[Share<R>]) {
        if self.records {
            let (cost_row, backward) = values.cost_row(stage);
            let shares = shares.iter().map(|share| share.reveal().to_u64());
            self.seen.push((cost_row, backward, bits, shares.collect()));
        }
    }
}

/// How to run a session.
#[derive(Clone, Copy)]
pub(crate) struct RunOptions {
    /// Seed of the session keys.
    keys: u64,
    /// Seed of the initial weights.
    pub weights: u64,
    /// Bytes that a link holds.
    capacity: usize,
    /// Bytes that may be sent before the other end reads.
    ahead: usize,
    /// Whether to record every stream position in use.
    records_streams: bool,
}

pub(crate) const DEFAULT_RUN: RunOptions = RunOptions {
    keys: 3,
    weights: 4,
    capacity: 1 << 16,
    ahead: 1 << 15,
    records_streams: false,
};

impl Outcome {
    /// The trained parameters of all stages.
    pub fn parameters(&self, format: Format) -> Vec<f64> {
        let scale = libm::scalbn(1.0, -(format.master() as i32));
        let [first, second] = &self.shares;
        let pairs = first.iter().flatten().zip(second.iter().flatten());
        pairs
            .map(|(a, b)| signed(a.wrapping_add(*b), format.wide()) as f64 * scale)
            .collect()
    }
}

/// A part of a session.
struct Part<'a> {
    iterations: Range<u32>,
    /// Each party's state before the first of them, if they do not begin at 0.
    states: Option<&'a [Vec<u8>; 2]>,
}

/// Runs a session with both parties and the dealer.
pub(crate) fn run<R: Ring>(session: &Session, options: RunOptions) -> Outcome {
    let whole = Part {
        iterations: 0..session.iterations(),
        states: None,
    };
    run_part::<R>(session, options, whole)
}

/// Runs a part of a session with both parties and the dealer.
fn run_part<R: Ring>(session: &Session, options: RunOptions, part: Part<'_>) -> Outcome {
    let RunOptions {
        capacity, ahead, ..
    } = options;
    let start_recording = || {
        if options.records_streams {
            reuse::start()
        }
    };
    let used_streams = || {
        if options.records_streams {
            reuse::stop()
        } else {
            (Used::new(), Kept::new())
        }
    };
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let [end_p0, end_p1] = duplex(capacity);
    let [cx, dealt] = duplex(capacity);
    let [_unused, key_only] = duplex(1);
    let keys = Role::BOTH.map(|role| key(options.keys, role));
    let sent = options.records_streams.then(|| end_p0.record());
    let start = part.iterations.start;
    let iterations = || part.iterations.clone();
    let party = |role: Role, peer: End, dealer: End| {
        start_recording();
        let mut memory = vec![0; plan.arena_words::<R>(role)];
        let mut opened = vec![R::ZERO; plan.opened_data_words(role)];
        let secret = key(options.weights, role);
        let mut party =
            Trainer::<R>::new(session, &network, role, &secret, &mut memory, &mut opened).unwrap();
        if let Some(states) = part.states {
            party.restore(start, &states[role.index()]).unwrap();
        }
        let mut cx = PartyContext::new(
            role,
            keys[role.index()].clone(),
            Link::new(peer, Remote::Peer, ahead),
            Link::new(dealer, Remote::Dealer, ahead),
        );
        let first = match role {
            Role::P1 if session.contributions.is_none() => session.samples[0],
            _ => 0,
        };
        let data = SyntheticData {
            first,
            classes: network.classes as u8,
        };
        #[cfg(feature = "contributions")]
        let data = contributions::Samples {
            session,
            network: &network,
            role,
            own: data,
            damage: |_, _, _| {},
        };
        let mut data = data;
        let (mut traffic, mut audited, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        let mut losses = Vec::new();
        for iteration in iterations() {
            let mut observer = Recorder {
                records: session.has_audits(),
                ..Recorder::default()
            };
            party
                .iterate(&mut cx, iteration, &mut data, &mut observer)
                .unwrap();
            audited.push(party.audit_counts().map(<[_]>::to_vec));
            losses.push(party.epoch_loss());
            seen.push(observer);
            traffic.push(cx.take_traffic());
        }
        let shares: Vec<Vec<u128>> = (0..network.stages.len())
            .map(|stage| {
                party
                    .parameters(stage)
                    .map(|s| Share::peel(s).to_u128())
                    .collect()
            })
            .collect();
        let mut state = vec![0; party.state_len()];
        party.save_state(&mut state).unwrap();
        let observed = (audited, seen, losses);
        (shares, traffic, used_streams(), observed, state)
    };
    thread::scope(|scope| {
        let dealer = scope.spawn(|| {
            start_recording();
            let mut memory = vec![0; plan.dealer_arena_words::<R>()];
            let mut dealer = Dealer::<R>::new(session, &network, &mut memory).unwrap();
            let link = Link::new(cx, Remote::Party(Role::P1), ahead);
            let mut cx = DealerContext::new(keys.clone(), link);
            if start > 0 {
                dealer.start_at(start).unwrap();
            }
            for iteration in iterations() {
                #[cfg(feature = "contributions")]
                dealer
                    .iterate_on(
                        &mut cx,
                        &mut crate::session::OneRank,
                        &mut contributions::Keys,
                        iteration,
                    )
                    .unwrap();
                #[cfg(not(feature = "contributions"))]
                dealer.iterate(&mut cx, iteration).unwrap();
            }
            (used_streams(), cx)
        });
        let p0 = scope.spawn(|| party(Role::P0, end_p0, key_only));
        let (shares1, traffic1, _, (audited1, seen1, losses1), state1) =
            party(Role::P1, end_p1, dealt);
        let (shares0, traffic0, (used, kept), (audited0, seen0, losses0), state0) =
            p0.join().unwrap();
        let ((dealt, _), _cx) = dealer.join().unwrap();
        Outcome {
            shares: [shares0, shares1],
            traffic: [traffic0, traffic1],
            used: [used, dealt],
            kept,
            sent: sent.map_or(Vec::new(), Sent::take),
            states: [state0, state1],
            audited: [audited0, audited1],
            losses: [losses0, losses1],
            seen: [seen0, seen1],
        }
    })
}

/// A training session of two epochs with momentum.
pub(crate) fn session<R: Ring>(input: [u16; 3], layers: &[Layer], batch: u32) -> Session {
    let fraction = if R::BITS == 32 { 12 } else { 20 };
    Session {
        model: Model::new("test", input, layers).unwrap(),
        format: Format::new::<R>(fraction).unwrap(),
        headroom: Headroom::NONE,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [11, 6],
        contributions: None,
        batch,
        micro_batch: batch,
        epochs: 2,
        limit: 0,
        learning_rate: 1 << 20,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 5,
        receiver: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: KnownBackbone::Unknown,
    }
}

/// The same layers with a cubic in place of each ReLU.
fn with_polynomials(layers: &[Layer]) -> Vec<Layer> {
    let cubic = polynomial(3, 0, &[0.094, 0.5, 0.468, -0.01]);
    let replace = |&layer: &Layer| match layer {
        Layer::Relu => Layer::Polynomial(cubic),
        layer => layer,
    };
    layers.iter().map(replace).collect()
}

const TRIPLES: [TripleScheme; 3] = [
    TripleScheme::Baseline,
    TripleScheme::Seed,
    TripleScheme::Fused,
];

/// Sessions with polynomials, for every triple scheme: with momentum and wide master weights, and in a direct format.
fn polynomial_sessions(input: [u16; 3], layers: &[Layer]) -> Vec<Session> {
    let mut sessions = Vec::new();
    for triples in TRIPLES {
        let narrow = session::<u32>(input, &with_polynomials(layers), 5);
        let direct = Session {
            format: Format::direct(12).unwrap(),
            momentum: 0,
            ..narrow.clone()
        };
        sessions.extend([narrow, direct].map(|session| Session {
            protocol: Protocol::Dealt { triples },
            ..session
        }));
    }
    sessions
}

/// Runs a part of a session in its own ring.
fn run_part_in_its_ring(session: &Session, options: RunOptions, part: Part<'_>) -> Outcome {
    if session.format.ring == 32 {
        run_part::<u32>(session, options, part)
    } else {
        run_part::<u64>(session, options, part)
    }
}

/// The session with every option that a training has beyond momentum, as far as its format takes them.
fn with_all_options(mut session: Session) -> Session {
    let classes = session.network().unwrap().classes;
    let weights: Vec<u16> = (0..classes)
        .map(|class| 4096 - 700 * class as u16)
        .collect();
    session.reveal_loss = true;
    session.class_weights = ClassWeights::new(&weights).unwrap();
    if !session.format.is_direct() {
        session.training.weight_decay = 1 << 18;
        session.training.clip = 1 << 21;
        session.training.nesterov = session.momentum > 0;
    }
    session
}

/// Runs a session in its own ring.
fn run_in_its_ring(session: &Session, options: RunOptions) -> Outcome {
    if session.format.ring == 32 {
        run::<u32>(session, options)
    } else {
        run::<u64>(session, options)
    }
}

#[test]
fn every_triple_scheme_trains_the_same_model() {
    for (input, layers) in all_networks() {
        let sessions = polynomial_sessions(input, &layers);
        for format in 0..2 {
            let runs: Vec<Vec<f64>> = sessions[format..]
                .iter()
                .step_by(2)
                .map(|session| run_in_its_ring(session, DEFAULT_RUN).parameters(session.format))
                .collect();
            let largest = runs[0].iter().fold(0f64, |a, b| a.max(b.abs()));
            assert!(largest > 0.1);
            for other in &runs[1..] {
                for (a, b) in runs[0].iter().zip(other) {
                    assert!((a - b).abs() < 0.03, "{layers:?} {a} {b}");
                }
            }
        }
    }
}

#[test]
fn micro_batches_change_no_bit() {
    for (input, layers) in all_networks() {
        let mut session = session::<u32>(input, &layers, 5);
        session = with_all_options(session);
        let whole = run::<u32>(&session, DEFAULT_RUN);
        for size in [1, 2] {
            session.micro_batch = size;
            let parts = run::<u32>(&session, DEFAULT_RUN);
            assert!(parts.shares == whole.shares, "{layers:?} by {size}");
            assert_eq!(parts.losses, whole.losses);
        }
        for mut session in polynomial_sessions(input, &layers) {
            let whole = run_in_its_ring(&session, DEFAULT_RUN);
            session.micro_batch = 2;
            let parts = run_in_its_ring(&session, DEFAULT_RUN);
            assert!(
                parts.shares == whole.shares,
                "{layers:?} {}",
                session.protocol.triples()
            );
        }
    }
}

#[test]
fn links_with_little_buffering_do_not_deadlock() {
    let (input, layers) = networks().remove(0);
    let session = session::<u32>(input, &layers, 5);
    let wide = run::<u32>(&session, DEFAULT_RUN);
    for capacity in [64, 1] {
        let narrow = run::<u32>(
            &session,
            RunOptions {
                capacity,
                ahead: 0,
                ..DEFAULT_RUN
            },
        );
        assert!(narrow.shares == wide.shares);
    }
}

#[test]
fn no_stream_position_is_used_twice() {
    for (input, layers) in all_networks() {
        let mut sessions = polynomial_sessions(input, &layers);
        sessions.push(session::<u32>(input, &layers, 5));
        for mut session in sessions {
            session.audit = 1;
            session = with_all_options(session);
            let options = RunOptions {
                records_streams: true,
                ..DEFAULT_RUN
            };
            let outcome = run_in_its_ring(&session, options);
            // The recorder checks each set; this checks that no mask is a dealt share too.
            let [masks, dealt] = &outcome.used;
            assert!(masks.len() > 500 && dealt.len() > 500);
            assert!(masks.is_disjoint(dealt));
        }
    }
}

#[test]
fn session_keys_change_the_shares_but_not_the_model() {
    let (input, layers) = networks().remove(0);
    let session = session::<u32>(input, &layers, 5);
    let a = run::<u32>(&session, DEFAULT_RUN);
    let b = run::<u32>(
        &session,
        RunOptions {
            keys: 8,
            ..DEFAULT_RUN
        },
    );
    assert!(a.shares != b.shares);
    let pairs = a.parameters(session.format).into_iter();
    for (a, b) in pairs.zip(b.parameters(session.format)) {
        assert!((a - b).abs() < 0.02, "{a} {b}");
    }
}

#[test]
fn too_little_memory_is_an_error_with_the_length_needed() {
    let (input, layers) = networks().remove(0);
    let session = session::<u32>(input, &layers, 5);
    let network: Network = crate::dealt::check::<u32>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let needed = plan.arena_words::<u32>(Role::P0);
    let mut memory = vec![0; needed - 1];
    let mut opened = vec![0u32; plan.opened_data_words(Role::P0)];
    let secret = key(1, Role::P0);
    let make = |memory: &mut [u64], opened: &mut [u32]| {
        Trainer::<u32>::new(&session, &network, Role::P0, &secret, memory, opened).map(|_| ())
    };
    match make(&mut memory, &mut opened) {
        Err(RunError::Arena(error)) => {
            assert_eq!((error.needed, error.given), (needed, needed - 1))
        }
        other => panic!("{other:?}"),
    }
    memory.push(0);
    assert!(make(&mut memory, &mut opened).is_ok());
    let few = opened.len() - 1;
    assert!(matches!(
        make(&mut memory, &mut opened[..few]),
        Err(RunError::OpenedData(_))
    ));
    let mut memory = vec![0; plan.dealer_arena_words::<u32>() - 1];
    assert!(Dealer::<u32>::new(&session, &network, &mut memory).is_err());
}
