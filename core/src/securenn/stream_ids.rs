//! Stream ids: each gate of a session has its own gate numbers, because a second use of a stream position would repeat
//! a mask.

use crate::{gate, network::MAX_STAGES, session::Session, share::Values};

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
    /// The audits of the stage's tensors, each with a gate number of its own.
    Audit,
}

/// Gate numbers of one use: a maximum of 128 classes takes 127 steps of 8 gates.
const PARTS: u32 = 1 << 10;
/// Uses in a stage, rounded up to a power of two.
const USES: u32 = 16;

const _: () = assert!((Use::Audit as u32) < USES);
const _: () = assert!(PARTS * USES * (MAX_STAGES as u32) < 1 << 24);

/// Address of a gate in micro-batch `step` of the run.
pub(super) fn at(step: u32, stage: usize, which: Use) -> At {
    At {
        iteration: step,
        gate: (stage as u32 * USES + which as u32) * PARTS,
    }
}

/// Address of a gate of the dealt protocols, which takes a micro-batch's rows from 0 on.
pub(super) fn dealt(at: At) -> gate::At {
    gate::At {
        iteration: at.iteration,
        gate: at.gate,
        row: 0,
    }
}

/// Address of the audit of a stage's tensor in micro-batch `step` of the run; velocities are audited once in an
/// iteration, under its first micro-batch.
pub(super) fn audit(step: u32, stage: usize, values: Values) -> gate::At {
    dealt(at(step, stage, Use::Audit).part(values as u32))
}

/// The number in the run of the micro-batch that starts at row `first` of the iteration's batch. No other micro-batch has it,
/// whichever ranks work on them: all streams of a micro-batch are its own.
pub(super) fn step(session: &Session, iteration: u32, first: u32) -> u32 {
    iteration * session.batch.div_ceil(session.micro_batch) + first / session.micro_batch
}
