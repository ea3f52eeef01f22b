//! The weights that a training begins with.

use serde::{Deserialize, Serialize};

/// The distribution of the weights that the parties draw. Biases are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitialWeights {
    /// Variance 2 / fan-in (He et al., 2015).
    #[default]
    He,
    /// Variance 2 / (fan-in + fan-out) (Glorot and Bengio, 2010).
    Xavier,
    /// All zero.
    Zero,
}
