//! Audits of whole SecureNN sessions, against an observer that sees both parties' shares.

extern crate std;

use std::vec::Vec;

use super::{
    harness::RunResult,
    layout::{assistant_words, party_words},
    plan,
    session_tests::{FRACTION, PartyResult, brightest, check_costs, run_session, session},
};
use crate::{
    cost::Cost,
    gate::reuse::Used,
    model::{Layer, loss::Loss, triple_scheme::TripleScheme},
    session::{Protocol, Session, Task},
    tests::{audits::outside, networks},
};

type Ran = RunResult<PartyResult, Used>;

/// Checks what the audits of a session cost, by the same session without them: for each cost row the bytes of all roles
/// and the rounds, and what each role sends.
fn check_added_costs(session: &Session, ran: &Ran, unaudited: &Ran) {
    let network = crate::securenn::check(session).unwrap();
    for iteration in 0..session.iterations() {
        let at = iteration as usize;
        let len = session.batch(iteration).len;
        let (rows, planned) = match session.is_audited(iteration) {
            true => (
                plan::audit_cost_rows(session, &network, len),
                plan::audit(session, &network, len),
            ),
            false => (Default::default(), Cost::ZERO),
        };
        for row in 0..2 * network.stages.len() {
            for backward in [false, true] {
                let [with, without] = [ran, unaudited].map(|ran| {
                    let of = |party: usize| {
                        ran.outputs[party].traffic[at].cost_rows[row][usize::from(backward)]
                    };
                    let sent = |cost: Cost| cost.online_bytes + cost.dealer_bytes;
                    [sent(of(0)) + sent(of(1)), of(0).rounds, of(1).rounds]
                });
                let added: Vec<u64> = with.iter().zip(without).map(|(a, b)| a - b).collect();
                let want = rows
                    .get(row)
                    .map_or(Default::default(), |row| match backward {
                        true => row.backward,
                        false => row.forward,
                    });
                assert_eq!(added, [want.bytes, want.rounds, want.rounds], "{row}");
            }
        }
        for party in 0..2 {
            let [with, without] =
                [ran, unaudited].map(|ran| ran.outputs[party].traffic[at].total());
            let added = Cost {
                opened_values: with.opened_values - without.opened_values,
                online_bytes: with.online_bytes - without.online_bytes,
                dealer_bytes: with.dealer_bytes - without.dealer_bytes,
                rounds: with.rounds - without.rounds,
            };
            let dealer_bytes = planned.dealer_bytes * party as u64;
            let want = Cost {
                dealer_bytes,
                ..planned
            };
            assert_eq!(added, want, "{iteration} {party}");
        }
    }
}

/// Runs a session with and without audits, and checks that they agree with the observer, and what they cost. Returns
/// the values outside, forward and backward.
fn audited(session: &Session, model: &[Vec<u64>]) -> [u32; 2] {
    let plain = Session {
        audit: 0,
        ..session.clone()
    };
    let (ran, unaudited) = (run_session(session, model), run_session(&plain, model));
    let layers = &session.model.layers;
    check_costs(session, &ran);
    check_added_costs(session, &ran, &unaudited);
    let mut found = [0; 2];
    for (party, plain) in ran.outputs.iter().zip(&unaudited.outputs) {
        assert!(party.shares == plain.shares, "{layers:?}");
        assert_eq!(party.classes, plain.classes);
        assert!(plain.audits.iter().all(Option::is_none));
        // The audits take masks of their own.
        assert!(party.used.is_superset(&plain.used) && party.used.len() > plain.used.len());
    }
    assert!(ran.answer.is_superset(&unaudited.answer) && ran.answer.len() > unaudited.answer.len());
    for iteration in 0..session.iterations() {
        let at = iteration as usize;
        let [counts, other] = ran.outputs.each_ref().map(|party| &party.audits[at]);
        assert_eq!(counts, other);
        assert_eq!(counts.is_some(), session.is_audited(iteration));
        if let Some(counts) = counts {
            let seen = ran.outputs.each_ref().map(|party| &party.seen[at]);
            assert_eq!(counts, &outside(seen, counts.len()), "{layers:?}");
            for count in counts {
                found[0] += count[0];
                found[1] += count[1];
            }
        }
    }
    found
}

#[test]
fn audits_match_the_observer_and_change_no_bit_of_the_model() {
    for (index, (input, layers)) in networks().into_iter().enumerate() {
        let session = Session {
            protocol: Protocol::SecureNn {
                triples: [TripleScheme::Baseline, TripleScheme::Fused][index % 2],
                loss: [Loss::Softmax, Loss::Softmax, Loss::Normalised][index % 3],
            },
            micro_batch: [5, 2, 3][index % 3],
            audit: 3,
            limit: 4,
            ..session(input, &layers)
        };
        assert_eq!(audited(&session, &[]), [0, 0], "{layers:?}");
    }
}

#[test]
fn audits_count_values_outside_of_the_contract() {
    let mut found = [0; 2];
    for (index, (input, layers)) in networks().into_iter().enumerate() {
        let session = Session {
            learning_rate: u32::MAX,
            micro_batch: [5, 2][index % 2],
            audit: 1,
            limit: 6,
            ..session(input, &layers)
        };
        let [forward, backward] = audited(&session, &[]);
        found[0] += forward;
        found[1] += backward;
    }
    assert!(found.iter().all(|&count| count > 20), "{found:?}");
}

#[test]
fn inference_is_audited_forward() {
    let layers = [Layer::Dense { units: 9 }];
    // Pixels are at most 1, and the contract is |x| < 2^(62 - 2f).
    for (factor, is_outside) in [(1, false), (1 << (62 - 2 * FRACTION + 1), true)] {
        let model: Vec<u64> = brightest(9).iter().map(|&weight| weight * factor).collect();
        for samples in [[7, 0], [0, 7]] {
            let session = Session {
                task: Task::Infer,
                samples,
                epochs: 1,
                micro_batch: 2,
                audit: 2,
                ..session([1, 1, 9], &layers)
            };
            let [forward, backward] = audited(&session, core::slice::from_ref(&model));
            assert_eq!((forward > 0, backward), (is_outside, 0));
        }
    }
}

#[test]
fn only_sessions_with_audits_take_memory_for_them() {
    for (input, layers) in networks() {
        let plain = session(input, &layers);
        let network = crate::securenn::check(&plain).unwrap();
        let tasks = [(Task::Train, plain.samples, 2), (Task::Infer, [17, 0], 1)];
        for (task, samples, epochs) in tasks {
            let [without, with] = [0, 1000].map(|audit| Session {
                audit,
                task,
                samples,
                epochs,
                ..plain.clone()
            });
            assert!(party_words(&without, &network) < party_words(&with, &network));
            let words = [without, with].map(|session| assistant_words(&session, &network));
            assert_eq!(words[0], words[1]);
        }
    }
}
