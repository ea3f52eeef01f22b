//! Events that a role reports to its starter.

use ringlet_core::{Role, cost::Traffic};
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// A stage's parameters, weights then biases, in the ring of the master weights: one party's shares, or sums of both
/// parties' shares.
pub type StageValues = Vec<u128>;

/// An event that a role reports to its starter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The address at which the role waits for others.
    Listening(String),
    /// An iteration is done.
    Iteration {
        /// The iteration, from 0.
        iteration: u32,
        /// Its samples.
        samples: u32,
        /// Seconds that it took.
        seconds: f64,
        /// Bytes sent, values opened, rounds.
        traffic: Box<Traffic>,
        /// If it was audited: the number of values out of range, for each cost row, forward and backward.
        audit: Option<Vec<[u32; 2]>>,
        /// The mean loss of its samples, which a simulation sees.
        loss: Option<f64>,
        /// The mean loss of the epoch that it ended, if both parties revealed it.
        epoch_loss: Option<f64>,
    },
    /// Values left the range contract in an iteration, which a simulation sees: their numbers for each cost row, forward and
    /// backward. It comes before the iteration's own event.
    OutsideRange {
        /// The iteration, from 0.
        iteration: u32,
        /// Values outside.
        counts: Vec<[u32; 2]>,
    },
    /// The shared model was evaluated on held-out images.
    Evaluated(Box<Evaluated>),
    /// A party's shares of the model before epoch `epoch`. Only a simulation gets them, since it may see both.
    Shares {
        /// Whole epochs done.
        epoch: u32,
        /// Stage by stage.
        stages: Vec<StageValues>,
    },
    /// Contributions were checked before the first iteration.
    Checked {
        /// How many there are.
        contributions: u32,
        /// The names of those that are left out, and how many bounds each breaks.
        left_out: Vec<(String, u32)>,
    },
    /// The role ended as it should.
    Done,
    /// The role failed.
    Failed {
        /// The message for the user.
        message: String,
        /// Whether it is only a consequence of another role's failure.
        consequence: bool,
    },
}

/// What a party sees of an evaluation of the shared model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Iterations of the training before it.
    pub done: u32,
    /// The owner of the held-out images.
    pub owner: Role,
    /// Their number.
    pub images: u32,
    /// At the owner, the number of each image and its class.
    pub classes: Vec<(u32, u8)>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes sent, values opened, rounds.
    pub traffic: Traffic,
    /// If it was audited: the number of values out of range, for each cost row, forward and backward.
    pub audit: Option<Vec<[u32; 2]>>,
    /// Whether the training stops early after it.
    pub stops: bool,
}

impl From<&Failure> for Event {
    fn from(failure: &Failure) -> Self {
        Event::Failed {
            message: failure.to_string(),
            consequence: failure.is_consequence(),
        }
    }
}

#[cfg(test)]
impl Event {
    /// The same without times, which differ from run to run.
    pub fn without_times(mut self) -> Self {
        if let Event::Iteration {
            traffic, seconds, ..
        } = &mut self
        {
            *seconds = 0.0;
            traffic.nanoseconds = Default::default();
        }
        self
    }
}
