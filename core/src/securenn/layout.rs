//! Lengths of the buffers in the roles' arenas, in 64-bit words, and the division of scratch memory.

use crate::{
    audit::Lengths as AuditLengths,
    gate::softmax::Softmax,
    network::{Activation, Network, Stage},
    session::Session,
};

use super::{
    audit::SecureNnTensors,
    gates::{
        Scratch,
        linear::{Map, Memory, Wanted},
    },
};

/// Words of a computing party's [`Scratch`] for one element: 64 field elements of a byte, and 6 words.
const SCRATCH: usize = 64 / 8 + 6;
/// Words of [`Scratch`] for one element in gates without comparisons, and in all gates of the assistant.
const SCRATCH_WORDS: usize = 3;

/// The softmax gate of a session: probabilities at the logits' scale.
pub(super) fn softmax(session: &Session, network: &Network) -> Softmax {
    Softmax {
        format: session.format,
        headroom: 0,
        classes: network.classes,
        exponent: 0,
        loss_bits: 0,
        weighted: false,
    }
}

/// The gate of one product of a stage's map, for `rows` samples.
pub(super) fn map_gate(stage: &Stage, wanted: Wanted, rows: usize) -> Map {
    let (linear, rows_each) = stage.product();
    Map {
        linear,
        wanted,
        rows: rows * rows_each,
    }
}

/// Length of the one-hot vector of a position in a window of `places`: the next power of two, at least 2.
pub(super) fn one_hot_len(places: usize) -> usize {
    places.next_power_of_two().max(2)
}

/// The most values of one sample in a tensor of a stage.
fn widest(stage: &Stage) -> usize {
    [
        stage.entering_len(),
        stage.linear.input_len(),
        stage.linear.output_len(),
        stage.operand_len(),
        stage.product_len(),
    ]
    .into_iter()
    .max()
    .unwrap_or(0)
}

/// A party's buffers for one stage.
pub(super) struct StageLengths {
    /// Weights and biases.
    pub parameters: usize,
    /// The stage's input, before average pooling.
    pub operand: usize,
    /// The ReLU's derivative.
    pub derivative: usize,
    /// The positions of the max pooling's maxima.
    pub max_position: usize,
}

impl StageLengths {
    pub fn new(stages: &[Stage], index: usize, rows: usize) -> Self {
        let stage = &stages[index];
        let map_len = match index {
            0 => 0,
            _ => stages[index - 1].linear.output_len(),
        };
        let relu = stage.activation == Some(Activation::Relu);
        let output_if = |has: bool| if has { rows * stage.leaving_len() } else { 0 };
        StageLengths {
            parameters: stage.parameters(),
            operand: rows * map_len.max(stage.entering_len()),
            derivative: output_if(relu),
            max_position: output_if(stage.max_pool.is_some()),
        }
    }

    fn words(&self) -> usize {
        2 * self.parameters + self.operand + self.derivative + self.max_position
    }
}

/// A party's buffers for all stages.
pub(super) struct Lengths {
    /// Values or gradients: each of two buffers.
    pub values: usize,
    /// The left operand of an unrolled convolution: all patches.
    pub patches: usize,
    /// The right operand of a product.
    pub right: usize,
    /// A gradient by weights, or the truncated weights of an input gradient.
    pub gradient: usize,
    /// Scratch memory of the gates.
    pub scratch: usize,
    /// Numbers of the samples of a micro-batch.
    pub samples: usize,
}

impl Lengths {
    pub fn new(session: &Session, network: &Network, rows: usize) -> Self {
        let most = |of: &dyn Fn(&Stage) -> usize| network.stages.iter().map(of).max().unwrap_or(0);
        let weights = most(&|stage| stage.linear.weight_len());
        let unrolled = |stage: &Stage| {
            if stage.unrolled {
                stage.operand_len()
            } else {
                0
            }
        };
        let classes = rows * network.classes;
        let after = [
            softmax(session, network).scratch_len(rows),
            // The normalised loss: derivatives, sums and remainders.
            classes * (5 + SCRATCH),
            // The classes: planes of logits, positions and steps.
            classes + rows * (3 + SCRATCH),
        ];
        let after = after.into_iter().max().unwrap_or(0);
        Lengths {
            values: rows * most(&widest),
            patches: rows * most(&unrolled),
            right: weights.max(rows * most(&Stage::product_len)),
            gradient: weights,
            scratch: most(&|stage| stage_scratch(stage, rows)).max(after),
            samples: rows,
        }
    }

    fn words(&self) -> usize {
        2 * self.values
            + self.patches
            + self.right
            + self.gradient
            + self.scratch
            + self.samples.div_ceil(2)
    }
}

/// Lengths of each product's [`Memory`] in a stage.
fn products(stage: &Stage, rows: usize) -> impl Iterator<Item = [usize; 3]> + '_ {
    [
        Wanted::Output,
        Wanted::WeightGradient,
        Wanted::InputGradient,
    ]
    .into_iter()
    .map(move |wanted| map_gate(stage, wanted, rows).memory_len())
}

/// Scratch words of a computing party's gates in a stage.
fn stage_scratch(stage: &Stage, rows: usize) -> usize {
    let maps = products(stage, rows).map(|[masked, _, scratch]| masked + scratch);
    let len = rows * stage.leaving_len();
    let pool = stage.max_pool.map_or(0, |windows| {
        let places = windows.positions();
        // Forward: one image, all planes, the steps. Backward: the one-hot bits, the gradients, and one image; and
        // their product, or before it the one-hot gate.
        let forward = windows.positions() * windows.output_len() + len * (places + 2 + SCRATCH);
        let backward = len * (one_hot_len(places) + places + (3 * places).max(SCRATCH_WORDS));
        forward.max(backward + places * windows.output_len())
    });
    maps.max().unwrap_or(0).max(pool).max(len * SCRATCH)
}

/// 64-bit words of a party's arena.
pub fn party_words(session: &Session, network: &Network) -> usize {
    let rows = session.micro_batch as usize;
    let stage = |index| StageLengths::new(&network.stages, index, rows).words();
    (0..network.stages.len()).map(stage).sum::<usize>()
        + Lengths::new(session, network, rows).words()
        + AuditLengths::new::<u64, SecureNnTensors>(session, network).words::<u64>()
}

/// The assistant's buffers.
pub(super) struct AssistantLengths {
    /// Scratch memory of the gates.
    pub scratch: usize,
    /// Entries of the softmax's tables.
    pub tables: usize,
}

impl AssistantLengths {
    pub fn new(session: &Session, network: &Network) -> Self {
        let rows = session.micro_batch as usize;
        let stage = |stage: &Stage| {
            let maps = products(stage, rows).map(|lens| lens.iter().sum::<usize>());
            let len = rows * stage.leaving_len();
            let pool = stage.max_pool.map_or(0, |windows| {
                len * (one_hot_len(windows.positions()) + SCRATCH_WORDS)
            });
            maps.max().unwrap_or(0).max(len * SCRATCH_WORDS).max(pool)
        };
        let most = network.stages.iter().map(stage).max().unwrap_or(0);
        AssistantLengths {
            scratch: most.max(rows * network.classes * SCRATCH_WORDS),
            tables: softmax(session, network).table_len(),
        }
    }
}

/// 64-bit words of the assistant's arena.
pub fn assistant_words(session: &Session, network: &Network) -> usize {
    let lengths = AssistantLengths::new(session, network);
    lengths.scratch + 2 * lengths.tables
}

/// Divides a scratch buffer: each method takes memory from its front. Memory keeps its old content.
pub(super) struct ScratchSplitter<'a>(pub &'a mut [u64]);

impl<'a> ScratchSplitter<'a> {
    /// Takes `len` words, or all that is left if that is less.
    pub fn take(&mut self, len: usize) -> &'a mut [u64] {
        let all = core::mem::take(&mut self.0);
        let (taken, rest) = all.split_at_mut(len.min(all.len()));
        self.0 = rest;
        taken
    }

    /// Takes the memory of a product for a computing party.
    pub fn product_memory(&mut self, map: Map) -> Memory<'a> {
        let [masked, _, scratch] = map.memory_len();
        Memory {
            masked: self.take(masked),
            other: &mut [],
            scratch: self.take(scratch),
        }
    }

    /// Takes the memory of a product for the assistant.
    pub fn assistant_product_memory(&mut self, map: Map) -> Memory<'a> {
        let [_, other, _] = map.memory_len();
        Memory {
            other: self.take(other),
            ..self.product_memory(map)
        }
    }

    /// Takes the scratch of a computing party's gate for `len` elements.
    pub fn gate_scratch(&mut self, len: usize) -> Scratch<'a> {
        Scratch {
            bits: bytemuck::cast_slice_mut(self.take(8 * len)),
            words: core::array::from_fn(|_| self.take(len)),
        }
    }

    /// Takes the scratch of a gate without comparisons, or of the assistant's part of any gate, for `len` elements.
    pub fn word_scratch(&mut self, len: usize) -> Scratch<'a> {
        Scratch {
            bits: &mut [],
            words: core::array::from_fn(|list| {
                self.take(if list < SCRATCH_WORDS { len } else { 0 })
            }),
        }
    }
}
