//! The mean loss of an epoch, if both parties want to learn it.

use super::{EXTENDED, Session, Task};
use crate::{network::Network, num::fixed_point::Format};

/// The sum of the losses of an epoch's samples: the cross entropies of their labels, without smoothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochLoss {
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// The sum, with [`EpochLoss::fraction`] fraction bits.
    pub sum: i64,
    /// Fraction bits of the sum.
    pub fraction: u32,
    /// Samples of the epoch.
    pub samples: u32,
}

impl EpochLoss {
    /// The loss of an epoch that ends with an iteration, from the opening of its sum in Z_2^bits. None if there can be no such
    /// loss: below 0 by more than its error, or above what logits allow.
    #[cfg(feature = "extended-training")]
    pub(crate) fn new(
        (session, network): (&Session, &Network),
        iteration: u32,
        [bits, fraction]: [u32; 2],
        opened: u64,
    ) -> Option<Self> {
        let sum = crate::num::ring::signed(opened, bits) as i64;
        let samples = session.total_samples();
        let mean = sum / i64::from(samples.max(1));
        let error = 1i64 << fraction.saturating_sub(8);
        let most = 1i64 << (fraction + integer_bits(session.format, network)).min(62);
        (-error..=most).contains(&mean).then(|| EpochLoss {
            epoch: session.batch(iteration).epoch,
            sum,
            fraction,
            samples,
        })
    }

    /// The mean loss.
    pub fn mean(self) -> f64 {
        let unit = libm::scalbn(1.0, -(self.fraction as i32));
        self.sum as f64 * unit / f64::from(self.samples.max(1))
    }
}

/// Bits before the binary point of a loss: of the difference of two logits under the contract, and one for the logarithm.
fn integer_bits(format: Format, network: &Network) -> u32 {
    format.narrow() - format.fraction + network.logit_headroom()
}

impl Session {
    /// Whether both parties learn the loss of the epoch that ends with an iteration. Part of an epoch has none.
    pub fn reveals_loss_after(&self, iteration: u32) -> bool {
        let trains = self.task == Task::Train;
        EXTENDED && trains && self.reveal_loss && self.ends_epoch(iteration)
    }

    /// Bits of the ring that holds the sum of an epoch's losses, at most 64; 0 if they are not revealed. With 64 bits it holds
    /// them unless the mean loss is beyond 2^20.
    pub(crate) fn loss_bits(&self, network: &Network) -> u32 {
        if !EXTENDED || !self.reveal_loss || self.task != Task::Train {
            return 0;
        }
        let samples = u32::BITS - self.total_samples().leading_zeros();
        // The most fraction bits that losses have.
        let fraction = self.format.fraction.max(18);
        let bits = fraction + integer_bits(self.format, network) + samples + 1;
        bits.min(u64::BITS)
    }
}
