//! SecureNN sessions that go on from a state, under new keys.

extern crate std;

use std::{ops::Range, vec, vec::Vec};

use super::{
    assistant::Assistant,
    gates::Computing,
    harness::run,
    layout::{assistant_words, party_words},
    party::Trainer,
    session_tests::{FRACTION, samples_of, session},
};
use crate::{
    gate::harness::key,
    model::{loss::Loss, triple_scheme::TripleScheme},
    session::{Protocol, RunError, Session},
    share::{Share, observer::NoObserver},
    tests::{DEFAULT_RUN, networks},
};

/// What each party has after a part of a session: its state, and its shares of the parameters.
type Ended = [(Vec<u8>, Vec<u64>); 2];

/// The counts of a party's audits in a part of a session, iteration by iteration.
type Counts = Vec<Option<Vec<[u32; 2]>>>;

/// Runs iterations of a session, from the end of another run on if there is one.
fn run_part(
    session: &Session,
    seed: u64,
    iterations: Range<u32>,
    before: Option<&Ended>,
) -> (Ended, [Counts; 2]) {
    let network = crate::securenn::check(session).unwrap();
    let start = iterations.start;
    let ran = run(
        seed,
        |cx| {
            let role = cx.role();
            let mut memory = vec![0; party_words(session, &network)];
            let mut data = samples_of(session, &network, role);
            let secret = key(DEFAULT_RUN.weights, role);
            let mut party = Trainer::new(session, &network, role, &secret, &mut memory).unwrap();
            if let Some(before) = before {
                party.restore(start, &before[role.index()].0).unwrap();
            }
            assert_eq!(party.audit_counts(), None);
            let mut counts = Counts::new();
            for iteration in iterations.clone() {
                party
                    .iterate(cx, iteration, &mut data, &mut NoObserver)
                    .unwrap();
                counts.push(party.audit_counts().map(<[_]>::to_vec));
            }
            let mut state = vec![0; party.state_len()];
            party.save_state(&mut state).unwrap();
            let stages = 0..network.stages.len();
            let shares = stages.flat_map(|stage| party.parameters(stage).map(Share::reveal));
            Ok(((state, shares.collect()), counts))
        },
        |cx| {
            let mut memory = vec![0; assistant_words(session, &network)];
            let mut assistant = Assistant::new(session, &network, &mut memory).unwrap();
            if start > 0 {
                assistant.start_at(start).unwrap();
            }
            for iteration in iterations.clone() {
                assistant.iterate(cx, iteration).unwrap();
            }
            Ok(())
        },
    );
    let [(first, counts), (second, others)] = ran.outputs;
    ([first, second], [counts, others])
}

fn parameters([first, second]: &Ended) -> Vec<f64> {
    let pairs = first.1.iter().zip(&second.1);
    pairs
        .map(|(a, b)| a.wrapping_add(*b) as i64 as f64 / f64::from(1u32 << (2 * FRACTION)))
        .collect()
}

#[test]
fn a_state_is_all_that_a_run_needs_to_go_on() {
    for (index, (input, layers)) in networks().into_iter().enumerate() {
        let session = Session {
            protocol: Protocol::SecureNn {
                triples: [TripleScheme::Baseline, TripleScheme::Fused][index % 2],
                loss: Loss::Softmax,
            },
            momentum: if index == 4 { 0 } else { 7 << 21 },
            micro_batch: 3,
            audit: if index % 3 == 1 { 0 } else { 3 },
            ..session(input, &layers)
        };
        let (start, last) = ([1, 4, 6, 8][index % 4], session.iterations());
        let (straight, counts) = run_part(&session, 17, 0..last, None);
        let (before, _) = run_part(&session, 17, 0..start, None);
        // Under the same keys even the shares are those of the straight run, so the state lacks nothing. Only a test
        // may do so.
        let (same, again) = run_part(&session, 17, start..last, Some(&before));
        assert!(same == straight, "{start} {layers:?}");
        for (again, counts) in again.iter().zip(&counts) {
            assert_eq!(again[..], counts[start as usize..]);
        }
        // Under new keys the rounding differs, because it depends on the shares.
        let (resumed, again) = run_part(&session, 18, start..last, Some(&before));
        assert_eq!(again[0], again[1]);
        for (iteration, counts) in (start..).zip(&again[0]) {
            assert_eq!(counts.is_some(), session.is_audited(iteration));
            assert!(counts.iter().flatten().flatten().all(|&count| count == 0));
        }
        assert_eq!(resumed == straight, start == last);
        for (a, b) in parameters(&resumed).iter().zip(parameters(&straight)) {
            assert!((a - b).abs() < 0.03, "{a} {b} {layers:?}");
        }
    }
}

#[test]
fn a_state_is_little_endian_words_of_shares_and_velocities() {
    let (input, layers) = networks().swap_remove(3);
    for (momentum, words) in [(0, 1), (7 << 21, 2)] {
        let session = Session {
            momentum,
            ..session(input, &layers)
        };
        let network = crate::securenn::check(&session).unwrap();
        let mut memory = vec![0; party_words(&session, &network)];
        let role = crate::Role::P1;
        let mut party = Trainer::new(&session, &network, role, &key(4, role), &mut memory).unwrap();
        // Stages of 50, 30 and 24 parameters.
        let needed = 8 * words * (50 + 30 + 24);
        assert_eq!(party.state_len(), needed);
        let state: Vec<u8> = (0..needed).map(|at| (at * 7 + at / 256) as u8).collect();
        party.restore(3, &state).unwrap();
        let mut at = 0;
        for (stage, count) in [50, 30, 24].into_iter().enumerate() {
            let shares: Vec<u64> = party.parameters(stage).map(Share::reveal).collect();
            let (bytes, _) = state[at..][..8 * count].as_chunks();
            assert!(
                shares
                    .iter()
                    .map(|share| share.to_le_bytes())
                    .eq(bytes.iter().copied())
            );
            at += 8 * words * count;
        }
        let mut saved = vec![0; needed];
        party.save_state(&mut saved).unwrap();
        assert!(saved == state);
        for given in [needed - 1, needed + 1] {
            let mut other = vec![1; given];
            let wrong = RunError::State { needed, given };
            assert_eq!(party.save_state(&mut other), Err(wrong.clone()));
            assert_eq!(party.restore(0, &other), Err(wrong));
        }
        party.save_state(&mut saved).unwrap();
        assert!(saved == state);
        let (expected, given) = (8, 9);
        let late = RunError::Iteration { expected, given };
        assert_eq!(party.restore(given, &state), Err(late));
    }
}
