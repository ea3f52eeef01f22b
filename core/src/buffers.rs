//! Lengths of the buffers that parties and dealer cut their memory into.

use crate::{
    Role,
    gate::{bilinear::Bilinear, plane_len},
    gates::Gates,
    network::{Activation, Network, Stage},
    ring::Ring,
    session::Session,
};

/// Lengths of a party's buffers for one stage, in elements.
pub(crate) struct StageLengths {
    /// Words of the ring, two for each parameter.
    pub master: usize,
    /// One word for each parameter.
    pub velocity: usize,
    /// Opened weights.
    pub weights: usize,
    /// Weights as they are opened again.
    pub weights_again: usize,
    /// The opened input of the stage.
    pub operand: usize,
    /// Bytes of the masked signs.
    pub sign: usize,
    /// P1's shares of the bits that hide the signs.
    pub hide: usize,
    /// 64-bit words: what a polynomial keeps opened for its way back.
    pub kept: usize,
}

/// Lengths of a party's buffers, in elements.
pub(crate) struct Lengths {
    /// Gradients; there are two such buffers.
    pub gradient: usize,
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
    pub fn new(session: &Session, gates: Gates, stage: &Stage, rows: usize, role: Role) -> Self {
        let out = stage.linear.output_len();
        let relu = stage.activation == Some(Activation::Relu);
        let kept = match stage.activation {
            Some(Activation::Polynomial(polynomial)) => gates.polynomial(polynomial, 0).kept(),
            _ => 0,
        };
        let before = stage.entering_len().max(stage.linear.input_len());
        StageLengths {
            master: 2 * stage.parameters(),
            velocity: stage.parameters(),
            weights: stage.linear.weight_len(),
            weights_again: weights_again_len(session, stage),
            operand: rows * before.max(stage.operand_len()),
            kept: rows * out * kept,
            sign: if relu { rows * plane_len(out) } else { 0 },
            hide: if relu && role == Role::P1 {
                rows * out
            } else {
                0
            },
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let ring = size_of::<R>();
        [
            self.master,
            self.velocity,
            self.weights,
            self.weights_again,
            self.operand,
            self.hide,
        ]
        .map(|len| words(len, ring))
        .iter()
        .sum::<usize>()
            + words(self.sign, 1)
            + self.kept
    }
}

impl Lengths {
    pub fn new<R: Ring>(gates: Gates, network: &Network, rows: usize) -> Self {
        let mut gradient = 0;
        let mut scratch = 2 * words(network.input_len(), 1);
        for (index, stage) in network.stages.iter().enumerate() {
            let out = stage.linear.output_len();
            gradient = gradient.max(rows * out).max(rows * stage.product_len());
            if index > 0 {
                gradient = gradient.max(rows * stage.entering_len());
                gradient = gradient.max(rows * stage.operand_len());
            }
            let ring = size_of::<R>();
            let (product, rows_each) = stage.product();
            let bilinear = words(Bilinear(product).scratch_len(rows * rows_each), ring);
            let activation = match stage.activation {
                Some(Activation::Relu) => words(gates.relu::<R>().scratch_len(rows, out), 1),
                Some(Activation::Polynomial(polynomial)) => {
                    gates.polynomial(polynomial, 0).scratch_len(rows, out)
                }
                None => 0,
            };
            // A sample before its pooling, and a bias for each channel.
            let single = words(stage.entering_len(), ring) + words(stage.linear.channels(), ring);
            scratch = scratch.max(bilinear).max(activation).max(single);
        }
        Lengths {
            gradient,
            scratch: scratch.max(gates.softmax.scratch_len(rows)),
            samples: rows,
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        2 * words(self.gradient, size_of::<R>()) + self.scratch + words(self.samples, 4)
    }
}

/// Weights of a stage that are opened again for the gradient by its input.
pub(crate) fn weights_again_len(session: &Session, stage: &Stage) -> usize {
    if session.triples.reuse() {
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
