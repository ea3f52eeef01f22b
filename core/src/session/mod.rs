//! The public parameters of a run, on which all roles agree in the handshake.

mod class_list;
#[cfg(feature = "extended-training")]
mod class_weights;
#[cfg(not(feature = "extended-training"))]
#[path = "no_class_weights.rs"]
mod class_weights;
mod coins;
mod contribution_list;
mod cost_row_names;
mod epochs;
mod error;
pub mod handshake;
mod headroom;
mod known_backbone;
mod loss;
#[cfg(feature = "private-training")]
mod privacy;
#[cfg(not(feature = "private-training"))]
#[path = "no_privacy.rs"]
mod privacy;
mod progress;
mod protocol;
mod rank;
mod run_error;
mod shuffle;
mod smooth_label;
pub(crate) mod state;
mod training_options;
mod validation;

use serde::{Deserialize, Serialize};

use crate::{
    data::Normalisation,
    model::{Model, triple_scheme::TripleScheme},
    network::Network,
    num::fixed_point::Format,
    share::Role,
};

pub use shuffle::Shuffle;
pub(crate) use smooth_label::SmoothLabel;

pub use class_list::ClassList;
pub use class_weights::ClassWeights;
pub use coins::Coins;
pub use contribution_list::{ContributionList, Contributions, EarlierEpochs};
pub use cost_row_names::cost_row_names;
pub use error::SessionError;
pub use headroom::Headroom;
pub use known_backbone::KnownBackbone;
pub use loss::EpochLoss;
pub use privacy::{NOISE_FRACTION, Privacy};
pub(crate) use progress::Progress;
pub use protocol::Protocol;
pub use rank::{MAX_RANKS, OneRank, Rank, RankLost, Ranks};
pub use run_error::RunError;
pub(crate) use training_options::EXTENDED;
pub use training_options::{Schedule, TrainingOptions};
pub use validation::Validation;

/// The public parameters of a run. All roles hold the same, but for [`ClassList`] and [`KnownBackbone`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The model.
    pub model: Model,
    /// Width of the ring, and fraction bits of values and weights.
    pub format: Format,
    /// Range beyond the format's, by stage.
    pub headroom: Headroom,
    /// How pixels become numbers.
    pub normalisation: Normalisation,
    /// Training or inference.
    pub task: Task,
    /// The protocol, with its own options.
    pub protocol: Protocol,
    /// Number of samples of P0 and of P1. P0's are numbered first.
    pub samples: [u32; 2],
    /// The contributions that are the samples, if neither party owns them; their number then stands for P0's.
    pub contributions: Option<Contributions>,
    /// Samples of an iteration; the last iteration of an epoch may have fewer. Where owners draw them in secret, their mean number.
    pub batch: u32,
    /// Samples of a micro-batch, at most a batch: the parties work on that many at a time.
    pub micro_batch: u32,
    /// Passes over the data.
    pub epochs: u32,
    /// The most iterations of the run; 0 for no limit.
    pub limit: u32,
    /// Learning rate with [`RATE_FRACTION`] fraction bits.
    pub learning_rate: u32,
    /// Momentum with [`RATE_FRACTION`] fraction bits, below 1.
    pub momentum: u32,
    /// Schedule of the learning rate, weight decay, smoothed labels and initial weights.
    pub training: TrainingOptions,
    /// How much the samples of each class count.
    pub class_weights: ClassWeights,
    /// Seed of the public shuffle, and of the coins of dropouts.
    pub shuffle_seed: u64,
    /// The party that learns the trained model, if one does.
    pub receiver: Option<Role>,
    /// The party whose model a training begins with. If there is none, each party draws a part of the initial weights.
    pub initial_model: Option<Role>,
    /// Whether both parties learn the mean loss of each whole epoch.
    pub reveal_loss: bool,
    /// Iterations from one audit of the range contract to the next. The first iteration is audited. 0 for no audit.
    pub audit: u32,
    /// The classes that labels stand for. Roles may know them or not.
    pub classes: ClassList,
    /// The public layers by which images became samples. Roles may know them or not.
    pub backbone: KnownBackbone,
}

/// The task of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Task {
    /// The model learns from the samples of both parties.
    Train,
    /// The model of the party without samples classifies the other party's samples. Only the samples' owner learns the
    /// classes.
    Infer,
    /// The model that both parties share classifies samples of one party. Only the samples' owner learns the classes, and
    /// nobody learns the model.
    Evaluate,
}

/// Fraction bits of [`Session::learning_rate`] and [`Session::momentum`].
pub use crate::num::fixed_point::RATE_FRACTION;

/// The most samples of a batch.
const MAX_BATCH: u32 = 1 << 20;

/// The most values of a tensor of one micro-batch. With 32-bit addresses all buffer lengths still fit a `usize`.
const MAX_MICRO_BATCH_VALUES: u64 = if usize::BITS > 32 { 1 << 28 } else { 1 << 22 };

/// The samples of one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the iteration, from 0.
    pub iteration: u32,
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Position of the first sample in the epoch's shuffle.
    pub first: u32,
    /// Number of samples.
    pub len: u32,
}

impl Batch {
    /// The micro-batches of `size` rows; the last may have fewer. For each: its first row in the batch, and its rows.
    pub fn micro_batches(self, size: u32) -> impl Iterator<Item = (u32, u32)> {
        (0..self.len)
            .step_by(size.max(1) as usize)
            .map(move |first| (first, size.min(self.len - first)))
    }
}

impl Session {
    /// Compiles the model. Under [`TripleScheme::Baseline`] convolutions run as matrix products of their patches.
    #[inline(never)]
    pub(crate) fn network(&self) -> Result<Network, SessionError> {
        let mut network = Network::EMPTY;
        network.compile_in_place(&self.model)?;
        for (index, stage) in network.stages.iter_mut().enumerate() {
            stage.headroom = self.headroom.of_stage(index);
        }
        if self.protocol.triples() == TripleScheme::Baseline {
            network.unroll();
        }
        Ok(network)
    }

    /// Checks what does not depend on the ring: counts, sizes, momentum, and the owners of an inference.
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
        #[cfg(feature = "private-training")]
        if let Some(privacy) = self.privacy()
            && !privacy.is_sound(self.samples)
        {
            return Err(SessionError::Privacy);
        }
        let rows = self.batch_rows();
        if self.micro_batch > rows {
            return Err(SessionError::MicroBatch);
        }
        let values = largest_tensor(network).saturating_mul(self.micro_batch.into());
        if rows > MAX_BATCH || values > MAX_MICRO_BATCH_VALUES {
            return Err(SessionError::TooLarge);
        }
        if !self.counts_epochs() {
            return Err(SessionError::TooLong);
        }
        if !self.normalisation.is_sound(network.input[2]) {
            return Err(SessionError::Normalisation);
        }
        if self.momentum >= 1 << RATE_FRACTION {
            return Err(SessionError::Momentum);
        }
        if !self.training.is_sound() {
            return Err(SessionError::TrainingOptions);
        }
        let one_owner = self.samples.contains(&0)
            && self.receiver.is_none()
            && self.initial_model.is_none()
            && self.epochs == 1;
        if self.task != Task::Train && !one_owner {
            return Err(SessionError::Owners);
        }
        Ok(())
    }

    /// Whether any iteration is audited.
    pub fn has_audits(&self) -> bool {
        self.audit > 0
    }

    /// Whether an iteration is audited: the first, and each [`Session::audit`] iterations after it.
    pub fn is_audited(&self, iteration: u32) -> bool {
        self.has_audits() && iteration.is_multiple_of(self.audit)
    }

    /// Whether samples that keep their masks are opened in an iteration of a run that begins at iteration `start`, 0 or
    /// that of a checkpoint.
    ///
    /// They are, up to the end of the first epoch that the run works through from its first iteration on. If it begins
    /// within an epoch, it opens the rest of that epoch and the whole of the next one: a sample that comes in both is
    /// sent twice, masked to the same value.
    pub(crate) fn opens_samples(&self, start: u32, iteration: u32) -> bool {
        let whole_epoch = start.div_ceil(self.iterations_per_epoch());
        self.keeps_data() && self.batch(iteration).epoch <= whole_epoch
    }

    /// In inference and evaluation, the party whose samples are classified and that learns the classes.
    pub fn samples_owner(&self) -> Role {
        match self.samples {
            [0, _] => Role::P1,
            _ => Role::P0,
        }
    }

    /// In inference, the party whose model classifies; none where both parties share the model.
    pub fn model_owner(&self) -> Option<Role> {
        match self.task {
            Task::Train | Task::Evaluate => None,
            Task::Infer => Some(self.samples_owner().other()),
        }
    }

    /// Bits of the master weights' ring, and their fraction bits.
    pub fn master(&self) -> [u32; 2] {
        match self.protocol {
            Protocol::SecureNn { .. } => [u64::BITS, 2 * self.format.fraction],
            Protocol::Dealt { .. } => [self.format.wide(), self.format.master()],
        }
    }

    /// Samples of both parties.
    pub fn total_samples(&self) -> u32 {
        self.samples[0] + self.samples[1]
    }

    /// The most ranks of a role that have work: one for each micro-batch of a batch. Only one in an evaluation, where
    /// owners draw samples in secret, and with a dealer under [`TripleScheme::Baseline`], which opens the weights twice.
    pub fn most_ranks(&self) -> u16 {
        let opens_once = match self.protocol {
            Protocol::Dealt { .. } => self.protocol.triples().reuse(),
            // Each micro-batch opens the weights for itself.
            Protocol::SecureNn { .. } => true,
        };
        let shares_work = self.task != Task::Evaluate && opens_once && self.privacy().is_none();
        let micro_batches = self.batch_rows().div_ceil(self.micro_batch.max(1));
        match shares_work {
            true => micro_batches.clamp(1, MAX_RANKS.into()) as u16,
            false => 1,
        }
    }

    /// The shuffle: the order of samples in each epoch.
    pub fn shuffle(&self) -> Shuffle {
        Shuffle::new(self.total_samples(), self.shuffle_seed)
    }

    /// Writes the numbers of the samples in rows `first..first + out.len()` of a batch to `out`.
    ///
    /// P0's samples come first in a batch, so that each owner opens one contiguous piece. The samples of one owner are
    /// in the shuffle's order. Where owners draw them in secret, each row gets the first sample of its owner.
    pub fn batch_samples(&self, batch: Batch, first: u32, out: &mut [u32]) {
        if let Some(of_p0) = self.drawn_rows(Role::P0) {
            for (out, row) in out.iter_mut().zip(first..) {
                *out = match of_p0.contains(&row) {
                    true => 0,
                    false => self.samples[0],
                };
            }
            return;
        }
        let shuffle = self.shuffle();
        let mut row = 0u32;
        for owner in Role::BOTH {
            for position in batch.first..batch.first + batch.len {
                let sample = shuffle.sample(batch.epoch, position);
                if self.owner(sample) == owner {
                    let index = row.checked_sub(first).map(|index| index as usize);
                    if let Some(out) = index.and_then(|index| out.get_mut(index)) {
                        *out = sample;
                    }
                    row += 1;
                }
            }
        }
    }

    /// Whether a party knows a sample.
    pub fn owns(&self, role: Role, sample: u32) -> bool {
        self.contributions.is_none() && self.owner(sample) == role
    }

    /// The owner of a sample; of contributions, P0 stands for their owners.
    pub fn owner(&self, sample: u32) -> Role {
        crate::gate::tensor::owner(sample, self.samples[0])
    }

    /// A sample's number among those of its owner, from 0.
    pub fn local_index(&self, sample: u32) -> u32 {
        match self.owner(sample) {
            Role::P0 => sample,
            Role::P1 => sample - self.samples[0],
        }
    }
}

/// Values of the largest tensor of one sample. Unrolled patches may be more than a `usize` counts.
fn largest_tensor(network: &Network) -> u64 {
    let lens = network.stages.iter().flat_map(|stage| {
        let (linear, rows) = stage.product();
        [
            stage.entering_len() as u64,
            linear.input_len() as u64 * rows as u64,
            linear.output_len() as u64 * rows as u64,
        ]
    });
    lens.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
