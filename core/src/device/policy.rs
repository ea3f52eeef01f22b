//! What a device agrees to, whatever its host asks for.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    model::Model,
    net::secure::Prologue,
    session::{Session, Task},
    share::Role,
};

/// The most models of a policy.
pub const MAX_MODELS: usize = 4;

/// Hash of a model's description, its name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId(pub [u8; 32]);

impl ModelId {
    /// The hash of this model.
    #[inline(never)]
    pub fn of(model: &Model) -> Self {
        let mut hash = Prologue::new("ringlet model");
        hash.add_message(model);
        ModelId(hash.hash())
    }
}

/// What a device agrees to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether a model may be revealed to P0 and to P1.
    pub reveal_to: [bool; 2],
    /// The fewest samples of an iteration, the last of an epoch included. The model after one iteration tells the sum of
    /// that many samples' gradients.
    pub least_batch: u32,
    /// The same in sessions with audits, which tell how many values of a batch left their range.
    pub least_audited_batch: u32,
    /// The most sessions, counted from the first that was begun with this secret; 0 for no limit.
    pub most_sessions: u32,
    /// The models that may be trained or classify; any if there are none.
    pub models: Vec<ModelId, MAX_MODELS>,
}

impl Default for Policy {
    /// Reveals to nobody, takes batches of 8 and more, audits with 64 and more, any number of sessions, and any model.
    fn default() -> Self {
        Policy {
            reveal_to: [false; 2],
            least_batch: 8,
            least_audited_batch: 64,
            most_sessions: 0,
            models: Vec::new(),
        }
    }
}

/// How a session breaks a device's policy.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Breach {
    /// The model may not be revealed to this party.
    Receiver(Role),
    /// Iterations have too few samples.
    Batch {
        /// The fewest of an iteration of the session.
        asked: u32,
        /// The fewest that the policy allows.
        least: u32,
    },
    /// Iterations of a session with audits have too few samples.
    AuditedBatch {
        /// The fewest of an iteration of the session.
        asked: u32,
        /// The fewest that the policy allows.
        least: u32,
    },
    /// The device has begun as many sessions as the policy allows: this many.
    Sessions(u32),
    /// The policy limits the sessions, and the device cannot count them.
    Uncounted,
    /// The model is none of those that the policy names.
    Model,
    /// The other party is none of those that the policy names for its role.
    Peer,
}

impl core::fmt::Display for Breach {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Breach::Receiver(role) => write!(f, "no model may be revealed to {role}"),
            Breach::Batch { asked, least } => write!(
                f,
                "a batch has {least} samples at least, and an iteration would have {asked}"
            ),
            Breach::AuditedBatch { asked, least } => write!(
                f,
                "a batch has {least} samples at least in a session with audits, and an iteration would have {asked}"
            ),
            Breach::Sessions(most) => {
                write!(f, "there are {most} sessions at most, which it has begun")
            }
            Breach::Uncounted => f.write_str(
                "the number of sessions is limited, and the device has no counter of them",
            ),
            Breach::Model => f.write_str("it does not name this model"),
            Breach::Peer => f.write_str("it does not name this other party"),
        }
    }
}

impl Policy {
    /// Checks a session whose sizes are sound. `begun` is the number of sessions that the device has begun with its
    /// secret, this one included, if it counts them.
    pub fn check(&self, session: &Session, begun: Option<u64>) -> Result<(), Breach> {
        if let Some(receiver) = session.receiver
            && !self.reveal_to[receiver.index()]
        {
            return Err(Breach::Receiver(receiver));
        }
        let asked = smallest_batch(session);
        // A class tells nothing of a gradient.
        if session.task == Task::Train && asked < self.least_batch {
            let least = self.least_batch;
            return Err(Breach::Batch { asked, least });
        }
        if session.has_audits() && asked < self.least_audited_batch {
            let least = self.least_audited_batch;
            return Err(Breach::AuditedBatch { asked, least });
        }
        match begun {
            _ if self.most_sessions == 0 => {}
            None => return Err(Breach::Uncounted),
            Some(begun) if begun > self.most_sessions.into() => {
                return Err(Breach::Sessions(self.most_sessions));
            }
            Some(_) => {}
        }
        if !self.models.is_empty() && !self.models.contains(&ModelId::of(&session.model)) {
            return Err(Breach::Model);
        }
        Ok(())
    }
}

/// The fewest samples of an iteration.
fn smallest_batch(session: &Session) -> u32 {
    // Only the last iteration of an epoch has fewer than the others.
    let last = session.iterations_per_epoch().min(session.iterations());
    session.batch(last.saturating_sub(1)).len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::Normalisation,
        num::Format,
        session::{ClassList, Headroom, KnownBackbone, Protocol, Task},
    };

    fn session() -> Session {
        Session {
            model: Model::built_in("digits8").unwrap(),
            format: Format::new::<u32>(12).unwrap(),
            headroom: Headroom::NONE,
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol: Protocol::DEALT,
            samples: [70, 0],
            contributions: None,
            batch: 64,
            micro_batch: 1,
            epochs: 2,
            limit: 0,
            learning_rate: 1 << 20,
            momentum: 0,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 0,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: 0,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    #[test]
    fn nothing_is_revealed_unless_the_policy_says_so() {
        let mut policy = Policy {
            least_batch: 1,
            ..Policy::default()
        };
        let mut session = session();
        assert_eq!(policy.check(&session, None), Ok(()));
        session.receiver = Some(Role::P1);
        assert_eq!(
            policy.check(&session, None),
            Err(Breach::Receiver(Role::P1))
        );
        policy.reveal_to = [true, false];
        assert!(policy.check(&session, None).is_err());
        policy.reveal_to = [false, true];
        assert_eq!(policy.check(&session, None), Ok(()));
    }

    #[test]
    fn the_last_batch_of_an_epoch_counts_if_it_is_trained() {
        let policy = Policy::default();
        let mut session = session();
        let breach = Breach::Batch { asked: 6, least: 8 };
        assert_eq!(policy.check(&session, None), Err(breach));
        session.limit = 1;
        assert_eq!(policy.check(&session, None), Ok(()));
        session.limit = 2;
        assert_eq!(policy.check(&session, None), Err(breach));
        session.samples[0] = 72;
        assert_eq!(policy.check(&session, None), Ok(()));
        session.audit = 3;
        let breach = Breach::AuditedBatch {
            asked: 8,
            least: 64,
        };
        assert_eq!(policy.check(&session, None), Err(breach));
        session.limit = 1;
        assert_eq!(policy.check(&session, None), Ok(()));
    }

    #[test]
    fn sessions_and_models_are_limited() {
        let (mut session, mut policy) = (session(), Policy::default());
        session.limit = 1;
        policy.most_sessions = 2;
        assert_eq!(policy.check(&session, Some(2)), Ok(()));
        assert_eq!(policy.check(&session, Some(3)), Err(Breach::Sessions(2)));
        assert_eq!(policy.check(&session, None), Err(Breach::Uncounted));
        policy.most_sessions = 0;
        let other = Model::built_in("convnet2").unwrap();
        policy.models.push(ModelId::of(&other)).unwrap();
        assert_eq!(policy.check(&session, None), Err(Breach::Model));
        policy.models.push(ModelId::of(&session.model)).unwrap();
        assert_eq!(policy.check(&session, None), Ok(()));
    }
}
