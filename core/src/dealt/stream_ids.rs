//! Where in the streams each value of a run stands: one gate number for each use, so that no stream
//! position serves two values.

use crate::{
    gate::{
        At,
        bilinear::Span,
        maxpool::MAX_LEVELS,
        softmax,
        tensor::{RowMask, WholeMask},
    },
    network::{MAX_STAGES, Network},
    prg::Address,
    session::Session,
};

/// The data's masks; the sample takes the place of the iteration.
pub(crate) const DATA: u32 = 0;
/// The softmax and the gates that it is made of.
const SOFTMAX: u32 = 16;
/// The first stage's gates; each stage has [`STRIDE`] of them.
const STAGES: u32 = 32;
const STRIDE: u32 = 16;
/// The first stage's max pooling: for each stage, each way as many gates as there are levels.
const MAX_POOLS: u32 = STAGES + STRIDE * MAX_STAGES as u32;

/// The first stage's audits of ranges, one gate for each of a stage's tensors.
pub(crate) const AUDITED_TENSORS: u32 = 4;
const AUDITS: u32 = MAX_POOLS + 2 * MAX_LEVELS * MAX_STAGES as u32;

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
    /// Mask of the stage's input, opened again for the gradient by the weights.
    OperandAgain,
    /// Mask of the weights, opened again for the gradient by the input.
    WeightsAgain,
    /// Mask of the gradient by the output, opened again for the gradient by the input.
    GradientAgain,
}

/// A product of a stage, as a reader of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Forward,
    WeightGradient,
    InputGradient,
}

/// The masks of a micro-batch's tensors: one for each tensor where openings are reused, or one for each
/// product that reads it.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    pub session: &'a Session,
    pub network: &'a Network,
    /// The samples of the micro-batch.
    pub samples: &'a [u32],
    pub iteration: u32,
    /// Row of the batch that comes first.
    pub first: u32,
}

impl<'a> Tensors<'a> {
    fn rows(&self, stage: usize, which: Use) -> RowMask<'a> {
        let (_, rows) = self.network.stages[stage].product();
        RowMask::Fresh {
            address: address(self.iteration, stage, which),
            first: u64::from(self.first) * rows as u64,
        }
    }

    /// Mask of a stage's input.
    pub fn operand(&self, stage: usize, reader: Product) -> RowMask<'a> {
        if stage == 0 && self.session.protocol.triples().keep_data() {
            return RowMask::Kept {
                gate: DATA,
                samples: self.samples,
                boundary: self.session.samples[0],
            };
        }
        let again = !self.session.protocol.triples().reuse() && reader == Product::WeightGradient;
        self.rows(
            stage,
            if again {
                Use::OperandAgain
            } else {
                Use::Operand
            },
        )
    }

    /// Mask of the gradient by a stage's output.
    pub fn gradient(&self, stage: usize, reader: Product) -> RowMask<'a> {
        let again = !self.session.protocol.triples().reuse() && reader == Product::InputGradient;
        self.rows(
            stage,
            if again {
                Use::GradientAgain
            } else {
                Use::Gradient
            },
        )
    }

    /// Mask of a stage's weights. In inference it belongs to their owner alone, and to the whole session: they do not
    /// change and are opened once.
    pub fn weights(&self, stage: usize, reader: Product) -> WholeMask {
        let again = !self.session.protocol.triples().reuse() && reader == Product::InputGradient;
        let which = if again {
            Use::WeightsAgain
        } else {
            Use::Weights
        };
        let owner = self.session.model_owner();
        let iteration = match owner {
            Some(_) => 0,
            None => self.iteration,
        };
        WholeMask {
            address: address(iteration, stage, which),
            owner,
        }
    }

    /// Where the dealt part of a stage's forward product or gradient by the input stands.
    pub fn span(&self, stage: usize, product: Product) -> Span {
        let (_, rows) = self.network.stages[stage].product();
        let which = match product {
            Product::Forward => Use::Forward,
            Product::WeightGradient => Use::WeightGradient,
            Product::InputGradient => Use::InputGradient,
        };
        Span {
            product: address(self.iteration, stage, which),
            first: u64::from(self.first) * rows as u64,
            rows: self.samples.len() * rows,
        }
    }
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

/// Place of the first level of a stage's max pooling, on the way forward or back.
pub(crate) fn max_pool(iteration: u32, stage: usize, backward: bool, row: u32) -> At {
    At {
        iteration,
        gate: MAX_POOLS + MAX_LEVELS * (2 * stage as u32 + u32::from(backward)),
        row: row.into(),
    }
}

/// Places of the first levels of the argmax and of its way back. They are those of the last stage's max pooling:
/// it is dense and has none.
pub(crate) fn argmax(network: &Network, iteration: u32, row: u32) -> [At; 2] {
    let last = network.stages.len() - 1;
    [false, true].map(|backward| max_pool(iteration, last, backward, row))
}

/// Place of the audit of one of a stage's tensors, by its number below [`AUDITED_TENSORS`].
pub(crate) fn audit(iteration: u32, stage: usize, tensor: u32, row: u32) -> At {
    At {
        iteration,
        gate: AUDITS + AUDITED_TENSORS * stage as u32 + tensor,
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
