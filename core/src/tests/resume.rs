//! Sessions that go on from a state, under new keys.

use std::collections::HashSet;

use super::*;
use crate::{cost::Cost, dealt::stream_ids::DATA, prg::Address};

/// Other session keys than those of [`DEFAULT_RUN`]. Under some keys a ReLU of these small networks falls to the other
/// side of 0, and the run goes another way. Under these none does.
const NEW_KEYS: RunOptions = RunOptions {
    keys: 12,
    ..DEFAULT_RUN
};

/// Sessions of three epochs of four iterations: every triple scheme with and without wide master weights and momentum,
/// exact ReLU and max pooling, micro-batches, audits.
fn sessions() -> Vec<Session> {
    let mut sessions = Vec::new();
    for (input, layers) in all_networks() {
        sessions.push(session::<u32>(input, &layers, 5));
        sessions.push(session::<u64>(input, &layers, 5));
        sessions.extend(polynomial_sessions(input, &layers));
    }
    for (index, session) in sessions.iter_mut().enumerate() {
        if index % 3 == 0 {
            *session = with_all_options(session.clone());
        }
        (session.epochs, session.micro_batch, session.audit) = (3, 3, 5);
    }
    sessions
}

/// Runs the first iterations of a session.
fn begin(session: &Session, options: RunOptions, iterations: u32) -> Outcome {
    let part = Part {
        iterations: 0..iterations,
        states: None,
    };
    run_part_in_its_ring(session, options, part)
}

/// Runs iterations of a session from the end of another run on.
fn resume(
    session: &Session,
    options: RunOptions,
    before: &Outcome,
    iterations: Range<u32>,
) -> Outcome {
    let part = Part {
        iterations,
        states: Some(&before.states),
    };
    run_part_in_its_ring(session, options, part)
}

#[test]
fn a_state_is_all_that_a_run_needs_to_go_on() {
    // Iterations within an epoch, at its start, and at the end.
    let starts = [1, 4, 6, 11, 8, 12];
    for (index, session) in sessions().iter().enumerate() {
        let (start, last) = (starts[index % starts.len()], session.iterations());
        let straight = run_in_its_ring(session, DEFAULT_RUN);
        let before = begin(session, DEFAULT_RUN, start);
        // Under the same keys even the shares are those of the straight run, so the state lacks nothing. Only a test
        // may do so: new keys are what keeps masks from serving twice.
        let same = resume(session, DEFAULT_RUN, &before, start..last);
        assert!(same.shares == straight.shares, "{start} {session:?}");
        assert!(same.states == straight.states);
        for (same, straight) in same.losses.iter().zip(&straight.losses) {
            assert_eq!(same[..], straight[start as usize..]);
        }
        let audited = |outcome: &Outcome| outcome.audited[0][outcome.audited[0].len() - 1].clone();
        if start < last {
            assert_eq!(audited(&same), audited(&straight));
        }
        // Under new keys the rounding differs, because it depends on the shares.
        let resumed = resume(session, NEW_KEYS, &before, start..last);
        assert_eq!(resumed.shares == straight.shares, start == last);
        let pairs = resumed.parameters(session.format).into_iter();
        for (a, b) in pairs.zip(straight.parameters(session.format)) {
            assert!((a - b).abs() < 0.03, "{a} {b} {session:?}");
        }
        check_traffic(session, &resumed, start);
    }
}

/// Checks a resumed run's bytes against the plan.
fn check_traffic(session: &Session, resumed: &Outcome, start: u32) {
    fn check<R: Ring>(session: &Session, resumed: &Outcome, start: u32) {
        let network = crate::dealt::check::<R>(session).unwrap();
        let plan = Plan::new(session, &network);
        for role in Role::BOTH {
            let mut without_data = 0;
            let mut sum = Cost::ZERO;
            for (iteration, traffic) in (start..).zip(&resumed.traffic[role.index()]) {
                let batch = session.batch(iteration);
                let mut samples = vec![0; batch.len as usize];
                session.batch_samples(batch, 0, &mut samples);
                samples.retain(|&sample| session.owner(sample) == role);
                let mut want = plan.iteration::<R>(batch.len);
                if session.is_audited(iteration) {
                    want += plan.audit::<R>(batch.len);
                }
                want += plan.loss_of(iteration);
                without_data += want.online_bytes;
                if plan.opens_samples(start, iteration) {
                    want += plan.data::<R>(batch.len, samples.len() as u32);
                }
                if role == Role::P0 {
                    want.dealer_bytes = 0;
                }
                assert_eq!(traffic.total(), want, "{role} {start} {iteration}");
                sum += want;
            }
            let data = plan.run_data_bytes(role, start);
            assert_eq!(sum.online_bytes, without_data + data);
            if role == Role::P1 {
                assert_eq!(sum.dealer_bytes, plan.run_corrections::<R>(start));
            }
        }
    }
    match session.format.ring {
        32 => check::<u32>(session, resumed, start),
        _ => check::<u64>(session, resumed, start),
    }
}

#[test]
fn samples_are_opened_to_the_end_of_the_first_whole_epoch() {
    let (input, layers) = networks().swap_remove(3);
    let session = Session {
        epochs: 4,
        ..session::<u32>(input, &layers, 5)
    };
    let network = crate::dealt::check::<u32>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let opens = |start: u32| -> Vec<u32> {
        let run = start..session.iterations();
        run.filter(|&iteration| plan.opens_samples(start, iteration))
            .collect()
    };
    assert_eq!(opens(0), [0, 1, 2, 3]);
    assert_eq!(opens(4), [4, 5, 6, 7]);
    assert_eq!(opens(5), [5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(opens(7), [7, 8, 9, 10, 11]);
    assert_eq!(opens(8), [8, 9, 10, 11]);
    assert_eq!(opens(13), [13, 14, 15]);
    let seed = Session {
        protocol: Protocol::Dealt {
            triples: TripleScheme::Seed,
        },
        ..session.clone()
    };
    assert!(!Plan::new(&seed, &network).opens_samples(5, 5));
    // Each party opens all its samples in a whole epoch.
    for (role, samples) in Role::BOTH.into_iter().zip(session.samples) {
        assert_eq!(plan.run_data_bytes(role, 4), plan.data_bytes(samples));
        let more = plan.run_data_bytes(role, 6) - plan.data_bytes(samples);
        assert!(0 < more && more < plan.data_bytes(samples));
    }
}

/// Words of P0's streams, each with the key that it belongs to.
type KeyedWords = HashSet<(u64, Address, u64)>;

/// The words that a run used for masks and dealt shares.
fn words(outcome: &Outcome, keys: u64) -> KeyedWords {
    let used = outcome.used.iter().flatten();
    used.map(|&(address, index)| (keys, address, index))
        .collect()
}

#[test]
fn no_word_of_a_stream_serves_two_values_across_a_resume() {
    for mut session in sessions().into_iter().step_by(11) {
        session.audit = 1;
        let attempt = |keys| RunOptions {
            keys,
            records_streams: true,
            ..DEFAULT_RUN
        };
        // The first attempt loses its link after iteration 6; its last state is from before iteration 5. The second
        // one stops too, before iteration 6.
        let saved = begin(&session, attempt(1), 5);
        let lost = resume(&session, attempt(1), &saved, 5..7);
        let second = resume(&session, attempt(2), &saved, 5..6);
        let rest = 6..session.iterations();
        let third = resume(&session, attempt(3), &second, rest.clone());
        // Within an attempt, the recorder has checked each word.
        let sets = [
            words(&saved, 1).union(&words(&lost, 1)).copied().collect(),
            words(&second, 2),
            words(&third, 3),
        ];
        let all: KeyedWords = sets.iter().flatten().copied().collect();
        assert_eq!(all.len(), sets.iter().map(HashSet::len).sum::<usize>());

        // With the first attempt's keys, iteration 6 would mask other values with the same words.
        let to_six = resume(&session, attempt(1), &saved, 5..6);
        let [lost, again] =
            [&to_six, &second].map(|before| resume(&session, attempt(1), before, 6..7));
        assert!(words(&again, 1) == words(&lost, 1));
        assert!(words(&again, 1).is_subset(&sets[0]));
        assert_eq!(again.sent.len(), lost.sent.len());
        assert!(again.sent != lost.sent);
    }
}

#[test]
fn no_word_serves_two_values_when_a_run_takes_the_iterations_that_are_left() {
    // As with dealt files: the keys stay, four spare iterations follow the twelve of the session, and each attempt takes
    // the iterations after the last one that was begun.
    for mut session in sessions().into_iter().step_by(11) {
        (session.audit, session.epochs) = (1, 4);
        let options = RunOptions {
            records_streams: true,
            ..DEFAULT_RUN
        };
        let first = begin(&session, options, 5);
        let lost = resume(&session, options, &first, 5..7);
        // The state before iteration 5 goes on at 7, that before iteration 7 at 10.
        let second = resume(&session, options, &first, 7..9);
        let lost_again = resume(&session, options, &second, 9..10);
        let third = resume(&session, options, &second, 10..15);
        let parts = [&first, &lost, &second, &lost_again, &third];
        let mut kept = Kept::new();
        for role in [0, 1] {
            let mut all = Used::new();
            for part in parts {
                for &(address, index) in &part.used[role] {
                    let of_sample = address.gate == DATA && session.keeps_data();
                    assert!(
                        all.insert((address, index)) || of_sample,
                        "word {index} of {address:?} serves twice"
                    );
                }
            }
        }
        for (word, &value) in parts.into_iter().flat_map(|part| &part.kept) {
            assert_eq!(*kept.entry(*word).or_insert(value), value, "{word:?}");
        }
        // Lost iterations that were taken again would mask other values with the same words.
        let again = resume(&session, options, &second, 7..8);
        assert!(
            again.used[0]
                .iter()
                .any(|word| second.used[0].contains(word) && word.0.gate != DATA)
        );
    }
}

#[test]
fn a_state_is_little_endian_words_of_shares_and_velocities() {
    let (input, layers) = networks().swap_remove(3);
    let session = session::<u32>(input, &layers, 5);
    let network = crate::dealt::check::<u32>(&session).unwrap();
    let plan = Plan::new(&session, &network);
    let mut memory = vec![0; plan.arena_words::<u32>(Role::P1)];
    let mut opened = vec![0; plan.opened_data_words(Role::P1)];
    let secret = key(4, Role::P1);
    let mut party = Trainer::<u32>::new(
        &session,
        &network,
        Role::P1,
        &secret,
        &mut memory,
        &mut opened,
    )
    .unwrap();
    let wide = |party: &Trainer<'_, u32>, stage| -> Vec<u64> {
        party.parameters(stage).map(Share::reveal).collect()
    };
    // Master weights have 32 + 24 bits, velocities 32.
    let counts = [50, 30, 24];
    let initial: Vec<u8> = (0..3)
        .flat_map(|stage| {
            let shares = wide(&party, stage);
            assert_eq!(shares.len(), counts[stage]);
            let words = shares.iter().map(|word| word.to_le_bytes()[..7].to_vec());
            let words: Vec<u8> = words.flatten().collect();
            [words, vec![0; 4 * counts[stage]]].concat()
        })
        .collect();
    assert_eq!(party.state_len(), 11 * counts.iter().sum::<usize>());
    assert_eq!(plan.state_len(), party.state_len());
    let mut saved = vec![0; party.state_len()];
    party.save_state(&mut saved).unwrap();
    assert!(saved == initial);

    let state: Vec<u8> = (0..saved.len())
        .map(|at| (at * 7 + at / 256) as u8)
        .collect();
    party.restore(3, &state).unwrap();
    let mut at = 0;
    for (stage, count) in counts.into_iter().enumerate() {
        let mut word = [0; 8];
        for share in wide(&party, stage) {
            word[..7].copy_from_slice(&state[at..at + 7]);
            assert_eq!(share, u64::from_le_bytes(word));
            at += 7;
        }
        at += 4 * count;
    }
    party.save_state(&mut saved).unwrap();
    assert!(saved == state);

    let needed = state.len();
    for given in [needed - 1, needed + 1] {
        let mut other = vec![1; given];
        let wrong = RunError::State { needed, given };
        assert_eq!(party.save_state(&mut other), Err(wrong.clone()));
        assert_eq!(party.restore(0, &other), Err(wrong));
    }
    let late = RunError::Iteration {
        expected: 8,
        given: 9,
    };
    assert_eq!(party.restore(9, &state), Err(late));
    party.save_state(&mut saved).unwrap();
    assert!(saved == state);
    // A state that ends early leaves no state that could be used.
    let mut calls = 0;
    let cut = party.read_state(3, |bytes| {
        bytes.fill(0);
        calls += 1;
        if calls < 60 {
            Ok(())
        } else {
            Err(RunError::Task)
        }
    });
    assert_eq!(cut, Err(RunError::Task));
    assert_eq!(party.save_state(&mut saved), Err(RunError::Spent));
    party.restore(3, &state).unwrap();
    party.save_state(&mut saved).unwrap();
    assert!(saved == state);
}
