//! Stream ids: each gate of a session has its own gate numbers, because a second use of a stream position would repeat
//! a mask.

use crate::{network::MAX_STAGES, session::Session};

use super::gates::At;

/// The use of a gate in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The output of the stage's map.
    Output,
    /// The max pooling.
    MaxPool,
    /// The activation.
    Relu,
    /// The backward pass of the activation.
    ReluBackward,
    /// The one-hot vectors of the maxima's positions.
    OneHot,
    /// The backward pass of the max pooling.
    MaxPoolBackward,
    /// The gradient by the weights.
    WeightGradient,
    /// The gradient by the input.
    InputGradient,
    /// The softmax after the last stage.
    Softmax,
    /// The division of the normalised loss.
    Division,
    /// The argmax of inference.
    Class,
    /// The blinding that makes shares of the weights uniform.
    WeightBlinding,
}

/// Gate numbers of one use: a maximum of 128 classes takes 127 steps of 8 gates.
const PARTS: u32 = 1 << 10;
/// Uses in a stage, rounded up to a power of two.
const USES: u32 = 16;

const _: () = assert!(PARTS * USES * (MAX_STAGES as u32) < 1 << 24);

/// Address of a gate in micro-batch `step` of the run.
pub(super) fn at(step: u32, stage: usize, which: Use) -> At {
    At {
        iteration: step,
        gate: (stage as u32 * USES + which as u32) * PARTS,
    }
}

/// The number in the run of the micro-batch that starts at row `first` of the iteration's batch.
pub(super) fn step(session: &Session, iteration: u32, first: u32) -> u32 {
    iteration * session.batch.div_ceil(session.micro_batch) + first / session.micro_batch
}
