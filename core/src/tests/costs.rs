//! A session's traffic against its plan.

use super::*;
use crate::cost::Cost;

/// Checks each cost row of each iteration.
pub(super) fn check<R: Ring>(session: &Session) {
    let network = crate::dealt::check::<R>(session).unwrap();
    let plan = Plan::new(session, &network);
    let outcome = run::<R>(session, DEFAULT_RUN);
    for iteration in 0..session.iterations() {
        let batch = session.batch(iteration);
        let mut samples = vec![0; batch.len as usize];
        session.batch_samples(batch, 0, &mut samples);
        for role in Role::BOTH {
            let own = samples
                .iter()
                .filter(|&&s| session.owner(s) == role)
                .count();
            let mut want = plan.cost_rows::<R>(batch.len);
            if batch.epoch == 0 {
                want[0].forward += plan.data::<R>(batch.len, own as u32);
            }
            if let Some(softmax) = want.last_mut() {
                softmax.forward += plan.loss_of(iteration);
            }
            if session.is_audited(iteration) {
                let audit = plan.audit_cost_rows::<R>(batch.len);
                let sum = audit
                    .iter()
                    .map(|cost_row| cost_row.forward + cost_row.backward);
                assert_eq!(sum.sum::<Cost>(), plan.audit::<R>(batch.len));
                for (cost_row, audit) in want.iter_mut().zip(audit) {
                    cost_row.forward += audit.forward;
                    cost_row.backward += audit.backward;
                }
            }
            let traffic = &outcome.traffic[role.index()][iteration as usize];
            for (cost_row, measured) in want.iter().zip(&traffic.cost_rows) {
                for (want, measured) in [cost_row.forward, cost_row.backward].iter().zip(measured) {
                    let received = if role == Role::P1 {
                        want.dealer_bytes
                    } else {
                        0
                    };
                    let want = Cost {
                        dealer_bytes: received,
                        ..*want
                    };
                    assert_eq!(*measured, want, "{} {role} {iteration}", cost_row.name);
                }
            }
        }
    }
}

#[test]
fn traffic_matches_the_plan() {
    for (input, layers) in all_networks() {
        for micro_batch in [5, 2, 1] {
            let session = match micro_batch {
                5 => session::<u32>(input, &layers, 5),
                _ => with_all_options(session::<u32>(input, &layers, 5)),
            };
            check::<u32>(&Session {
                micro_batch,
                audit: 2,
                ..session
            });
        }
        let session = session::<u64>(input, &layers, 5);
        check::<u64>(&Session {
            micro_batch: 3,
            audit: 3,
            ..session
        });
        for (session, micro_batch) in polynomial_sessions(input, &layers)
            .into_iter()
            .zip([5, 2].into_iter().cycle())
        {
            let session = Session {
                micro_batch,
                audit: 3,
                ..session
            };
            match session.format.ring {
                32 => check::<u32>(&session),
                _ => check::<u64>(&session),
            }
        }
    }
}
