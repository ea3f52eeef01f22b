//! Where in the streams each value of a run stands: one gate number for each use, so that no stream
//! position serves two values.

use crate::{
    gate::{At, softmax},
    prg::Address,
};

/// The data's masks; the sample takes the place of the iteration.
pub(crate) const DATA: u32 = 0;
/// A party's own first weights, from its own secret.
const FIRST_WEIGHTS: u32 = 1;
/// The softmax and the gates that it is made of.
const SOFTMAX: u32 = 16;
/// The first stage's gates; each stage has [`STRIDE`] of them.
const STAGES: u32 = 32;
const STRIDE: u32 = 16;

const _: () = assert!(SOFTMAX + softmax::GATES <= STAGES);

/// A use of randomness within a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Mask of the stage's input.
    Operand,
    /// Mask of the weights.
    Weights,
    /// Mask of the gradient by the output.
    Gradient,
    /// Dealt product of the forward pass.
    Forward,
    /// Dealt product of the gradient by the input.
    InputGradient,
    /// Dealt product of the gradient by the weights.
    WeightGradient,
    /// The activation, or the step up in its place.
    Activation,
    /// The activation's way back.
    ActivationBack,
    /// The step up of the velocities.
    Velocity,
}

fn gate(stage: usize, which: Use) -> u32 {
    STAGES + STRIDE * stage as u32 + which as u32
}

/// Address of a tensor's stream in a stage.
pub(crate) fn address(iteration: u32, stage: usize, which: Use) -> Address {
    Address {
        iteration,
        gate: gate(stage, which),
        wire: 0,
    }
}

/// Place of a gate in a stage, for rows from `row` of the batch on.
pub(crate) fn at(iteration: u32, stage: usize, which: Use, row: u32) -> At {
    At {
        iteration,
        gate: gate(stage, which),
        row: row.into(),
    }
}

/// Place of the softmax.
pub(crate) fn softmax(iteration: u32, row: u32) -> At {
    At {
        iteration,
        gate: SOFTMAX,
        row: row.into(),
    }
}

/// A party's own stream of a stage's first weights.
pub(crate) fn first_weights(stage: usize) -> Address {
    Address {
        iteration: stage as u32,
        gate: FIRST_WEIGHTS,
        wire: 0,
    }
}
