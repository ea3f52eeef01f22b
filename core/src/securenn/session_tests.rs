//! Whole SecureNN sessions of all three roles, over links with little buffering.

extern crate std;

use std::{vec, vec::Vec};

use super::{
    assistant::Assistant,
    harness::{Buffers, RunResult, run_over},
    layout::{assistant_words, party_words},
    party::{Classifier, Trainer},
    plan,
};
use crate::{
    Role,
    cost::traffic::Traffic,
    gate::{
        harness::key,
        reuse::{self, Used},
    },
    model::{Layer, loss::Loss, triple_scheme::TripleScheme},
    network::Network,
    num::fixed_point::Format,
    session::{Protocol, Session, SessionError, Task},
    share::Share,
    tests::{DEFAULT_RUN, Recorder, SyntheticData, networks, run as run_dealt, session as dealt},
};

/// Fraction bits as published.
pub(super) const FRACTION: u32 = 13;

pub(super) fn session(input: [u16; 3], layers: &[Layer]) -> Session {
    Session {
        format: Format::new::<u64>(FRACTION).unwrap(),
        protocol: Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Softmax,
        },
        ..dealt::<u64>(input, layers, 5)
    }
}

fn check(session: &Session) -> Network {
    crate::securenn::check(session).unwrap()
}

/// The samples of one party.
pub(super) fn samples_of(session: &Session, network: &Network, role: Role) -> SyntheticData {
    SyntheticData {
        first: match role {
            Role::P0 => 0,
            Role::P1 => session.samples[0],
        },
        classes: network.classes as u8,
    }
}

/// The result of one party.
#[derive(Default)]
pub(super) struct PartyResult {
    /// Its shares of every stage's parameters.
    pub shares: Vec<u64>,
    pub traffic: Vec<Traffic>,
    /// Samples and classes that it learns.
    pub classes: Vec<(u32, u8)>,
    /// For each iteration, the counts of the audit.
    pub audits: Vec<Option<Vec<[u32; 2]>>>,
    /// For each iteration, the shares that the observer saw, in sessions with audits.
    pub seen: Vec<Recorder>,
    /// The stream positions that it used for masks in the gates of the dealt protocols.
    pub used: Used,
}

/// Runs a session. In inference the model's owner loads `model`.
pub(super) fn run_session(session: &Session, model: &[Vec<u64>]) -> RunResult<PartyResult, Used> {
    run_session_over(Buffers::LARGE, session, model)
}

/// As [`run_session`], over links with `buffers`.
fn run_session_over(
    buffers: Buffers,
    session: &Session,
    model: &[Vec<u64>],
) -> RunResult<PartyResult, Used> {
    let network = check(session);
    let rows = session.iterations();
    run_over(
        buffers,
        17,
        |cx| {
            let role = super::gates::Computing::role(cx);
            let mut memory = vec![0; party_words(session, &network)];
            let mut data = samples_of(session, &network, role);
            let mut result = PartyResult::default();
            let records = session.has_audits();
            reuse::start();
            match session.task {
                Task::Train => {
                    let secret = key(DEFAULT_RUN.weights, role);
                    let mut party =
                        Trainer::new(session, &network, role, &secret, &mut memory).unwrap();
                    for iteration in 0..rows {
                        let mut observer = Recorder::new(records);
                        party
                            .iterate(cx, iteration, &mut data, &mut observer)
                            .unwrap();
                        result.traffic.push(cx.take_traffic());
                        result.audits.push(party.audit_counts().map(<[_]>::to_vec));
                        result.seen.push(observer);
                    }
                    for stage in 0..network.stages.len() {
                        result
                            .shares
                            .extend(party.parameters(stage).map(Share::reveal));
                    }
                }
                Task::Infer | Task::Evaluate => {
                    let mut party = Classifier::new(session, &network, role, &mut memory).unwrap();
                    if session.samples_owner() != role {
                        for (stage, values) in model.iter().enumerate() {
                            party.load_parameters(stage, values.iter().copied());
                        }
                    }
                    for iteration in 0..rows {
                        let sink = |sample, class| result.classes.push((sample, class));
                        let mut observer = Recorder::new(records);
                        party
                            .classify(cx, iteration, &mut data, &mut observer, sink)
                            .unwrap();
                        result.traffic.push(cx.take_traffic());
                        result.audits.push(party.audit_counts().map(<[_]>::to_vec));
                        result.seen.push(observer);
                    }
                }
            }
            result.used = reuse::stop().0;
            Ok(result)
        },
        |cx| {
            reuse::start();
            let mut memory = vec![0; assistant_words(session, &network)];
            let mut assistant = Assistant::new(session, &network, &mut memory).unwrap();
            for iteration in 0..rows {
                assistant.iterate(cx, iteration).unwrap();
            }
            Ok(reuse::stop().0)
        },
    )
}

/// The trained parameters of all stages.
fn parameters(ran: &RunResult<PartyResult, Used>) -> Vec<f64> {
    let [first, second] = &ran.outputs;
    let pairs = first.shares.iter().zip(&second.shares);
    pairs
        .map(|(a, b)| a.wrapping_add(*b) as i64 as f64 / f64::from(1u32 << (2 * FRACTION)))
        .collect()
}

/// Checks traffic against the plan: the bytes that all roles send, and the rounds of both parties. The model's owner
/// does not wait for the classes.
pub(super) fn check_costs(session: &Session, ran: &RunResult<PartyResult, Used>) {
    let network = check(session);
    let planned = (0..session.iterations()).map(|iteration| {
        let len = session.batch(iteration).len;
        let cost_rows = plan::cost_rows(session, &network, len).into_iter();
        let audit = match session.is_audited(iteration) {
            true => plan::audit_cost_rows(session, &network, len),
            false => Default::default(),
        };
        let cost_row = |cost_row: plan::CostRow| cost_row.forward + cost_row.backward;
        let cost_rows = cost_rows.chain(audit).map(cost_row);
        cost_rows.sum::<super::gates::Cost>()
    });
    let planned: super::gates::Cost = planned.sum();
    let counted = ran.outputs.each_ref().map(|result| {
        let traffic = result.traffic.iter().map(Traffic::total);
        traffic.sum::<crate::cost::Cost>()
    });
    let bytes = counted.map(|cost| cost.online_bytes + cost.dealer_bytes);
    assert_eq!([planned.bytes; 2], [bytes[0] + bytes[1], ran.bytes]);
    let answers = (0..session.iterations())
        .map(|iteration| {
            session
                .batch(iteration)
                .micro_batches(session.micro_batch)
                .count() as u64
        })
        .sum::<u64>();
    for role in Role::BOTH {
        let learned = session.task == Task::Train || session.samples_owner() == role;
        let waits = planned.rounds - if learned { 0 } else { answers };
        assert_eq!(counted[role.index()].rounds, waits, "{role}");
    }
}

#[test]
fn training_matches_the_dealt_protocol_up_to_rounding() {
    for (input, layers) in networks() {
        for triples in [TripleScheme::Baseline, TripleScheme::Fused] {
            let session = Session {
                protocol: Protocol::SecureNn {
                    triples,
                    loss: Loss::Softmax,
                },
                ..session(input, &layers)
            };
            let ran = run_session(&session, &[]);
            let exact = dealt::<u64>(input, &layers, 5);
            let want = run_dealt::<u64>(&exact, DEFAULT_RUN).parameters(exact.format);
            let got = parameters(&ran);
            let errors = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
            // Rounding may change the sign of a value next to zero, and so a whole step of a weight.
            let (worst, all) = errors.fold((0f64, 0.0), |(worst, all), e| (worst.max(e), all + e));
            let mean = all / want.len() as f64;
            assert!(worst < 0.05 && mean < 0.003, "{layers:?} {worst} {mean}");
            check_costs(&session, &ran);
        }
    }
}

#[test]
fn links_with_little_buffering_do_not_deadlock() {
    let (input, layers) = networks().remove(0);
    let session = session(input, &layers);
    let small = run_session_over(Buffers::SMALL, &session, &[]);
    assert_eq!(parameters(&small), parameters(&run_session(&session, &[])));
}

#[test]
fn micro_batches_change_only_the_rounding() {
    let (input, layers) = networks().pop().unwrap();
    let whole = session(input, &layers);
    let parts = Session {
        micro_batch: 2,
        ..whole.clone()
    };
    let (whole, ran) = (run_session(&whole, &[]), run_session(&parts, &[]));
    for (got, want) in parameters(&ran).iter().zip(parameters(&whole)) {
        assert!((got - want).abs() < 0.01, "{got} {want}");
    }
    check_costs(&parts, &ran);
}

#[test]
fn the_normalised_loss_changes_the_model() {
    let (input, layers) = networks().swap_remove(3);
    let softmax = session(input, &layers);
    let normalised = Session {
        protocol: Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Normalised,
        },
        ..softmax.clone()
    };
    let ran = run_session(&normalised, &[]);
    assert_ne!(parameters(&ran), parameters(&run_session(&softmax, &[])));
    check_costs(&normalised, &ran);
}

/// The parameters of one dense stage whose logits are the pixels, so that the class is the brightest pixel's index.
pub(super) fn brightest(classes: usize) -> Vec<u64> {
    let one = 1u64 << (2 * FRACTION);
    let weights = (0..classes * classes).map(|at| one * u64::from(at / classes == at % classes));
    weights.chain((0..classes).map(|_| 0)).collect()
}

#[test]
fn only_the_samples_owner_learns_the_classes() {
    let layers = [Layer::Dense { units: 9 }];
    for samples in [[7, 0], [0, 7]] {
        let session = Session {
            task: Task::Infer,
            samples,
            epochs: 1,
            micro_batch: 2,
            ..session([1, 1, 9], &layers)
        };
        let network = check(&session);
        let ran = run_session(&session, &[brightest(9)]);
        let asking = session.samples_owner();
        assert!(ran.outputs[asking.other().index()].classes.is_empty());
        let mut learned = ran.outputs[asking.index()].classes.clone();
        learned.sort_unstable();
        let mut data = samples_of(&session, &network, asking);
        let want: Vec<(u32, u8)> = (0..7)
            .map(|sample| {
                let mut pixels = [0; 9];
                crate::data::Data::pixels(&mut data, sample, &mut pixels).unwrap();
                let best = (0..9).max_by_key(|&class| pixels[class]).unwrap();
                (sample, best as u8)
            })
            .collect();
        assert_eq!(learned, want);
        check_costs(&session, &ran);
    }
}

#[test]
fn sessions_that_securenn_cannot_run_are_refused() {
    let (input, layers) = networks().swap_remove(3);
    let sound = session(input, &layers);
    assert_eq!(
        crate::dealt::check::<u64>(&sound).err(),
        Some(SessionError::Protocol)
    );
    type Change = fn(&mut Session);
    let changes: [(Change, SessionError); 4] = [
        (|s| s.protocol = Protocol::DEALT, SessionError::Protocol),
        (|s| s.learning_rate = 0, SessionError::LearningRate),
        (|s| s.task = Task::Infer, SessionError::Owners),
        (
            |s| s.format = Format::direct(12).unwrap(),
            SessionError::NotInSecureNn("weights at full precision"),
        ),
    ];
    for (change, error) in changes {
        let mut session = sound.clone();
        change(&mut session);
        assert_eq!(crate::securenn::check(&session).err(), Some(error));
    }
}
