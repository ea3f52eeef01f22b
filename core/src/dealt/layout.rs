//! Lengths of the buffers that parties and dealer cut their memory into.

use crate::{
    Role,
    dealt::gate_set::GateSet,
    gate::{bilinear::Bilinear, plane_len},
    network::{Activation, Network, Stage},
    num::ring::Ring,
    session::{Session, Task},
};

/// Lengths of a party's buffers for one stage, in elements.
pub(crate) struct StageLengths {
    /// One word for each parameter.
    pub weights: usize,
    /// Bytes of the parameters below those words.
    pub fine: usize,
    /// One word for each parameter, if it is trained.
    pub velocity: usize,
    /// Weights as they are opened again.
    pub weights_again: usize,
    /// The input of the stage.
    pub operand: usize,
    /// Bytes of the masked signs.
    pub sign: usize,
    /// P1's shares of the bits that hide the signs.
    pub hide: usize,
    /// The same of the max pooling's comparisons.
    pub pool_sign: usize,
    pub pool_hide: usize,
    /// 64-bit words: what a polynomial keeps opened for its way back.
    pub kept: usize,
}

/// Lengths of a party's buffers, in elements.
pub(crate) struct Lengths {
    /// Gradients: of the last stage and every second before it, and of the others. In inference the logits, and the
    /// products of unrolled convolutions.
    pub gradients: [usize; 2],
    /// 64-bit words of scratch.
    pub scratch: usize,
    /// Samples of a micro-batch.
    pub samples: usize,
}

/// 64-bit words that hold `len` elements of `size` bytes.
pub(crate) const fn words(len: usize, size: usize) -> usize {
    (len * size).div_ceil(8)
}

impl StageLengths {
    pub fn new<R: Ring>(
        session: &Session,
        gates: GateSet,
        stages: &[Stage],
        index: usize,
        rows: usize,
        role: Role,
    ) -> Self {
        let stage = &stages[index];
        let out = stage.leaving_len();
        let relu = stage.activation == Some(Activation::Relu);
        let kept = match stage.activation {
            Some(Activation::Polynomial(polynomial, _)) => gates.polynomial(polynomial, 0).kept(),
            _ => 0,
        };
        // What the stage before makes is pooled where it will enter.
        let made = match index {
            0 => 0,
            _ => stages[index - 1].linear.output_len(),
        };
        let before = stage.entering_len().max(stage.linear.input_len()).max(made);
        let pool = stage
            .max_pool
            .map(|windows| gates.max_pool::<R>(windows, 0));
        // Inference takes no way back, and keeps nothing for it.
        let train = session.task == Task::Train;
        let hides = train && role == Role::P1;
        StageLengths {
            weights: stage.parameters(),
            fine: stage.parameters() * session.format.fine() as usize / 8,
            velocity: if train { stage.parameters() } else { 0 },
            weights_again: weights_again_len(session, stage),
            operand: rows * before.max(stage.operand_len()),
            kept: rows * out * kept,
            sign: if relu { rows * plane_len(out) } else { 0 },
            hide: if relu && hides { rows * out } else { 0 },
            pool_sign: pool.map_or(0, |pool| pool.sign_len(rows)),
            pool_hide: match pool {
                Some(pool) if hides => pool.hide_len(rows),
                _ => 0,
            },
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let ring = size_of::<R>();
        [
            self.weights,
            self.velocity,
            self.weights_again,
            self.operand,
            self.hide,
            self.pool_hide,
        ]
        .map(|len| words(len, ring))
        .iter()
        .sum::<usize>()
            + words(self.fine, 1)
            + words(self.sign, 1)
            + words(self.pool_sign, 1)
            + self.kept
    }
}

impl Lengths {
    pub fn new<R: Ring>(
        session: &Session,
        gates: GateSet,
        network: &Network,
        rows: usize,
        role: Role,
    ) -> Self {
        let mut scratch = 2 * words(network.input_len(), 1);
        for stage in &network.stages {
            let out = stage.leaving_len();
            let ring = size_of::<R>();
            let pool = stage.max_pool.map_or(0, |windows| {
                gates.max_pool::<R>(windows, 0).scratch_len::<R>(rows)
            });
            scratch = scratch.max(words(pool, ring));
            let (product, rows_each) = stage.product();
            let bilinear = words(Bilinear(product).scratch_len(role, rows * rows_each), ring);
            let activation = match stage.activation {
                Some(Activation::Relu) => words(gates.relu::<R>().scratch_len(rows, out), 1),
                Some(Activation::Polynomial(polynomial, _)) => {
                    gates.polynomial(polynomial, 0).scratch_len(rows, out)
                }
                None => 0,
            };
            // A sample before its pooling or unrolling, and a bias for each channel.
            let moved = match stage.unrolled || stage.pooled_input.is_some() {
                true => stage.entering_len().max(stage.linear.input_len()),
                false => 0,
            };
            let single = words(moved, ring).max(words(stage.linear.channels(), ring));
            scratch = scratch.max(bilinear).max(activation).max(single);
        }
        let (lengths, last) = match session.task {
            Task::Train => (gradients(network), gates.softmax.scratch_len(rows)),
            Task::Infer => {
                let argmax = gates.argmax::<R>().scratch_len::<R>(role, rows);
                ([network.classes, unrolled(network)], argmax)
            }
        };
        Lengths {
            gradients: lengths.map(|len| rows * len),
            scratch: scratch.max(last),
            samples: rows,
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let gradients = self.gradients.map(|len| words(len, size_of::<R>()));
        gradients[0] + gradients[1] + self.scratch + words(self.samples, 4)
    }
}

/// Values of the two gradient buffers, per sample. On the way back a gradient by a stage's input is made in
/// one from the gradient by its output in the other, in turns. Stages that are unrolled or pool their
/// input change places more often, and need room for everything in both.
fn gradients(network: &Network) -> [usize; 2] {
    let mut lengths = [0; 2];
    for (step, stage) in network.stages.iter().rev().enumerate() {
        let turn = &mut lengths[step % 2];
        *turn = stage.linear.output_len().max(*turn);
    }
    let regular = |stage: &Stage| !stage.unrolled && stage.pooled_input.is_none();
    if network.stages.iter().all(regular) {
        return lengths;
    }
    let most = |(index, stage): (usize, &Stage)| {
        let before = match index {
            0 => 0,
            _ => stage.entering_len().max(stage.operand_len()),
        };
        stage.product_len().max(before)
    };
    let most = network.stages.iter().enumerate().map(most).max();
    let most = most.unwrap_or(0).max(lengths[0]).max(lengths[1]);
    [most; 2]
}

/// The most values that a product of an unrolled convolution has before it is pooled, per sample.
fn unrolled(network: &Network) -> usize {
    let stages = network.stages.iter().filter(|stage| stage.unrolled);
    stages.map(Stage::product_len).max().unwrap_or(0)
}

/// Weights of a stage that are opened again for the gradient by its input.
pub(crate) fn weights_again_len(session: &Session, stage: &Stage) -> usize {
    if session.protocol.triples().reuse() || session.task == Task::Infer {
        0
    } else {
        stage.linear.weight_len()
    }
}

/// 64-bit words of the dealer's scratch.
pub(crate) fn dealer_scratch<R: Ring>(network: &Network, rows: usize) -> usize {
    let most = |stage: &Stage| {
        let (linear, rows_each) = stage.product();
        Bilinear(linear).dealer_scratch_len(rows * rows_each)
    };
    let most = network.stages.iter().map(most).max().unwrap_or(0);
    words(most, size_of::<R>())
}
