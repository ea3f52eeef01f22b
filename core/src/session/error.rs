//! What keeps a session from running.

use crate::{
    network::{ModelError, Name},
    num::fixed_point::FormatError,
};

/// Why a session cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The model's layers do not fit together.
    Model(ModelError),
    /// The widths do not fit together.
    Format(FormatError),
    /// A number that must be at least 1 is 0.
    Zero(&'static str),
    /// There are fewer samples than a batch takes.
    Batch {
        /// The batch asked for.
        batch: u32,
        /// The samples there are.
        samples: u32,
    },
    /// A micro-batch is larger than the batch that it is part of.
    MicroBatch,
    /// More samples, batches or epochs than can be numbered.
    TooLong,
    /// A micro-batch of this network has more values than memory can hold.
    TooLarge,
    /// The batch, or the windows of a pooling, divide gradients by more than the rings have bits for.
    Gradients,
    /// Momentum must lie below 1.
    Momentum,
    /// An update without an opening leaves no room for momentum.
    MomentumInDirect,
    /// No rings that the core has are wide enough for a polynomial, at this layer of the plan.
    Polynomial(Name),
    /// The learning rate is too large or too small to be written in the ring.
    LearningRate,
    /// Inference is on samples of one party, once, by the model of the other.
    Owners,
    /// The session is of the other protocol: SecureNN with an assistant, or dealt.
    Protocol,
    /// What SecureNN does not have.
    NotInSecureNn(&'static str),
}

impl core::fmt::Display for SessionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SessionError::Model(error) => write!(f, "the model cannot run: {error}"),
            SessionError::Format(error) => error.fmt(f),
            SessionError::Zero(what) => write!(f, "{what} must be at least 1"),
            SessionError::Batch { batch, samples } => write!(
                f,
                "a batch of {batch} is more than the {samples} samples there are: choose a smaller batch"
            ),
            SessionError::MicroBatch => {
                f.write_str("a micro-batch cannot be larger than the batch")
            }
            SessionError::TooLong => {
                f.write_str("the run has more iterations or samples than can be numbered")
            }
            SessionError::TooLarge => f.write_str(
                "a micro-batch of this model has too many values: choose a smaller micro-batch",
            ),
            SessionError::Gradients => f.write_str(
                "the batch and the model's pooling leave no bits for the gradients: choose a smaller batch, smaller windows or the wider ring",
            ),
            SessionError::Momentum => f.write_str("the momentum must be at least 0 and below 1"),
            SessionError::MomentumInDirect => {
                f.write_str("weights that are multiplied at full precision cannot have momentum")
            }
            SessionError::Polynomial(name) => write!(
                f,
                "{name} does not fit: at these fraction bits, evaluating it over its interval takes a ring wider than the 128 bits there are; choose a lower degree, another interval, fewer fraction bits or the narrower ring"
            ),
            SessionError::LearningRate => f.write_str(
                "the learning rate is 0, or too large or too small for this ring and batch",
            ),
            SessionError::Owners => f.write_str(
                "inference takes samples of one party alone, once, and reveals no model",
            ),
            SessionError::Protocol => f.write_str(
                "this session needs an assistant in place of a dealer, or a dealer in place of an assistant",
            ),
            SessionError::NotInSecureNn(what) => {
                write!(f, "SecureNN's protocols have no {what}")
            }
        }
    }
}

impl core::error::Error for SessionError {}

impl From<ModelError> for SessionError {
    fn from(error: ModelError) -> Self {
        SessionError::Model(error)
    }
}

impl From<FormatError> for SessionError {
    fn from(error: FormatError) -> Self {
        SessionError::Format(error)
    }
}
