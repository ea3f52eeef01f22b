//! Fixed point: how real numbers stand in the rings.

use serde::{Deserialize, Serialize};

use crate::num::ring::Ring;

/// Fraction bits of learning rates and momenta.
pub const RATE_FRACTION: u32 = 24;

/// The widths of a run. Values at scale f are integers times 2^-f.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Format {
    /// L, the bits of the ring of linear arithmetic: 32 or 64.
    pub ring: u32,
    /// f, the fraction bits.
    pub fraction: u32,
    /// Fraction bits of the weights where they are multiplied: f, or as fine as the master weights,
    /// which then are the operand themselves.
    pub weights: u32,
}

/// The widths cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FormatError {
    /// The ring is neither 32 nor 64 bits wide.
    Ring(u32),
    /// The weights' fraction bits fit neither way of updating them.
    Weights(u32),
    /// The fraction bits lie outside the range that the ring leaves room for.
    Fraction {
        /// What was asked for.
        given: u32,
        /// The fewest that serve.
        least: u32,
        /// The most that serve.
        most: u32,
    },
}

impl core::fmt::Display for FormatError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            FormatError::Ring(bits) => write!(f, "no ring of {bits} bits: choose u32 or u64"),
            FormatError::Weights(bits) => write!(
                f,
                "weights cannot be multiplied at {bits} fraction bits in this ring"
            ),
            FormatError::Fraction { given, least, most } => write!(
                f,
                "{given} fraction bits do not fit this ring: choose {least} to {most}"
            ),
        }
    }
}

impl core::error::Error for FormatError {}

/// The fewest fraction bits that the softmax's tables can be read at.
pub const MIN_FRACTION_BITS: u32 = 8;

/// Bits of a narrow value before the binary point where weights are multiplied as they are: the range
/// contract is +-2^8.
const DIRECT_RANGE_BITS: u32 = 10;

/// The fewest bits by which master weights are finer than their gradients, for the learning rate.
const MIN_RATE_BITS: u32 = 12;

impl Format {
    /// The format of ring `R` with `fraction` bits.
    pub fn new<R: Ring>(fraction: u32) -> Result<Self, FormatError> {
        if !(MIN_FRACTION_BITS..=R::MAX_FRACTION_BITS).contains(&fraction) {
            return Err(FormatError::Fraction {
                given: fraction,
                least: MIN_FRACTION_BITS,
                most: R::MAX_FRACTION_BITS,
            });
        }
        Ok(Format {
            ring: R::BITS,
            fraction,
            weights: fraction,
        })
    }

    /// The format of Z_2^64 in which master weights are multiplied as they are. Gradients by weights
    /// land at their scale in the same ring, so an update opens nothing; it leaves no room for
    /// momentum.
    pub fn direct(fraction: u32) -> Result<Self, FormatError> {
        let most = (u64::BITS - DIRECT_RANGE_BITS - MIN_RATE_BITS) / 3;
        if !(MIN_FRACTION_BITS..=most).contains(&fraction) {
            return Err(FormatError::Fraction {
                given: fraction,
                least: MIN_FRACTION_BITS,
                most,
            });
        }
        Ok(Format {
            ring: u64::BITS,
            fraction,
            weights: u64::BITS - DIRECT_RANGE_BITS - fraction,
        })
    }

    /// Checks a format that came from elsewhere.
    pub fn check<R: Ring>(self) -> Result<(), FormatError> {
        if self.ring != R::BITS {
            return Err(FormatError::Ring(self.ring));
        }
        let sound = if self.is_direct() {
            Format::direct(self.fraction)?
        } else {
            Format::new::<R>(self.fraction)?
        };
        if self == sound {
            Ok(())
        } else {
            Err(FormatError::Weights(self.weights))
        }
    }

    /// Whether an update moves the weights without an opening.
    pub const fn is_direct(self) -> bool {
        self.weights != self.fraction
    }

    /// n, the bits of the ring in which a product with weights lands after the free step down: L - f,
    /// or as many fewer as the weights are finer.
    pub const fn narrow(self) -> u32 {
        self.ring - self.weights
    }

    /// Bits by which master weights are finer than the weights that are multiplied: three quarters of L,
    /// which are whole bytes, or none where they are multiplied as they are.
    pub const fn fine(self) -> u32 {
        if self.is_direct() {
            0
        } else {
            self.ring / 4 * 3
        }
    }

    /// Bits of the ring in which the master weights live: those of an operand, and the fine ones.
    pub const fn wide(self) -> u32 {
        self.ring + self.fine()
    }

    /// Fraction bits of the master weights.
    pub const fn master(self) -> u32 {
        self.weights + self.fine()
    }

    /// Fraction bits of what an update takes off the master weights, before the rate: the velocity's,
    /// or those of a gradient by weights.
    pub const fn step(self) -> u32 {
        if self.is_direct() {
            2 * self.fraction
        } else {
            self.fraction
        }
    }

    /// The integer n(n) with |x| < 2^(n-2): the range contract of narrow values, in units.
    pub const fn contract(self) -> u64 {
        1 << (self.narrow() - 2)
    }
}
