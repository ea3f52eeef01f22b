//! Loss functions.

use serde::{Deserialize, Serialize};

/// The function from logits to probabilities. The gradient by the logits is (probabilities - labels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Loss {
    /// Softmax with cross entropy.
    Softmax,
    /// ReLU(z_i) / sum over j of ReLU(z_j), SecureNN's approximation of softmax; all 0 if no logit is positive.
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
