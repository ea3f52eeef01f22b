//! Differentially private gradients (DP-SGD; Abadi et al., CCS 2016): public parameters of a training.
//!
//! In each iteration every owner draws each of its samples with the same probability, independently and in secret. The gradient of
//! each sample is clipped, and each party adds noise of the whole deviation to its share of the sum.

use serde::{Deserialize, Serialize};

use super::{RATE_FRACTION, Session, Task};
use crate::{num::division::quotient, share::Role};

/// Fraction bits of [`Privacy::noise`].
pub const NOISE_FRACTION: u32 = 16;

/// How a training protects single samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// The bound C of the norm of a sample's gradient over all layers, with [`RATE_FRACTION`] fraction bits. Each of n layers
    /// has the bound C / sqrt(n).
    pub clip: u32,
    /// The noise multiplier: the deviation of each party's noise over C, with [`NOISE_FRACTION`] fraction bits. 0 for no noise, and no
    /// privacy.
    pub noise: u32,
    /// Rows of a batch for the samples of P0 and of P1: those that are drawn and, up to these numbers, others that do not count.
    pub rows: [u32; 2],
}

impl Session {
    /// How single samples are protected in a training, if they are.
    pub fn privacy(&self) -> Option<Privacy> {
        match self.task == Task::Train {
            true => self.training.privacy,
            false => None,
        }
    }

    /// Whether samples keep their masks for the whole run, so that each is opened once. Samples that are drawn in secret do not: their
    /// openings would show when one is drawn again. Contributions do not, as their owners masked them in a narrow ring.
    pub fn keeps_data(&self) -> bool {
        self.protocol.triples().keep_data()
            && self.privacy().is_none()
            && self.contributions.is_none()
    }

    /// The rows of P0 and of P1 in a batch, if owners draw their samples in secret.
    pub fn drawn_rows(&self, role: Role) -> Option<core::ops::Range<u32>> {
        let [of_p0, of_p1] = self.privacy()?.rows;
        Some(match role {
            Role::P0 => 0..of_p0,
            Role::P1 => of_p0..of_p0 + of_p1,
        })
    }

    /// Rows of a whole batch.
    pub fn batch_rows(&self) -> u32 {
        match self.privacy() {
            Some(Privacy {
                rows: [of_p0, of_p1],
                ..
            }) => of_p0.saturating_add(of_p1),
            None => self.batch,
        }
    }

    /// 2^64 times the probability with which an iteration draws a sample, rounded down.
    pub(crate) fn drawing_rate(&self) -> u128 {
        quotient(u128::from(self.batch) << 64, self.total_samples().into())
    }
}

impl Privacy {
    /// Whether the parameters mean something for so many samples of P0 and of P1.
    pub(super) fn is_sound(&self, samples: [u32; 2]) -> bool {
        let has_rows = |(rows, samples): (u32, u32)| (rows > 0) == (samples > 0) && rows <= samples;
        let [of_p0, of_p1] = self.rows;
        self.clip > 0
            && of_p0.checked_add(of_p1).is_some()
            && self.rows.into_iter().zip(samples).all(has_rows)
    }

    /// Bits before the binary point of a gradient of one sample by the parameters of a stage whose input has no headroom. It stays
    /// below 2^4 in magnitude.
    pub const RANGE_BITS: u32 = 4;

    /// The bound C as a number.
    pub fn bound(&self) -> f64 {
        f64::from(self.clip) / f64::from(1u32 << RATE_FRACTION)
    }

    /// The noise multiplier as a number.
    pub fn multiplier(&self) -> f64 {
        f64::from(self.noise) / f64::from(1u32 << NOISE_FRACTION)
    }
}
