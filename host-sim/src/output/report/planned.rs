//! What the plan says of the iterations of a run.

use ringlet_core::{
    Role,
    cost::{Cost, Traffic},
    dealt::Plan,
    network::Network,
    num::Ring,
    securenn::plan as securenn,
    session::{Protocol, Session, Task},
};

use crate::{
    error::Failure,
    run::dispatch::{InRing, in_ring},
};

/// An iteration of one party.
#[derive(Clone, Copy)]
pub struct Step {
    /// The party.
    pub role: Role,
    /// The iteration with which its run began.
    pub start: u32,
    /// The iteration, from 0.
    pub iteration: u32,
}

/// What the plan says of an iteration of one party, or at P0 of all three roles under SecureNN.
pub fn planned(step: Step, (session, network): (&Session, &Network)) -> Result<Traffic, Failure> {
    match session.protocol {
        Protocol::Dealt { .. } => in_ring(session, Planned(step, session, network)),
        Protocol::SecureNn { .. } if step.role == Role::P0 => Ok(of_all(step, session, network)),
        Protocol::SecureNn { .. } => Ok(Traffic::default()),
    }
}

struct Planned<'a>(Step, &'a Session, &'a Network);

impl InRing for Planned<'_> {
    type Output = Traffic;

    fn run<R: Ring>(self) -> Result<Traffic, Failure> {
        let Planned(step, session, network) = self;
        let (role, plan) = (step.role, Plan::new(session, network));
        let batch = session.batch(step.iteration);
        let mut rows = match session.task {
            Task::Train => plan.cost_rows::<R>(batch.len),
            Task::Infer | Task::Evaluate => plan.inference::<R>(role, batch.len),
        };
        match session.task {
            Task::Train if plan.opens_samples(step.start, step.iteration) => {
                let mut samples = vec![0; batch.len as usize];
                session.batch_samples(batch, 0, &mut samples);
                let own = samples
                    .iter()
                    .filter(|&&sample| session.owner(sample) == role);
                rows[0].forward += plan.data::<R>(batch.len, own.count() as u32);
            }
            Task::Train => {}
            Task::Infer | Task::Evaluate if step.iteration == 0 => {
                // Each stage has two rows, of which the first is that of its map.
                for stage in 0..network.stages.len() {
                    rows[2 * stage].forward += plan.stage_opening(stage, role);
                }
            }
            Task::Infer | Task::Evaluate => {}
        }
        if session.is_audited(step.iteration) {
            for (row, audit) in rows.iter_mut().zip(plan.audit_cost_rows::<R>(batch.len)) {
                row.forward += audit.forward;
                row.backward += audit.backward;
            }
        }
        // The loss of an epoch counts for the softmax, which comes last.
        if let Some(softmax) = rows.last_mut() {
            softmax.forward += plan.loss_of(step.iteration);
        }
        let mut traffic = Traffic::default();
        for (sums, row) in traffic.cost_rows.iter_mut().zip(&rows) {
            // Only P1 gets corrections.
            *sums = [row.forward, row.backward].map(|cost| Cost {
                dealer_bytes: if role == Role::P1 {
                    cost.dealer_bytes
                } else {
                    0
                },
                ..cost
            });
        }
        Ok(traffic)
    }
}

/// What the plan says that all three roles of SecureNN send in an iteration.
fn of_all(step: Step, session: &Session, network: &Network) -> Traffic {
    let len = session.batch(step.iteration).len;
    let mut rows = securenn::cost_rows(session, network, len);
    if session.is_audited(step.iteration) {
        let audits = securenn::audit_cost_rows(session, network, len);
        for (row, audit) in rows.iter_mut().zip(audits) {
            row.forward = row.forward + audit.forward;
            row.backward = row.backward + audit.backward;
        }
    }
    let mut traffic = Traffic::default();
    for (sums, row) in traffic.cost_rows.iter_mut().zip(&rows) {
        *sums = [row.forward, row.backward].map(|cost| Cost {
            online_bytes: cost.bytes,
            ..Cost::ZERO
        });
    }
    traffic
}
