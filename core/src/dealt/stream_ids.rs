//! Stream ids: each use of randomness has its own gate number, because a second use of a stream position would repeat
//! a mask.

#[cfg(feature = "private-training")]
use crate::gate::clip_factor::ClipPlaces;
use crate::{
    gate::{
        At, argmax,
        bilinear::Span,
        maxpool::MAX_LEVELS,
        softmax,
        tensor::{RowMask, WholeMask},
    },
    network::{MAX_STAGES, Network},
    prg::Address,
    session::{Session, Task},
};

/// Gate number of the data's masks. The sample's number stands for the iteration.
pub(crate) const DATA: u32 = 0;
/// First gate number of the softmax, which takes [`softmax::GATES`] of them.
const SOFTMAX: u32 = 16;
/// First gate number of the stages. Each stage takes [`STRIDE`] numbers, one for each [`Use`].
const STAGES: u32 = 32;
const STRIDE: u32 = 16;
/// First gate number of the max poolings. Each stage takes [`MAX_LEVELS`] numbers forward and as many backward.
const MAX_POOLS: u32 = STAGES + STRIDE * MAX_STAGES as u32;

/// Audited tensors of a stage, each with a gate number of its own.
pub(crate) const AUDITED_TENSORS: u32 = 4;
/// First gate number of the audits.
const AUDITS: u32 = MAX_POOLS + 2 * MAX_LEVELS * MAX_STAGES as u32;
/// First gate number of the comparisons that clip gradients, one for each stage.
const CLIPS: u32 = AUDITS + AUDITED_TENSORS * MAX_STAGES as u32;
/// Gate number of the keys of evaluations. The evaluation's number stands for the iteration.
const EVALUATIONS: u32 = CLIPS + MAX_STAGES as u32;

/// First gate number of what clips the gradients of single samples. Each stage takes [`CLIP_STRIDE`] numbers.
#[cfg(feature = "private-training")]
const SAMPLE_CLIPS: u32 = EVALUATIONS + 4;
#[cfg(feature = "private-training")]
const CLIP_STRIDE: u32 = 8;

/// Gate number of the check of contributions.
#[cfg(feature = "contributions")]
const CONTRIBUTION_CHECK: u32 = EVALUATIONS + 1;
/// Gate numbers of the samples and of the labels of contributions.
#[cfg(feature = "contributions")]
const CONTRIBUTIONS: [u32; 2] = [EVALUATIONS + 2, EVALUATIONS + 3];

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
    /// Dealt part of the forward product.
    Forward,
    /// Dealt part of the gradient by the input.
    InputGradient,
    /// Dealt part of the gradient by the weights.
    WeightGradient,
    /// The activation, or the widening of a stage without one.
    Activation,
    /// The backward pass of the activation or widening.
    ActivationBackward,
    /// The widening of the velocities.
    Velocity,
    /// Mask of the stage's input in its second opening, for the gradient by the weights.
    ReopenedOperand,
    /// Mask of the weights in their second opening, for the gradient by the input.
    ReopenedWeights,
    /// Mask of the gradient by the output in its second opening, for the gradient by the input.
    ReopenedGradient,
}

/// A product of a stage, which reads two opened tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Forward,
    WeightGradient,
    InputGradient,
}

/// The masks of a micro-batch's tensors. If openings are reused, a tensor has one mask for all products that read it;
/// if not, it has one mask for each of its two readers.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    pub session: &'a Session,
    pub network: &'a Network,
    /// The micro-batch's samples.
    pub samples: &'a [u32],
    pub iteration: u32,
    /// Its first row in the batch.
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

    /// Mask of a stage's left operand as `reader` reads it.
    pub fn operand(&self, stage: usize, reader: Product) -> RowMask<'a> {
        if stage == 0 && self.session.keeps_data() {
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
                Use::ReopenedOperand
            } else {
                Use::Operand
            },
        )
    }

    /// Mask of the gradient by a stage's output as `reader` reads it.
    pub fn gradient(&self, stage: usize, reader: Product) -> RowMask<'a> {
        let again = !self.session.protocol.triples().reuse() && reader == Product::InputGradient;
        self.rows(
            stage,
            if again {
                Use::ReopenedGradient
            } else {
                Use::Gradient
            },
        )
    }

    /// Mask of a stage's weights as `reader` reads them. In inference and evaluation it serves the whole session: the
    /// weights do not change, so one opening is enough. In inference only their owner has a part of it.
    pub fn weights(&self, stage: usize, reader: Product) -> WholeMask {
        let again = !self.session.protocol.triples().reuse() && reader == Product::InputGradient;
        let which = if again {
            Use::ReopenedWeights
        } else {
            Use::Weights
        };
        let iteration = match self.session.task {
            Task::Train => self.iteration,
            Task::Infer | Task::Evaluate => 0,
        };
        WholeMask {
            address: address(iteration, stage, which),
            owner: self.session.model_owner(),
        }
    }

    /// Address and rows of the dealt part of a stage's forward product or gradient by the input.
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

/// Gate number of a use in a stage.
fn gate(stage: usize, which: Use) -> u32 {
    STAGES + STRIDE * stage as u32 + which as u32
}

/// Address of the stream of a tensor in a stage.
pub(crate) fn address(iteration: u32, stage: usize, which: Use) -> Address {
    Address {
        iteration,
        gate: gate(stage, which),
        wire: 0,
    }
}

/// Address of a gate in a stage, from row `row` of the batch on.
pub(crate) fn at(iteration: u32, stage: usize, which: Use, row: u32) -> At {
    At {
        iteration,
        gate: gate(stage, which),
        row: row.into(),
    }
}

/// Address of the first level of a stage's max pooling, forward or backward.
pub(crate) fn max_pool(iteration: u32, stage: usize, backward: bool, row: u32) -> At {
    At {
        iteration,
        gate: MAX_POOLS + MAX_LEVELS * (2 * stage as u32 + u32::from(backward)),
        row: row.into(),
    }
}

/// Address of the argmax. It is that of the last stage's max pooling: that stage is dense and has none.
pub(crate) fn argmax(network: &Network, iteration: u32, row: u32) -> At {
    const _: () = assert!(argmax::GATES <= MAX_LEVELS);
    max_pool(iteration, network.stages.len() - 1, false, row)
}

/// Address of the audit of a stage's tensor, by the tensor's number below [`AUDITED_TENSORS`].
pub(crate) fn audit(iteration: u32, stage: usize, tensor: u32, row: u32) -> At {
    At {
        iteration,
        gate: AUDITS + AUDITED_TENSORS * stage as u32 + tensor,
        row: row.into(),
    }
}

/// Address of the comparison that clips a stage's gradient.
pub(crate) fn clip(iteration: u32, stage: usize) -> At {
    At {
        iteration,
        gate: CLIPS + stage as u32,
        row: 0,
    }
}

/// Address of the dealt part of the gradients of single samples by a stage's weights.
#[cfg(feature = "private-training")]
pub(crate) fn sample_gradient(iteration: u32, stage: usize) -> Address {
    Address {
        iteration,
        gate: SAMPLE_CLIPS + CLIP_STRIDE * stage as u32,
        wire: 0,
    }
}

/// Addresses of the gates that clip the gradients of single samples by a stage's parameters: the sum of squares with the scaled sum, and
/// the parts of the factor.
#[cfg(feature = "private-training")]
pub(crate) fn sample_clip(iteration: u32, stage: usize, row: u32) -> (At, ClipPlaces) {
    let at = |which: u32| At {
        iteration,
        gate: SAMPLE_CLIPS + CLIP_STRIDE * stage as u32 + which,
        row: row.into(),
    };
    let factor = ClipPlaces {
        limits: [2, 3, 4].map(at),
        lookups: [5, 6, 7].map(at),
    };
    (at(1), factor)
}

/// Address of the check of contributions, from this row on.
#[cfg(feature = "contributions")]
pub(crate) fn contribution_check(row: u64) -> At {
    At {
        iteration: 0,
        gate: CONTRIBUTION_CHECK,
        row,
    }
}

/// Addresses of what turns the contribution in a row of a batch into shares: its sample and its label.
#[cfg(feature = "contributions")]
pub(crate) fn contribution(iteration: u32, row: u32) -> [At; 2] {
    CONTRIBUTIONS.map(|gate| At {
        iteration,
        gate,
        row: row.into(),
    })
}

/// Address of the softmax.
pub(crate) fn softmax(iteration: u32, row: u32) -> At {
    At {
        iteration,
        gate: SOFTMAX,
        row: row.into(),
    }
}

/// Address of the key of an evaluation, by its number under these keys.
pub(crate) fn evaluation(number: u32) -> Address {
    Address {
        iteration: number,
        gate: EVALUATIONS,
        wire: 0,
    }
}
