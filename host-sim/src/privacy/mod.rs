//! What a training with differentially private gradients (DP-SGD) tells about one sample: the accountant, and what attacks prove.
//!
//! In each iteration every sample is drawn with the same probability, independently (Poisson sampling). The gradient of each
//! sample is clipped, and Gaussian noise is added to their sum. The guarantee is that of adding or removing one sample.
//!
//! - [`divergence`]: the Rényi divergence of one iteration.
//! - [`guarantee`]: epsilon and delta of many.
//! - [`noise`]: the noise that a wanted epsilon takes.
//! - [`padding`]: batches of a fixed size, in which drawn samples are hidden.
//! - [`protection`]: that of a session on the samples of two owners.
//! - [`guesses`]: the epsilon that an attack refutes by guessing right.
//! - [`separation`]: how well an attack tells members of a training from others.
//!
//! The chapter on differential privacy has the proofs, and says what noise of a fixed-point ring adds.

pub mod divergence;
pub mod guarantee;
pub mod guesses;
pub mod noise;
pub mod padding;
pub mod protection;
pub mod separation;

pub use divergence::SampledGaussian;
pub use guarantee::{Guarantee, Imprecision, Training};
pub use guesses::{Guesses, best_guesses};
pub use noise::smallest_noise;
pub use padding::Padding;
pub use protection::Protection;
pub use separation::{FALSE_ALARMS, Separation};
