//! What training makes smaller.

use serde::{Deserialize, Serialize};

/// The probabilities that a loss makes of logits; its gradient by the logits is (probabilities - labels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Loss {
    /// Softmax with cross entropy.
    Softmax,
    /// ReLU(z_i) / sum of ReLU(z_j), as SecureNN approximates it; all are 0 where no logit is above 0.
    Normalised,
}

impl core::fmt::Display for Loss {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Loss::Softmax => "softmax",
            Loss::Normalised => "normalised",
        })
    }
}
