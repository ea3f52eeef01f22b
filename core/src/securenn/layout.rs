//! Lengths of the buffers that the roles cut their memory into, in 64-bit words.

use crate::{
    gate::softmax::Softmax,
    network::{Activation, Network, Stage},
    session::Session,
};

use super::gates::{
    Scratch,
    linear::{Map, Memory, Wanted},
};

/// Words of [`Scratch`] for one element: 64 field elements, and its lists of words.
const SCRATCH: usize = 64 / 8 + 6;
/// The same where nothing is compared, and for the assistant: no field elements, and three lists of words.
const SCRATCH_WORDS: usize = 3;

/// The softmax of a session with an assistant: probabilities at the logits' scale.
pub(super) fn softmax(session: &Session, network: &Network) -> Softmax {
    Softmax {
        format: session.format,
        classes: network.classes,
        exponent: 0,
    }
}

/// The product of a stage that is wanted, for `rows` samples.
pub(super) fn map(stage: &Stage, wanted: Wanted, rows: usize) -> Map {
    let (linear, rows_each) = stage.product();
    Map {
        linear,
        wanted,
        rows: rows * rows_each,
    }
}

/// Places of a stage's windows, if it has max pooling, brought to a power of two for the way back.
pub(super) fn turned_places(places: usize) -> usize {
    places.next_power_of_two().max(2)
}

/// Values that each sample may have at once on its way through a stage.
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
    pub parameters: usize,
    pub operand: usize,
    pub derivative: usize,
    pub place: usize,
}

impl StageLengths {
    pub fn new(stages: &[Stage], index: usize, rows: usize) -> Self {
        let stage = &stages[index];
        let made = match index {
            0 => 0,
            _ => stages[index - 1].linear.output_len(),
        };
        let relu = stage.activation == Some(Activation::Relu);
        let kept = |there| if there { rows * stage.leaving_len() } else { 0 };
        StageLengths {
            parameters: stage.parameters(),
            operand: rows * made.max(stage.entering_len()),
            derivative: kept(relu),
            place: kept(stage.max_pool.is_some()),
        }
    }

    fn words(&self) -> usize {
        2 * self.parameters + self.operand + self.derivative + self.place
    }
}

/// A party's buffers for all stages.
pub(super) struct Lengths {
    /// Values on their way: two buffers.
    pub values: usize,
    /// The left operand of a product, where patches are laid out.
    pub patches: usize,
    /// The right operand of a product.
    pub right: usize,
    /// A gradient by weights.
    pub gradient: usize,
    /// What gates work in.
    pub scratch: usize,
    /// Samples of a micro-batch.
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
            // Sums, remainders, derivatives.
            classes * (5 + SCRATCH),
            // Planes, places and steps of the largest logit.
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

/// What each product of a stage works in.
fn products(stage: &Stage, rows: usize) -> impl Iterator<Item = [usize; 3]> + '_ {
    [
        Wanted::Output,
        Wanted::WeightGradient,
        Wanted::InputGradient,
    ]
    .into_iter()
    .map(move |wanted| map(stage, wanted, rows).memory_len())
}

fn stage_scratch(stage: &Stage, rows: usize) -> usize {
    let maps = products(stage, rows).map(|[masked, _, scratch]| masked + scratch);
    let len = rows * stage.leaving_len();
    let pool = stage.max_pool.map_or(0, |windows| {
        let places = windows.places();
        // One image, all planes, the steps; or on the way back the bits, the gradients and their product.
        let forward = windows.places() * windows.output_len() + len * (places + 2 + SCRATCH);
        let back = len * (turned_places(places) + places + (3 * places).max(SCRATCH_WORDS));
        forward.max(back + places * windows.output_len())
    });
    maps.max().unwrap_or(0).max(pool).max(len * SCRATCH)
}

/// 64-bit words of a party's arena.
pub fn party_words(session: &Session, network: &Network) -> usize {
    let rows = session.micro_batch as usize;
    let stage = |index| StageLengths::new(&network.stages, index, rows).words();
    (0..network.stages.len()).map(stage).sum::<usize>()
        + Lengths::new(session, network, rows).words()
}

/// The assistant's buffers.
pub(super) struct AssistantLengths {
    /// What gates work in.
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
                len * (turned_places(windows.places()) + SCRATCH_WORDS)
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

/// What is left of a scratch buffer.
pub(super) struct Cut<'a>(pub &'a mut [u64]);

impl<'a> Cut<'a> {
    /// Cuts off `len` words, with whatever was in them.
    pub fn words(&mut self, len: usize) -> &'a mut [u64] {
        let all = core::mem::take(&mut self.0);
        let (taken, rest) = all.split_at_mut(len.min(all.len()));
        self.0 = rest;
        taken
    }

    /// What a party's product works in.
    pub fn memory(&mut self, map: Map) -> Memory<'a> {
        let [masked, _, scratch] = map.memory_len();
        Memory {
            masked: self.words(masked),
            other: &mut [],
            scratch: self.words(scratch),
        }
    }

    /// What an assistant's product works in.
    pub fn assistant_memory(&mut self, map: Map) -> Memory<'a> {
        let [_, other, _] = map.memory_len();
        Memory {
            other: self.words(other),
            ..self.memory(map)
        }
    }

    /// What a party's gates work in, for `len` elements.
    pub fn scratch(&mut self, len: usize) -> Scratch<'a> {
        Scratch {
            bits: bytemuck::cast_slice_mut(self.words(8 * len)),
            words: core::array::from_fn(|_| self.words(len)),
        }
    }

    /// What gates without comparisons work in, and the assistant's gates, for `len` elements.
    pub fn scratch_words(&mut self, len: usize) -> Scratch<'a> {
        Scratch {
            bits: &mut [],
            words: core::array::from_fn(|list| {
                self.words(if list < SCRATCH_WORDS { len } else { 0 })
            }),
        }
    }
}
