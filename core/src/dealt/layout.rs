//! Lengths of the buffers in the arenas of parties and dealer.

#[cfg(feature = "contributions")]
use crate::dealt::contributed_samples::ContributedSamples;
#[cfg(feature = "private-training")]
use crate::gate::clip_factor::ClipFactor;
use crate::{
    Role,
    dealt::gate_set::GateSet,
    gate::{bilinear::Bilinear, plane_len},
    network::{Activation, Network, Stage},
    num::{arena::words, ring::Ring},
    session::{Session, Task},
};

/// Lengths of a party's buffers for one stage, in elements.
pub(crate) struct StageLengths {
    /// Ring words, one for each parameter.
    pub weights: usize,
    /// Bytes of the parameters' lower parts.
    pub low_bytes: usize,
    /// Ring words, one for each parameter in training.
    pub velocity: usize,
    /// Bytes of the last velocities, which Nesterov's momentum needs.
    pub last_velocity: usize,
    /// Ring words that hold velocities while the gradient is summed apart, to be clipped.
    pub held: usize,
    /// Ring words of the weights' second opening.
    pub reopened_weights: usize,
    /// Ring words of the stage's input, before pooling and unrolling or after, whichever is longer.
    pub operand: usize,
    /// Ring words of the stage's input that a later addition takes, and in the backward pass of the gradient by it.
    pub skip: usize,
    /// Bytes of the ReLU's masked signs.
    pub sign: usize,
    /// Ring words of P1's shares of the bits that mask the signs, in training.
    pub sign_masks: usize,
    /// Bytes of the masked signs of the max pooling's differences.
    pub pool_sign: usize,
    /// As `sign_masks`, for `pool_sign`.
    pub pool_sign_masks: usize,
    /// 64-bit words of the openings that a polynomial keeps for the backward pass.
    pub kept: usize,
}

/// Lengths of a party's buffers, in elements.
pub(crate) struct Lengths {
    /// Ring words of the two buffers of gradients: see [`gradients`]. In inference they hold the logits, and the
    /// products of unrolled convolutions.
    pub gradients: [usize; 2],
    /// 64-bit words of scratch.
    pub scratch: usize,
    /// 64-bit words of the samples of a micro-batch.
    pub samples: usize,
    /// Ring words of the shares of the labels of contributions.
    #[cfg(feature = "contributions")]
    pub labels: usize,
    /// What private gradients take.
    #[cfg(feature = "private-training")]
    pub private: PrivateLengths,
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
        // The stage before writes the output of its map here, and max pools it in place.
        let map_len = match index {
            0 => 0,
            _ => stages[index - 1].linear.output_len(),
        };
        let before = stage
            .entering_len()
            .max(stage.linear.input_len())
            .max(map_len);
        let pool = stage
            .max_pool
            .map(|windows| gates.max_pool::<R>(windows, 0));
        // Inference has no backward pass and keeps nothing for it.
        let train = session.task == Task::Train;
        let keeps_masks = train && role == Role::P1;
        StageLengths {
            weights: stage.parameters(),
            low_bytes: stage.parameters() * session.format.fine() as usize / 8,
            velocity: if train { stage.parameters() } else { 0 },
            last_velocity: match train {
                true => last_velocity_len(session, stage.parameters()),
                false => 0,
            },
            held: match train && session.clips() {
                true => stage.parameters(),
                false => 0,
            },
            reopened_weights: reopened_weights_len(session, stage),
            operand: rows * before.max(stage.operand_len()),
            skip: rows * stage.kept_len(),
            kept: rows * out * kept,
            sign: if relu { rows * plane_len(out) } else { 0 },
            sign_masks: if relu && keeps_masks { rows * out } else { 0 },
            pool_sign: pool.map_or(0, |pool| pool.sign_len(rows)),
            pool_sign_masks: match pool {
                Some(pool) if keeps_masks => pool.hide_len(rows),
                _ => 0,
            },
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let ring = size_of::<R>();
        [
            self.weights,
            self.velocity,
            self.held,
            self.reopened_weights,
            self.operand,
            self.skip,
            self.sign_masks,
            self.pool_sign_masks,
        ]
        .map(|len| words(len, ring))
        .iter()
        .sum::<usize>()
            + words(self.low_bytes, 1)
            + words(self.last_velocity, 1)
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
            // One sample before pooling or unrolling, or one bias for each channel.
            let sample = match stage.unrolled || stage.pooled_input.is_some() {
                true => stage.entering_len().max(stage.linear.input_len()),
                false => 0,
            };
            let single = words(sample, ring).max(words(stage.linear.channels(), ring));
            scratch = scratch.max(bilinear).max(activation).max(single);
        }
        #[cfg(feature = "contributions")]
        if session.contributions.is_some() {
            // A contribution at a time.
            let bytes = ContributedSamples::new(session, network).bytes();
            scratch = scratch.max(words(bytes, 1));
        }
        let (lengths, last) = match session.task {
            Task::Train => {
                let softmax = gates.softmax;
                let labels = softmax.labels_len(rows) + softmax.weights_len(rows);
                let clipped = match session.clips() {
                    true => clip_scratch_len::<R>(gates, network),
                    false => 0,
                };
                #[cfg(feature = "private-training")]
                let clipped = clipped.max(factor_scratch_len(session, network, rows));
                let len = (labels + softmax.scratch_len(rows)).max(clipped);
                (gradients(network), len)
            }
            Task::Infer | Task::Evaluate => {
                let argmax = gates.argmax().scratch_len(rows);
                ([network.classes, unrolled(network)], argmax)
            }
        };
        Lengths {
            gradients: lengths.map(|len| rows * len),
            scratch: scratch.max(last),
            samples: words(rows, size_of::<u32>()),
            #[cfg(feature = "contributions")]
            labels: match session.contributions {
                Some(_) => rows * network.classes,
                None => 0,
            },
            #[cfg(feature = "private-training")]
            private: PrivateLengths::new(session, network, rows),
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let gradients = self.gradients.map(|len| words(len, size_of::<R>()));
        let all = gradients[0] + gradients[1] + self.scratch + self.samples;
        #[cfg(feature = "contributions")]
        let all = all + words(self.labels, size_of::<R>());
        #[cfg(feature = "private-training")]
        let all = all + self.private.words::<R>();
        all
    }
}

/// Values of the two gradient buffers, per sample.
///
/// Each stage of the backward pass reads the gradient by its output from one buffer and writes the gradient by its
/// input to the other, in turns. A stage that is unrolled or pools its input swaps the buffers once more, so both then
/// need the length of the largest gradient.
fn gradients(network: &Network) -> [usize; 2] {
    let mut lengths = [0; 2];
    for (step, stage) in network.stages.iter().rev().enumerate() {
        let len = &mut lengths[step % 2];
        *len = stage.linear.output_len().max(*len);
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

/// Values of the largest product of an unrolled convolution, before average pooling, per sample.
fn unrolled(network: &Network) -> usize {
    let stages = network.stages.iter().filter(|stage| stage.unrolled);
    stages.map(Stage::product_len).max().unwrap_or(0)
}

/// Weights of a stage that a session opens a second time, for the gradient by the input.
pub(crate) fn reopened_weights_len(session: &Session, stage: &Stage) -> usize {
    if session.protocol.triples().reuse() || session.task != Task::Train {
        0
    } else {
        stage.linear.weight_len()
    }
}

/// 64-bit words in which a party clips the gradient of the stage with the most parameters: two copies of it, the signs, and the
/// scratch of the comparison.
fn clip_scratch_len<R: Ring>(gates: GateSet, network: &Network) -> usize {
    let clip = gates.clip::<R>();
    let of_stage = |stage: &Stage| {
        let len = stage.parameters();
        words(2 * len, size_of::<R>())
            + words(2 * plane_len(len), 1)
            + words(clip.scratch_len(2, len), 1)
    };
    network.stages.iter().map(of_stage).max().unwrap_or(0)
}

/// Bytes in which a party keeps the last velocities of so many parameters for Nesterov's momentum.
fn last_velocity_len(session: &Session, parameters: usize) -> usize {
    match session.has_nesterov() {
        true => parameters * session.format.wide() as usize / 8,
        false => 0,
    }
}

/// 64-bit words of the dealer's scratch.
pub(crate) fn dealer_scratch<R: Ring>(session: &Session, network: &Network, rows: usize) -> usize {
    let most = |stage: &Stage| {
        let (linear, rows_each) = stage.product();
        Bilinear(linear).dealer_scratch_len(rows * rows_each)
    };
    let most = network.stages.iter().map(most).max().unwrap_or(0);
    let scratch = words(most, size_of::<R>());
    #[cfg(feature = "private-training")]
    if session.privacy().is_some() {
        // Besides, the products of one sample; and later the tables of the factors.
        let products = network.stages.iter().map(|stage| stage.linear.weight_len());
        let products = words(products.max().unwrap_or(0), size_of::<R>());
        return (scratch + products).max(2 * ClipFactor::DEALER_PAIRS);
    }
    #[cfg(not(feature = "private-training"))]
    let _ = session;
    scratch
}

/// Sums of a stage's gradients that the dealer completes at the end of an iteration: those by the weights, and where the gradients of
/// single samples are scaled also those by the biases.
pub(crate) fn summed_len(session: &Session, stage: &Stage) -> usize {
    match session.privacy() {
        Some(_) => stage.parameters(),
        None => stage.linear.weight_len(),
    }
}

/// Lengths of a party's buffers for private gradients, in elements; zero in other sessions.
#[cfg(feature = "private-training")]
pub(crate) struct PrivateLengths {
    /// Ring words of the gradients of a micro-batch's samples by a stage's parameters. There are two such buffers.
    pub gradients: usize,
    /// 64-bit words, and ring words, one for each sample of a micro-batch.
    pub rows: usize,
}

#[cfg(feature = "private-training")]
impl PrivateLengths {
    pub fn new(session: &Session, network: &Network, rows: usize) -> Self {
        let rows = session.privacy().map_or(0, |_| rows);
        let parameters = network.stages.iter().map(Stage::parameters).max();
        PrivateLengths {
            gradients: rows * parameters.unwrap_or(0),
            rows,
        }
    }

    pub fn words<R: Ring>(&self) -> usize {
        let ring = size_of::<R>();
        2 * words(self.gradients, ring) + self.rows + words(self.rows, ring)
    }
}

/// 64-bit words of scratch in which a party computes the factors of a micro-batch of so many samples.
#[cfg(feature = "private-training")]
fn factor_scratch_len(session: &Session, network: &Network, rows: usize) -> usize {
    let clips =
        (0..network.stages.len()).filter_map(|stage| session.sample_clip(network, stage)?);
    let bytes = clips.map(|clip| clip.factor.scratch_len(rows)).max();
    words(bytes.unwrap_or(0), 1)
}

/// Bytes of a training party's state of so many parameters: a master share of each, with momentum a velocity, with
/// Nesterov's the last one too, and the sum of losses if they are revealed.
pub fn state_len(session: &Session, parameters: usize) -> usize {
    let mut bits = session.format.wide();
    if session.momentum > 0 {
        bits += session.format.ring;
    }
    let loss = match session.reveal_loss {
        true => size_of::<u64>(),
        false => 0,
    };
    parameters * (bits as usize / 8) + last_velocity_len(session, parameters) + loss
}
