//! Samples of the discrete Gaussian: integers z with probability proportional to exp(-z^2 / (2 sigma^2)).
//!
//! The method is that of Ducas, Durmus, Lepoint and Lyubashevsky ("Lattice Signatures and Bimodal Gaussians", CRYPTO 2013). The
//! deviation is sigma = K / sqrt(2 ln 2) for an integer width K, so that exp(-z^2 / (2 sigma^2)) is 2^(-(z/K)^2). A trial
//! draws x >= 0 with probability proportional to 2^(-x^2), y uniformly below K and a sign, and takes z = K x + y with
//! probability 2^(-y (y + 2 K x) / K^2). Zero, which both signs make, is taken with one of them.
//!
//! Numbers are integers and fixed point. The chapter on differential privacy proves how far the samples are from the
//! distribution: see [`RATIO_BITS`] and [`TAIL_BITS`]. The statistical distance of a sample is at most 2^-60.
//!
//! # Time
//!
//! A trial takes the same instructions and the same words of the stream whatever it draws, without a branch or an index that
//! depends on them. Trials are independent, so how many there are tells nothing about the samples that are taken. This
//! needs a processor whose products of 32 bits take the same time for all numbers, such as a Cortex-M4; those of a Cortex-M3 do not.

mod acceptance;
mod compare;
mod half;
#[cfg(test)]
mod tests;

use core::{marker::PhantomData, num::NonZeroU32};

use zeroize::Zeroizing;

use super::{Address, Prg};
use crate::num::{
    division::quotient,
    ring::{Ring, Word},
};

use acceptance::{Acceptance, high};
use compare::{below, mask, words};

/// For uniform words, the probability of each sample below 9 times the width differs from the exact one by a factor between
/// 1 - r and 1 + r, where r is 2 to minus this.
pub const RATIO_BITS: u32 = 59;

/// All other samples together have at most a probability of 2 to minus this.
pub const TAIL_BITS: u32 = 80;

/// Words of the stream that a trial takes.
const WORDS: usize = 9;

/// Most trials that are drawn at a time: whole blocks of the stream.
const TRIALS: usize = 16;

/// The sign's bit in a trial's last word. Those below it are for the whole part of the exponent.
const SIGN_BIT: u32 = 31;

/// The square root of 2 ln 2, which is a width for a deviation of 1, in units of 2^-95, rounded up.
const WIDTH_OF_ONE: u128 = 0x96b5_5f22_57e2_18fd_af4f_d95b;
const WIDTH_OF_ONE_FRACTION: u32 = 95;

/// The samples leave the ring: one can be as large as 12 times the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidthTooLarge {
    /// The largest width for the ring.
    pub largest: u32,
}

impl core::fmt::Display for WidthTooLarge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "the noise leaves the ring: its width is at most {}",
            self.largest
        )
    }
}

impl core::error::Error for WidthTooLarge {}

/// The discrete Gaussian of a public width, as elements of the ring Z_2^L of the word `W`.
#[derive(Clone, Debug)]
pub struct DiscreteGaussian<W> {
    width: NonZeroU32,
    /// 2^64 modulo the width: products below it would favour some y.
    uneven: u64,
    acceptance: Acceptance,
    ring: PhantomData<W>,
}

impl<W: Ring> DiscreteGaussian<W> {
    /// The distribution of deviation `width` / sqrt(2 ln 2), which is 0.849 times the width.
    pub fn new(width: NonZeroU32) -> Result<Self, WidthTooLarge> {
        let largest = largest_width(W::BITS);
        if width.get() > largest {
            return Err(WidthTooLarge { largest });
        }
        let divisor = u64::from(width.get());
        Ok(DiscreteGaussian {
            width,
            uneven: divisor.wrapping_neg() % divisor,
            acceptance: Acceptance::new(width),
            ring: PhantomData,
        })
    }

    /// The width K.
    pub fn width(&self) -> NonZeroU32 {
        self.width
    }

    /// Fills `out` with samples from trial `first` on of the stream at `address`. Returns the number of the trial after the
    /// last one that was used, from which further samples of the same stream may be drawn.
    ///
    /// Nothing else may draw from this stream. Who calls adds the samples to a share, and wipes them.
    pub fn fill(&self, prg: &Prg, address: Address, first: u64, out: &mut [W]) -> u64 {
        let mut words = Zeroizing::new([[0; WORDS]; TRIALS]);
        let (mut next, mut filled) = (first, 0);
        while filled < out.len() {
            // No more trials than samples are missing: all of them are used, and each may store what it draws.
            let trials = &mut words[..(out.len() - filled).min(TRIALS)];
            prg.fill(address, next * WORDS as u64, trials.as_flattened_mut());
            next += trials.len() as u64;
            for trial in trials {
                let (sample, taken) = self.attempt(trial);
                if let Some(slot) = out.get_mut(filled) {
                    *slot = sample;
                }
                filled += taken as usize;
            }
        }
        next
    }

    /// What a trial draws, and 1 if it is taken, else 0.
    #[inline(always)]
    fn attempt(&self, trial: &[u32; WORDS]) -> (W, u32) {
        let [x0, x1, x2, x3, y0, y1, r0, r1, last] = *trial;
        let long = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let width = u64::from(self.width.get());
        let x = half::sample([x0, x1, x2, x3]);
        let uniform = long(y0, y1);
        let y = high(uniform, width) as u32;
        let uneven = below(words(uniform.wrapping_mul(width)), words(self.uneven));
        let refused = self.acceptance.refuses(x, y, long(r0, r1), last);
        let sign = u64::from(last >> SIGN_BIT);
        let size = width * u64::from(x) + u64::from(y);
        let zero = below(words(size), [1, 0]);
        let taken = 1 ^ (uneven | refused | (zero & sign as u32));
        let sample = (size ^ mask(sign)).wrapping_add(sign);
        (W::from_u64(sample), taken)
    }
}

/// The largest width for the ring Z_2^bits, of 1 to 64 bits.
pub fn largest_width(bits: u32) -> u32 {
    // A sample is below (LARGEST + 1) times the width.
    let most = u64::MAX.right(u64::BITS - bits + 1);
    u32::try_from(most / u64::from(half::LARGEST + 1)).unwrap_or(u32::MAX)
}

/// The smallest width whose deviation is at least `numerator` / `denominator`; none if it has more than 32 bits.
pub fn smallest_width(numerator: u32, denominator: NonZeroU32) -> Option<NonZeroU32> {
    // No quotient of such numbers is so close to the square root of 2 ln 2 that its last bits would matter.
    let wanted = u128::from(numerator) * WIDTH_OF_ONE;
    let divisor = u128::from(denominator.get()) << WIDTH_OF_ONE_FRACTION;
    let below = quotient(wanted, divisor);
    let width = below + u128::from(below * divisor < wanted);
    NonZeroU32::new(u32::try_from(width.max(1)).ok()?)
}
