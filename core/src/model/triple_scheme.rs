//! Triple schemes: which products the correlated randomness serves.

use serde::{Deserialize, Serialize};

/// What triples are made for, and so which values are opened. [`TripleScheme::Baseline`] and
/// [`TripleScheme::Seed`] are published in "Image recognition without disclosing your data" (2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TripleScheme {
    /// Triples for matrix products only. A convolution is a matrix product of its patches, and each product
    /// opens both operands.
    Baseline,
    /// Triples for convolutions with pooling, for their gradients, and for squares. A tensor is opened once
    /// per iteration, however many products read it.
    Seed,
    /// As [`TripleScheme::Seed`], with one opening per polynomial, and one opening of each sample in the
    /// whole run.
    Fused,
}

impl TripleScheme {
    /// Whether all products that read a tensor share one opening of it.
    pub fn reuse(self) -> bool {
        self != TripleScheme::Baseline
    }

    /// Whether samples keep their masks for the whole run, so that each is opened once.
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
