//! What correlated randomness is made for.

use serde::{Deserialize, Serialize};

/// What a product's masks are made for, and so which openings are made anew: the published ways of
/// "Image recognition without disclosing your data" (2018), and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TripleScheme {
    /// Products of matrices alone: a convolution's patches are laid out before they are masked, and
    /// each product opens both its operands for itself.
    Baseline,
    /// Convolutions with their gradients and pooling, and squares; a tensor is opened once in an
    /// iteration, whatever reads it.
    Seed,
    /// As [`TripleScheme::Seed`], with one opening for a whole polynomial, and one in the whole run for
    /// each sample.
    Fused,
}

impl TripleScheme {
    /// Whether a tensor's opening serves every product that reads it.
    pub fn reuse(self) -> bool {
        self != TripleScheme::Baseline
    }

    /// Whether data keeps its masks for the whole run.
    pub fn keep_data(self) -> bool {
        self == TripleScheme::Fused
    }
}

impl core::fmt::Display for TripleScheme {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            TripleScheme::Baseline => "baseline",
            TripleScheme::Seed => "seed",
            TripleScheme::Fused => "fused",
        })
    }
}
