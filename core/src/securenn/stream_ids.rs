//! Where in the streams each gate of a network stands.

use crate::{network::MAX_STAGES, session::Session};

use super::gates::At;

/// What a gate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A stage's outputs.
    Output,
    /// Its max pooling.
    MaxPool,
    /// Its activation.
    Relu,
    /// The activation's way back.
    ReluBack,
    /// Where its maxima stood, as bits.
    OneHot,
    /// The max pooling's way back.
    MaxPoolBack,
    /// The gradient by its weights.
    WeightGradient,
    /// The gradient by its inputs.
    InputGradient,
    /// The softmax after the last stage.
    Softmax,
    /// The division of the normalised loss.
    Division,
    /// The class that is found.
    Class,
    /// What makes shares of the weights uniform.
    BlindWeights,
}

/// Gates that one use may be made of: a maximum of 128 classes takes 127 steps of 8 gates.
const PARTS: u32 = 1 << 10;
/// Uses of a stage.
const USES: u32 = 16;

const _: () = assert!(PARTS * USES * (MAX_STAGES as u32) < 1 << 24);

/// Place of a gate in a step of the run.
pub(super) fn at(step: u32, stage: usize, which: Use) -> At {
    At {
        iteration: step,
        gate: (stage as u32 * USES + which as u32) * PARTS,
    }
}

/// The number of a micro-batch in the run, given the row of the batch that comes first in it.
pub(super) fn step(session: &Session, iteration: u32, first: u32) -> u32 {
    iteration * session.batch.div_ceil(session.micro_batch) + first / session.micro_batch
}
