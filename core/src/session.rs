//! What the roles of a run must agree on before it starts.

mod error;

use serde::{Deserialize, Serialize};

use crate::{
    Role,
    fixed::Format,
    gate::{polynomial::PolynomialGate, softmax::Softmax},
    loss::Loss,
    model::Model,
    network::{Activation, Network, Stage},
    order::Order,
    ring::Ring,
    securenn::{self, scale::Rate},
    triples::Triples,
};

pub use error::SessionError;

/// The public parameters of a training run. Every role holds the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The network.
    pub model: Model,
    /// Widths of the ring and of its fractions.
    pub format: Format,
    /// What the parties do.
    pub task: Task,
    /// What openings are made for.
    pub triples: Triples,
    /// SecureNN's protocols with this loss, an assistant in the dealer's place; none for a dealer.
    pub assisted: Option<Loss>,
    /// Samples that P0 and P1 own. P0's come first in the numbering.
    pub samples: [u32; 2],
    /// Samples of an iteration; the last one of an epoch may have fewer.
    pub batch: u32,
    /// Samples that are worked on at a time within an iteration.
    pub micro_batch: u32,
    /// Passes over the data.
    pub epochs: u32,
    /// Stops the run after this many iterations; 0 for no limit.
    pub limit: u32,
    /// Learning rate, in units of 2^-24.
    pub learning_rate: u32,
    /// Momentum, in units of 2^-24, below 1.
    pub momentum: u32,
    /// Seed of the public order of samples.
    pub order: u64,
    /// Who learns the trained model, if anyone.
    pub receiver: Option<Role>,
    /// Every so many iterations of training, from the first on, the parties learn how many values left the range
    /// contract; 0 for never.
    pub audit: u32,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Task {
    /// The model learns from the samples of both parties.
    Train,
    /// The model of the party that has no samples finds the classes of the other's; the samples' owner alone learns
    /// them.
    Infer,
}

/// Fraction bits of [`Session::learning_rate`] and [`Session::momentum`].
pub use crate::fixed::RATE_FRACTION;

/// The most samples of a batch.
const MAX_BATCH: u32 = 1 << 20;

/// The most values of a tensor of one micro-batch. Where memory has 32-bit addresses, so few that the
/// lengths of all buffers can be counted in them.
const MAX_MICRO_BATCH_VALUES: u64 = if usize::BITS > 32 { 1 << 28 } else { 1 << 22 };

/// The fewest bits of a gradient under its range contract.
const MIN_GRADIENT_BITS: u32 = 4;

/// The greatest power of two by which gradients are scaled up, so that small ones stay above one unit.
const GRADIENT_EXPONENT: i32 = 5;

/// Bits of the range contract, before the binary point, that scaled gradients have for themselves: a
/// gradient of the mean loss stays below 4.
const GRADIENT_RANGE_BITS: i32 = 2;

/// The samples of one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The iteration, from 0.
    pub iteration: u32,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Place of the first sample in the epoch's order.
    pub first: u32,
    /// Number of samples.
    pub len: u32,
}

impl Batch {
    /// The micro-batches: place of the first row in the batch, and number of rows.
    pub fn micro_batches(self, size: u32) -> impl Iterator<Item = (u32, u32)> {
        (0..self.len)
            .step_by(size.max(1) as usize)
            .map(move |first| (first, size.min(self.len - first)))
    }
}

impl Session {
    /// Checks the parameters against each other and makes the network ready.
    #[inline(never)]
    pub fn check<R: Ring>(&self) -> Result<Network, SessionError> {
        if self.assisted.is_some() {
            return Err(SessionError::Assisted);
        }
        self.format.check::<R>()?;
        let mut network = Network::EMPTY;
        network.gather(&self.model)?;
        if self.triples == Triples::Baseline {
            network.unroll();
        }
        self.check_with::<R>(&network)?;
        Ok(network)
    }

    /// The same for a session with an assistant, whose values are in Z_2^64.
    pub fn check_assisted(&self) -> Result<Network, SessionError> {
        if self.assisted.is_none() {
            return Err(SessionError::Assisted);
        }
        self.format.check::<u64>()?;
        let mut network = Network::EMPTY;
        network.gather(&self.model)?;
        if self.triples == Triples::Baseline {
            network.unroll();
        }
        self.check_sizes(&network)?;
        for (there, what) in [
            (self.format.is_direct(), "weights at full precision"),
            (self.audit != 0, "range audit"),
            (
                network.stages.iter().any(is_polynomial),
                "polynomials: ReLU is exact there",
            ),
            (
                network.stages.iter().any(securenn::maxpool::is_too_large),
                "max pooling over windows larger than 8x8",
            ),
        ] {
            if there {
                return Err(SessionError::NotAssisted(what));
            }
        }
        let steps = u64::from(self.iterations()) * u64::from(self.batch.div_ceil(self.micro_batch));
        if steps > u32::MAX.into() {
            return Err(SessionError::TooLong);
        }
        let softmax = Softmax {
            format: self.format,
            classes: network.classes,
            exponent: 0,
        };
        if !softmax.fits::<u64>() {
            return Err(SessionError::Gradients);
        }
        let rates = (0..network.stages.len()).all(|stage| {
            Rate::steps([self.learning_rate, self.batch], &network.stages[stage])
                .iter()
                .all(Option::is_some)
        });
        if self.task == Task::Train && !rates {
            return Err(SessionError::LearningRate);
        }
        Ok(network)
    }

    /// Checks what does not depend on widths.
    #[inline(never)]
    fn check_sizes(&self, network: &Network) -> Result<(), SessionError> {
        for (what, value) in [
            ("the batch size", self.batch),
            ("the micro-batch size", self.micro_batch),
            ("the number of epochs", self.epochs),
        ] {
            if value == 0 {
                return Err(SessionError::Zero(what));
            }
        }
        let samples = self.samples[0]
            .checked_add(self.samples[1])
            .ok_or(SessionError::TooLong)?;
        if samples == 0 {
            return Err(SessionError::Zero("the number of samples"));
        }
        if self.batch > samples {
            return Err(SessionError::Batch {
                batch: self.batch,
                samples,
            });
        }
        if self.micro_batch > self.batch {
            return Err(SessionError::MicroBatch);
        }
        let largest = network
            .stages
            .iter()
            .flat_map(|stage| {
                // An operand laid out patch by patch may have more values than a usize can count.
                let (linear, rows) = stage.product();
                [
                    stage.entering_len() as u64,
                    linear.input_len() as u64 * rows as u64,
                    linear.output_len() as u64 * rows as u64,
                ]
            })
            .max();
        let values = largest.unwrap_or(0).saturating_mul(self.micro_batch.into());
        if self.batch > MAX_BATCH || values > MAX_MICRO_BATCH_VALUES {
            return Err(SessionError::TooLarge);
        }
        self.epochs
            .checked_mul(self.iterations_per_epoch())
            .ok_or(SessionError::TooLong)?;
        if self.momentum >= 1 << RATE_FRACTION {
            return Err(SessionError::Momentum);
        }
        let one_owner = self.samples.contains(&0) && self.receiver.is_none() && self.epochs == 1;
        if self.task == Task::Infer && !one_owner {
            return Err(SessionError::Owners);
        }
        Ok(())
    }

    /// Checks the parameters against a network.
    #[inline(never)]
    fn check_with<R: Ring>(&self, network: &Network) -> Result<(), SessionError> {
        self.check_sizes(network)?;
        if self.format.is_direct() && self.momentum != 0 {
            return Err(SessionError::MomentumInDirect);
        }
        let softmax = Softmax {
            format: self.format,
            classes: network.classes,
            exponent: self.softmax_exponent(network),
        };
        let room = self.format.narrow() - MIN_GRADIENT_BITS;
        let inner = 0..network.stages.len() - 1;
        if !softmax.fits::<R>()
            || inner
                .into_iter()
                .any(|stage| self.gradient_drop(network, stage) > room)
        {
            return Err(SessionError::Gradients);
        }
        for (index, stage) in network.stages.iter().enumerate() {
            if let Some(Activation::Polynomial(polynomial, _)) = stage.activation {
                let drop = self.gradient_drop(network, index);
                if !PolynomialGate::new(polynomial, self.format, self.triples, drop).fits() {
                    return Err(SessionError::Polynomial(stage.activation_name.clone()));
                }
            }
        }
        if self.task == Task::Infer {
            return Ok(());
        }
        for stage in 0..network.stages.len() {
            let rates = self.rates(network, stage);
            if rates
                .iter()
                .any(|&rate| rate == 0 || rate >> (2 * R::BITS - 16).min(63) != 0)
            {
                return Err(SessionError::LearningRate);
            }
        }
        Ok(())
    }

    /// Whether any iteration is audited. Inference is not.
    pub fn has_audits(&self) -> bool {
        self.audit > 0 && self.task == Task::Train
    }

    /// Whether an iteration is audited: the first, and every so many after it.
    pub fn is_audited(&self, iteration: u32) -> bool {
        self.has_audits() && iteration.is_multiple_of(self.audit)
    }

    /// The party whose samples are classified, in inference.
    pub fn asking(&self) -> Role {
        match self.samples {
            [0, _] => Role::P1,
            _ => Role::P0,
        }
    }

    /// The party whose model classifies, in inference: the one that does not ask.
    pub fn model_owner(&self) -> Option<Role> {
        match self.task {
            Task::Train => None,
            Task::Infer => Some(self.asking().other()),
        }
    }

    /// The ring of the master weights, in bits, and their fraction bits.
    pub fn master(&self) -> [u32; 2] {
        match self.assisted {
            Some(_) => [u64::BITS, 2 * self.format.fraction],
            None => [self.format.wide(), self.format.master()],
        }
    }

    /// All samples.
    pub fn total_samples(&self) -> u32 {
        self.samples[0] + self.samples[1]
    }

    /// Iterations of a whole epoch.
    pub fn iterations_per_epoch(&self) -> u32 {
        self.total_samples().div_ceil(self.batch)
    }

    /// Iterations of the run.
    pub fn iterations(&self) -> u32 {
        let all = self.epochs * self.iterations_per_epoch();
        if self.limit == 0 {
            all
        } else {
            all.min(self.limit)
        }
    }

    /// The samples of an iteration.
    pub fn batch(&self, iteration: u32) -> Batch {
        let epoch = iteration / self.iterations_per_epoch();
        let first = iteration % self.iterations_per_epoch() * self.batch;
        Batch {
            iteration,
            epoch,
            first,
            len: self.batch.min(self.total_samples() - first),
        }
    }

    /// The order in which samples are visited.
    pub fn order(&self) -> Order {
        Order::new(self.total_samples(), self.order)
    }

    /// The samples in rows `first..first + out.len()` of a batch. Within a batch P0's samples come
    /// first, so that what each owner opens is in one piece; otherwise the epoch's order holds.
    pub fn batch_samples(&self, batch: Batch, first: u32, out: &mut [u32]) {
        let order = self.order();
        let mut row = 0u32;
        for owner in Role::BOTH {
            for position in batch.first..batch.first + batch.len {
                let sample = order.sample(batch.epoch, position);
                if self.owner(sample) == owner {
                    let place = row.checked_sub(first).map(|place| place as usize);
                    if let Some(out) = place.and_then(|place| out.get_mut(place)) {
                        *out = sample;
                    }
                    row += 1;
                }
            }
        }
    }

    /// Whose sample it is.
    pub fn owner(&self, sample: u32) -> Role {
        crate::gate::tensor::owner(sample, self.samples[0])
    }

    /// The number of a sample among its owner's.
    pub fn own_number(&self, sample: u32) -> u32 {
        match self.owner(sample) {
            Role::P0 => sample,
            Role::P1 => sample - self.samples[0],
        }
    }

    /// log2 of the batch size, rounded up.
    fn batch_bits(&self) -> i32 {
        self.batch.next_power_of_two().trailing_zeros() as i32
    }

    /// Power of two at which the gradient by a stage's output is scaled, for the mean over the batch
    /// (or up to half of it less, for batch sizes that are no power of two). A stage whose weights
    /// carry a pool's divisor, or any after it, gives up as many bits: what its gradient by the
    /// weights sums is larger by the divisor, and has to meet the same range contract.
    fn gradient_exponent(&self, network: &Network, stage: usize) -> i32 {
        let given_up = network.stages[stage..].iter().map(Stage::divisor_bits);
        let range = self.format.narrow() as i32 - 2 - self.format.fraction as i32;
        GRADIENT_EXPONENT.min(range - GRADIENT_RANGE_BITS) - given_up.max().unwrap_or(0) as i32
    }

    /// Power of two at which the gradient by the logits is scaled, beside the fraction bits: each
    /// sample has its part of the mean.
    pub fn softmax_exponent(&self, network: &Network) -> i32 {
        self.gradient_exponent(network, network.stages.len() - 1) - self.batch_bits()
    }

    /// Bits that the gradient by the output of stage `to` gives up against that of the next stage.
    pub fn gradient_drop(&self, network: &Network, to: usize) -> u32 {
        let fall = self.gradient_exponent(network, to + 1) - self.gradient_exponent(network, to);
        fall.unsigned_abs()
    }

    /// Integers by which the velocities of a stage's weights and biases are multiplied and taken off
    /// the master weights: learning rate, gradient scale, batch size and divisor in one.
    pub fn rates(&self, network: &Network, stage: usize) -> [u64; 2] {
        // A step is the mean gradient times 2^(its scale + exponent) * batch / 2^batch_bits. That of
        // weights is larger by the divisor, by which the master weights are smaller.
        let shift = (self.format.master() - self.format.step()) as i32 + self.batch_bits()
            - self.gradient_exponent(network, stage)
            - RATE_FRACTION as i32;
        let rate = |divisor: u32| {
            let over = u128::from(self.batch) * u128::from(divisor).pow(2);
            let (up, down) = (shift.max(0) as u32, (-shift).max(0) as u32);
            let numerator = u128::from(self.learning_rate) << up;
            let denominator = over << down;
            u64::try_from((numerator + denominator / 2) / denominator).unwrap_or(u64::MAX)
        };
        [rate(network.stages[stage].divisor), rate(1)]
    }

    /// Momentum in units of 2^-f.
    pub fn momentum_units(&self) -> u32 {
        let drop = RATE_FRACTION - self.format.fraction;
        (self.momentum + (1 << drop >> 1)) >> drop
    }
}

fn is_polynomial(stage: &Stage) -> bool {
    matches!(stage.activation, Some(Activation::Polynomial(..)))
}

#[cfg(test)]
mod tests;
