//! Evaluations of the shared model on held-out samples while it is trained.

use serde::{Deserialize, Serialize};

use crate::Role;

use super::{ClassWeights, Session, Task};

/// The held-out samples on which a training evaluates the shared model, and when. Roles agree on it in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Number of held-out samples of P0 and of P1.
    pub samples: [u32; 2],
    /// Epochs from one evaluation to the next, at least 1. The end of the training has one too.
    pub every: u32,
    /// The training stops early once so many evaluations in a row have found no higher accuracy; 0 if it never does.
    pub patience: u32,
}

impl Validation {
    /// Whether the model is evaluated after an iteration: at the end of the training, and after every so many epochs.
    pub fn is_due(&self, session: &Session, iteration: u32) -> bool {
        let epochs = session.batch(iteration).epoch.saturating_add(1);
        let is_turn = epochs.is_multiple_of(self.every.max(1));
        (session.ends_epoch(iteration) && is_turn) || session.is_last(iteration)
    }

    /// Whether the parties agree after an iteration whether the training stops early.
    pub fn may_stop_after(&self, session: &Session, iteration: u32) -> bool {
        self.patience > 0 && !session.is_last(iteration) && self.is_due(session, iteration)
    }

    /// The parties with held-out samples, in the order in which they are evaluated.
    pub fn owners(&self) -> impl Iterator<Item = Role> + use<> {
        let samples = self.samples;
        Role::BOTH
            .into_iter()
            .filter(move |role| samples[role.index()] > 0)
    }

    /// The session that evaluates the model which `training` trains on the samples of `owner`.
    pub fn session(&self, training: &Session, owner: Role) -> Session {
        let mut samples = [0; 2];
        samples[owner.index()] = self.samples[owner.index()];
        training.evaluation(samples)
    }
}

impl Session {
    /// The session that evaluates the model which this one trains on so many samples of P0 and of P1, of which one is 0.
    pub fn evaluation(&self, samples: [u32; 2]) -> Session {
        let batch = self.batch.min(samples[0].max(samples[1])).max(1);
        Session {
            task: Task::Evaluate,
            samples,
            contributions: None,
            batch,
            micro_batch: self.micro_batch.min(batch),
            epochs: 1,
            limit: 0,
            training: Default::default(),
            class_weights: ClassWeights::NONE,
            shuffle_seed: 0,
            receiver: None,
            initial_model: None,
            ..self.clone()
        }
    }
}
