//! What the roles of a run must agree on before it starts.

mod cost_row_names;
mod error;
pub mod handshake;
mod protocol;
mod run_error;
mod shuffle;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Model, triple_scheme::TripleScheme},
    network::Network,
    num::fixed_point::Format,
    share::Role,
};

pub use shuffle::Shuffle;

pub use cost_row_names::cost_row_names;
pub use error::SessionError;
pub use protocol::Protocol;
pub use run_error::RunError;

/// The public parameters of a training run. Every role holds the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The network.
    pub model: Model,
    /// Widths of the ring and of its fractions.
    pub format: Format,
    /// What the parties do.
    pub task: Task,
    /// The protocol that they do it by.
    pub protocol: Protocol,
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
    pub shuffle_seed: u64,
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
pub use crate::num::fixed_point::RATE_FRACTION;

/// The most samples of a batch.
const MAX_BATCH: u32 = 1 << 20;

/// The most values of a tensor of one micro-batch. Where memory has 32-bit addresses, so few that the
/// lengths of all buffers can be counted in them.
const MAX_MICRO_BATCH_VALUES: u64 = if usize::BITS > 32 { 1 << 28 } else { 1 << 22 };

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
    /// The network that the model describes, with convolutions as products of matrices where triples are made for
    /// those.
    #[inline(never)]
    pub(crate) fn network(&self) -> Result<Network, SessionError> {
        let mut network = Network::EMPTY;
        network.compile_in_place(&self.model)?;
        if self.protocol.triples() == TripleScheme::Baseline {
            network.unroll();
        }
        Ok(network)
    }

    /// Checks what does not depend on widths.
    #[inline(never)]
    pub(crate) fn check_sizes(&self, network: &Network) -> Result<(), SessionError> {
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
        match self.protocol {
            Protocol::SecureNn { .. } => [u64::BITS, 2 * self.format.fraction],
            Protocol::Dealt { .. } => [self.format.wide(), self.format.master()],
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
    pub fn shuffle(&self) -> Shuffle {
        Shuffle::new(self.total_samples(), self.shuffle_seed)
    }

    /// The samples in rows `first..first + out.len()` of a batch. Within a batch P0's samples come
    /// first, so that what each owner opens is in one piece; otherwise the epoch's order holds.
    pub fn batch_samples(&self, batch: Batch, first: u32, out: &mut [u32]) {
        let shuffle = self.shuffle();
        let mut row = 0u32;
        for owner in Role::BOTH {
            for position in batch.first..batch.first + batch.len {
                let sample = shuffle.sample(batch.epoch, position);
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
}

#[cfg(test)]
mod tests;
