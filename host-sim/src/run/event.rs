//! What a role tells whoever started it.

use ringlet_core::cost::Traffic;
use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// A stage's parameters, weights then biases, in Z_2^2L: one party's shares, or their sums.
pub type StageValues = Vec<u128>;

/// What a party tells whoever started it.
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
        /// What was sent and opened.
        traffic: Box<Traffic>,
        /// If its ranges were audited: how many values were outside, for each line of the plan, forward and
        /// backward.
        audit: Option<Vec<[u32; 2]>>,
    },
    /// A party's shares of the model before epoch `epoch`: to a simulation alone, which may see both.
    Shares {
        /// Whole epochs done.
        epoch: u32,
        /// Stage by stage.
        stages: Vec<StageValues>,
    },
    /// The role ended as it should.
    Done,
    /// The role failed.
    Failed {
        /// What to tell the user.
        message: String,
        /// Whether it only follows from another role's failure.
        consequence: bool,
    },
}

impl From<&Failure> for Event {
    fn from(failure: &Failure) -> Self {
        Event::Failed {
            message: failure.to_string(),
            consequence: failure.is_consequence(),
        }
    }
}
