//! What a party sends to the other one in a whole run: bytes and messages, from which the bytes of a secure link follow.

use core::ops::{Add, AddAssign};

use crate::{Role, cost::Cost, dealt::micro_batch::MicroBatch, num::ring::Ring, session::Task};

use super::{GateCost, Plan};

/// What one end of a link sends after its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes.
    pub bytes: u64,
    /// Messages: what is written between two flushes.
    pub messages: u64,
}

impl Add for Sent {
    type Output = Sent;

    fn add(self, other: Sent) -> Sent {
        Sent {
            bytes: self.bytes + other.bytes,
            messages: self.messages + other.messages,
        }
    }
}

impl AddAssign for Sent {
    fn add_assign(&mut self, other: Sent) {
        *self = *self + other;
    }
}

/// What a party sends in a step of this cost: a message in each round, if it sends anything.
fn sent(cost: Cost) -> Sent {
    Sent {
        bytes: cost.online_bytes,
        messages: match cost.online_bytes {
            0 => 0,
            _ => cost.rounds,
        },
    }
}

impl Plan<'_> {
    /// What `role` sends to its peer in a run that begins at iteration `start`, over a link that takes whole messages
    /// ahead, as between hosts.
    pub fn sent_to_peer<R: Ring>(&self, role: Role, start: u32) -> Sent {
        match self.session.task {
            Task::Train => self.sent_in_training::<R>(role, start),
            Task::Infer | Task::Evaluate => self.sent_in_inference::<R>(role, start),
        }
    }

    /// What the dealer sends to P1 after the key: the corrections of each iteration are a message.
    pub fn sent_to_p1<R: Ring>(&self, start: u32) -> Sent {
        let session = self.session;
        let iterations = session.iterations().saturating_sub(start);
        Sent {
            bytes: match session.task {
                Task::Train => self.run_corrections::<R>(start),
                Task::Infer | Task::Evaluate => (start..session.iterations())
                    .map(|iteration| {
                        let len = session.batch(iteration).len;
                        let rows = self.inference::<R>(Role::P1, len);
                        let batch = rows.iter().map(|row| row.forward.dealer_bytes).sum::<u64>();
                        batch + self.audit_of::<R>(iteration, len).dealer_bytes
                    })
                    .sum(),
            },
            messages: u64::from(iterations),
        }
    }

    fn sent_in_training<R: Ring>(&self, role: Role, start: u32) -> Sent {
        let session = self.session;
        let mut all = Sent::default();
        for iteration in start..session.iterations() {
            let batch = session.batch(iteration);
            all += sent(self.iteration::<R>(batch.len));
            all += sent(self.audit_of::<R>(iteration, batch.len));
            all += sent(self.loss_of(iteration));
            if !session.keeps_data() || !self.opens_samples(start, iteration) {
                continue;
            }
            let shuffle = session.shuffle();
            let samples = (batch.first..batch.first + batch.len)
                .map(|position| shuffle.sample(batch.epoch, position));
            let of_p0 = samples.filter(|&sample| session.owner(sample) == Role::P0);
            let of_p0 = of_p0.count() as u32;
            // P0's samples come first in a batch.
            for micro in MicroBatch::all(batch, session.micro_batch) {
                let rows = micro.rows as u32;
                let of_p0 = of_p0.saturating_sub(micro.first).min(rows);
                let own = match role {
                    Role::P0 => of_p0,
                    Role::P1 => rows - of_p0,
                };
                // The first micro-batch is opened with the weights, which both parties send.
                all += Sent {
                    bytes: self.data_bytes(own),
                    messages: u64::from(own > 0 && micro.first > 0),
                };
            }
        }
        if session.reveals_to() == Some(role.other()) {
            let bytes = u64::from(session.format.wide() / 8);
            all += Sent {
                bytes: self.network.parameters() as u64 * bytes,
                messages: 1,
            };
        }
        all
    }

    fn sent_in_inference<R: Ring>(&self, role: Role, start: u32) -> Sent {
        let session = self.session;
        let mut all = Sent::default();
        for iteration in start..session.iterations() {
            let batch = session.batch(iteration);
            all += sent(self.audit_of::<R>(iteration, batch.len));
            for micro in MicroBatch::all(batch, session.micro_batch) {
                // The model is opened with the first samples.
                let model = match (iteration, micro.first) {
                    (0, 0) => self.model_opening(role),
                    _ => Cost::ZERO,
                };
                let mut model = Some(model);
                self.inference_gates::<R>(role, micro.rows as u32, |GateCost { cost, .. }| {
                    all += sent(cost + model.take().unwrap_or_default());
                });
            }
        }
        all
    }
}
