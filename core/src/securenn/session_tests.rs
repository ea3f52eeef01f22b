//! Whole sessions of all three roles over links that hold few bytes.

extern crate std;

use std::{vec, vec::Vec};

use super::{
    assistant::Assistant,
    harness::{Ran, run},
    layout::{assistant_words, party_words},
    party::{Classifier, Trainer},
    plan,
};
use crate::{
    Role,
    cost::traffic::Traffic,
    gate::harness::key,
    model::{Layer, loss::Loss, triple_scheme::TripleScheme},
    network::Network,
    num::fixed_point::Format,
    session::{Protocol, Session, SessionError, Task},
    share::Share,
    tests::{Made, WAY, networks, run as run_dealt, session as dealt},
};

/// Fraction bits as published.
const FRACTION: u32 = 13;

fn session(input: [u16; 3], layers: &[Layer]) -> Session {
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

fn made(session: &Session, network: &Network, role: Role) -> Made {
    Made {
        first: match role {
            Role::P0 => 0,
            Role::P1 => session.samples[0],
        },
        classes: network.classes as u8,
    }
}

/// What a party has at the end.
#[derive(Default)]
struct Ended {
    /// Its shares of every stage's parameters.
    shares: Vec<u64>,
    meters: Vec<Traffic>,
    /// Samples and classes that it was told.
    classes: Vec<(u32, u8)>,
}

/// Runs a session; the model's owner in inference holds `model`.
fn play(session: &Session, model: &[Vec<u64>]) -> Ran<Ended, ()> {
    let network = check(session);
    let rows = session.iterations();
    run(
        17,
        |cx| {
            let role = super::gates::Computing::role(cx);
            let mut memory = vec![0; party_words(session, &network)];
            let mut data = made(session, &network, role);
            let mut ended = Ended::default();
            match session.task {
                Task::Train => {
                    let secret = key(WAY.weights, role);
                    let mut party =
                        Trainer::new(session, &network, role, &secret, &mut memory).unwrap();
                    for iteration in 0..rows {
                        party.iterate(cx, iteration, &mut data).unwrap();
                        ended.meters.push(cx.take_traffic());
                    }
                    for stage in 0..network.stages.len() {
                        ended
                            .shares
                            .extend(party.parameters(stage).map(Share::reveal));
                    }
                }
                Task::Infer => {
                    let mut party = Classifier::new(session, &network, role, &mut memory).unwrap();
                    if session.asking() != role {
                        for (stage, values) in model.iter().enumerate() {
                            party.load_parameters(stage, values.iter().copied());
                        }
                    }
                    for iteration in 0..rows {
                        let sink = |sample, class| ended.classes.push((sample, class));
                        party.classify(cx, iteration, &mut data, sink).unwrap();
                        ended.meters.push(cx.take_traffic());
                    }
                }
            }
            Ok(ended)
        },
        |cx| {
            let mut memory = vec![0; assistant_words(session, &network)];
            let mut assistant = Assistant::new(session, &network, &mut memory).unwrap();
            (0..rows).try_for_each(|iteration| assistant.iterate(cx, iteration))
        },
    )
}

fn parameters(ran: &Ran<Ended, ()>) -> Vec<f64> {
    let [first, second] = &ran.made;
    let pairs = first.shares.iter().zip(&second.shares);
    pairs
        .map(|(a, b)| a.wrapping_add(*b) as i64 as f64 / f64::from(1u32 << (2 * FRACTION)))
        .collect()
}

/// What is counted is what the plan says: the bytes that all roles send, and the rounds of both parties. The owner of
/// the model does not wait for the classes.
fn costs_as_planned(session: &Session, ran: &Ran<Ended, ()>) {
    let network = check(session);
    let planned = (0..session.iterations()).map(|iteration| {
        let cost_rows = plan::cost_rows(session, &network, session.batch(iteration).len);
        let cost_row = |cost_row: &plan::CostRow| cost_row.forward + cost_row.backward;
        cost_rows.iter().map(cost_row).sum::<super::gates::Cost>()
    });
    let planned: super::gates::Cost = planned.sum();
    let counted = ran.made.each_ref().map(|ended| {
        let meters = ended.meters.iter().map(Traffic::total);
        meters.sum::<crate::cost::Cost>()
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
        let told = session.task == Task::Train || session.asking() == role;
        let waits = planned.rounds - if told { 0 } else { answers };
        assert_eq!(counted[role.index()].rounds, waits, "{role}");
    }
}

#[test]
fn training_equals_that_of_exact_relu_but_for_rounding() {
    for (input, layers) in networks() {
        for triples in [TripleScheme::Baseline, TripleScheme::Fused] {
            let session = Session {
                protocol: Protocol::SecureNn {
                    triples,
                    loss: Loss::Softmax,
                },
                ..session(input, &layers)
            };
            let ran = play(&session, &[]);
            let exact = dealt::<u64>(input, &layers, 5);
            let want = run_dealt::<u64>(&exact, WAY).parameters(exact.format);
            let got = parameters(&ran);
            let errors = got.iter().zip(&want).map(|(got, want)| (got - want).abs());
            // A value next to zero may fall on the other side of a ReLU, which then moves a step of the rate.
            let (worst, all) = errors.fold((0f64, 0.0), |(worst, all), e| (worst.max(e), all + e));
            let mean = all / want.len() as f64;
            assert!(worst < 0.05 && mean < 0.003, "{layers:?} {worst} {mean}");
            costs_as_planned(&session, &ran);
        }
    }
}

#[test]
fn micro_batches_change_no_more_than_roundings() {
    let (input, layers) = networks().pop().unwrap();
    let whole = session(input, &layers);
    let parts = Session {
        micro_batch: 2,
        ..whole.clone()
    };
    let (whole, ran) = (play(&whole, &[]), play(&parts, &[]));
    for (got, want) in parameters(&ran).iter().zip(parameters(&whole)) {
        assert!((got - want).abs() < 0.01, "{got} {want}");
    }
    costs_as_planned(&parts, &ran);
}

#[test]
fn the_normalised_loss_learns_too() {
    let (input, layers) = networks().swap_remove(3);
    let softmax = session(input, &layers);
    let normalised = Session {
        protocol: Protocol::SecureNn {
            triples: TripleScheme::Fused,
            loss: Loss::Normalised,
        },
        ..softmax.clone()
    };
    let ran = play(&normalised, &[]);
    assert_ne!(parameters(&ran), parameters(&play(&softmax, &[])));
    costs_as_planned(&normalised, &ran);
}

/// One stage that gives each class its pixel, so that the class is that of the brightest.
fn brightest(classes: usize) -> Vec<u64> {
    let one = 1u64 << (2 * FRACTION);
    let weights = (0..classes * classes).map(|at| one * u64::from(at / classes == at % classes));
    weights.chain((0..classes).map(|_| 0)).collect()
}

#[test]
fn the_party_that_asks_alone_learns_the_classes() {
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
        let ran = play(&session, &[brightest(9)]);
        let asking = session.asking();
        assert!(ran.made[asking.other().index()].classes.is_empty());
        let mut told = ran.made[asking.index()].classes.clone();
        told.sort_unstable();
        let mut data = made(&session, &network, asking);
        let want: Vec<(u32, u8)> = (0..7)
            .map(|sample| {
                let mut pixels = [0; 9];
                crate::data::Data::pixels(&mut data, sample, &mut pixels).unwrap();
                let best = (0..9).max_by_key(|&class| pixels[class]).unwrap();
                (sample, best as u8)
            })
            .collect();
        assert_eq!(told, want);
        costs_as_planned(&session, &ran);
    }
}

#[test]
fn what_an_assistant_cannot_help_with_is_refused() {
    let (input, layers) = networks().swap_remove(3);
    let sound = session(input, &layers);
    assert_eq!(
        crate::dealt::check::<u64>(&sound).err(),
        Some(SessionError::Protocol)
    );
    type Change = fn(&mut Session);
    let changes: [(Change, SessionError); 5] = [
        (|s| s.protocol = Protocol::DEALT, SessionError::Protocol),
        (|s| s.audit = 1, SessionError::NotInSecureNn("range audit")),
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
