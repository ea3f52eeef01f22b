//! Audits of the range contract, against an observer that sees both parties' shares.

use super::*;

/// For each cost row, forward and backward: the values outside of the contract, from the shares that both parties'
/// observers saw in an iteration.
pub(crate) fn outside(seen: [&Recorder; 2], cost_rows: usize) -> Vec<[u32; 2]> {
    let mut counts = vec![[0; 2]; cost_rows];
    let [first, second] = seen.map(|recorder| &recorder.seen);
    assert_eq!(first.len(), second.len());
    for ((cost_row, backward, bits, one), (.., other)) in first.iter().zip(second) {
        let limit = 1i128 << (bits - 2);
        let values = one.iter().zip(other).map(|(a, b)| a.plus(*b).low(*bits));
        let outside = values.filter(|&x| !(-limit..limit).contains(&signed(x, *bits)));
        counts[*cost_row][usize::from(*backward)] += outside.count() as u32;
    }
    counts
}

/// Runs a session with and without audits, and checks that they agree with the observer. Returns the values outside.
fn audited(session: &Session) -> u32 {
    let plain = Session {
        audit: 0,
        ..session.clone()
    };
    let (outcome, unaudited) = (
        run_in_its_ring(session, DEFAULT_RUN),
        run_in_its_ring(&plain, DEFAULT_RUN),
    );
    let layers = &session.model.layers;
    assert!(outcome.shares == unaudited.shares, "{layers:?}");
    assert!(unaudited.audited[0].iter().all(Option::is_none));
    let mut found = 0;
    for iteration in 0..session.iterations() {
        let at = iteration as usize;
        let [counts, other] = [0, 1].map(|party: usize| &outcome.audited[party][at]);
        assert_eq!(counts, other);
        assert_eq!(counts.is_some(), session.is_audited(iteration));
        if let Some(counts) = counts {
            let seen = [0, 1].map(|party: usize| &outcome.seen[party][at]);
            assert_eq!(counts, &outside(seen, counts.len()), "{layers:?}");
            found += counts.iter().flatten().sum::<u32>();
        }
    }
    found
}

#[test]
fn audits_match_the_observer_and_change_no_bit_of_the_model() {
    for (input, layers) in all_networks() {
        let mut sessions = polynomial_sessions(input, &layers);
        sessions.push(session::<u32>(input, &layers, 5));
        sessions.push(session::<u64>(input, &layers, 5));
        for (mut session, micro_batch) in sessions.into_iter().zip([5, 2, 1].into_iter().cycle()) {
            session.micro_batch = micro_batch;
            session.audit = 3;
            assert_eq!(
                audited(&session),
                0,
                "{layers:?} {}",
                session.protocol.triples()
            );
        }
    }
}

#[test]
fn audits_count_values_outside_of_the_contract() {
    let (mut forward, mut backward) = (0, 0);
    for (input, layers) in all_networks() {
        for micro_batch in [5, 2] {
            let mut session = session::<u32>(input, &layers, 5);
            session.learning_rate = 200 << 24;
            session.micro_batch = micro_batch;
            session.audit = 1;
            assert!(audited(&session) > 0, "{layers:?}");
        }
    }
    // Both directions are counted.
    let (input, layers) = networks().remove(0);
    let mut session = session::<u32>(input, &layers, 5);
    session.learning_rate = 200 << 24;
    session.audit = 1;
    for counts in run::<u32>(&session, DEFAULT_RUN).audited[0]
        .iter()
        .flatten()
    {
        forward += counts.iter().map(|count| count[0]).sum::<u32>();
        backward += counts.iter().map(|count| count[1]).sum::<u32>();
    }
    assert!(forward > 0 && backward > 0, "{forward} {backward}");
}

#[test]
fn sessions_without_audits_take_no_memory_for_them() {
    for (input, layers) in all_networks() {
        let mut session = session::<u32>(input, &layers, 5);
        let network = crate::dealt::check::<u32>(&session).unwrap();
        let words = |session: &Session| {
            let plan = Plan::new(session, &network);
            Role::BOTH.map(|role| plan.arena_words::<u32>(role))
        };
        let without = words(&session);
        session.audit = 1000;
        let with = words(&session);
        assert!(without[0] < with[0] && without[1] < with[1]);
        session.task = Task::Infer;
        let infers = words(&session);
        session.audit = 0;
        let without = words(&session);
        assert!(without[0] < infers[0] && without[1] < infers[1]);
    }
}
