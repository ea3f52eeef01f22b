//! Fixed point: real numbers as integers in the rings.

use serde::{Deserialize, Serialize};

use crate::num::ring::Ring;

/// Fraction bits of learning rates and momenta: a rate r is the integer r * 2^24.
pub const RATE_FRACTION: u32 = 24;

/// The bit widths of a run. A real number x at scale f is the integer x * 2^f (SecureML, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Format {
    /// L, the width in bits of the ring of linear arithmetic: 32 or 64.
    pub ring: u32,
    /// f, the fraction bits of values.
    pub fraction: u32,
    /// Fraction bits of the weights as operands of a product. Either f, or those of the master weights,
    /// which are then multiplied directly (see [`Format::direct`]).
    pub weights: u32,
}

/// A combination of bit widths that is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FormatError {
    /// The ring is neither 32 nor 64 bits wide.
    Ring(u32),
    /// The fraction bits of the weights match neither [`Format::new`] nor [`Format::direct`].
    Weights(u32),
    /// The fraction bits lie outside the range that the ring allows.
    Fraction {
        /// The fraction bits that were requested.
        given: u32,
        /// The fewest that are supported.
        least: u32,
        /// The most that are supported.
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

/// The fewest bits of a velocity's ring.
const MIN_VELOCITY_BITS: u32 = 24;

/// The fewest fraction bits for which the softmax gate's lookup tables are defined.
pub const MIN_FRACTION_BITS: u32 = 8;

/// Bits of a narrow value before the binary point in the direct format. The range contract is then
/// |x| < 2^8.
const DIRECT_RANGE_BITS: u32 = 10;

/// In the direct format master weights have at least this many more fraction bits than their gradients.
/// A learning rate shifts a gradient within these bits.
const MIN_RATE_BITS: u32 = 12;

impl Format {
    /// The format of ring `R` with `fraction` bits.
    ///
    /// # Errors
    /// [`FormatError::Fraction`] unless `fraction` is 8 to [`Ring::MAX_FRACTION_BITS`].
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

    /// The format of Z_2^64 that multiplies master weights directly. Gradients by weights are in the ring
    /// of the master weights, so an update needs no opening. No bits are left for momentum.
    ///
    /// # Errors
    /// [`FormatError::Fraction`] when the three parts (fraction, range, rate) do not fit 64 bits.
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

    /// Checks a format that another role sent, for ring `R`.
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

    /// Whether master weights are multiplied directly (see [`Format::direct`]).
    pub const fn is_direct(self) -> bool {
        self.weights != self.fraction
    }

    /// n, the width in bits of the narrow ring: that of a product with weights after its local truncation
    /// by the weights' fraction bits. n = L - f, or L - [`Format::weights`] in the direct format.
    pub const fn narrow(self) -> u32 {
        self.ring - self.weights
    }

    /// Fraction bits that master weights have beyond those of the operand: 3 L / 4 (whole bytes), or 0 in the
    /// direct format.
    pub const fn fine(self) -> u32 {
        if self.is_direct() {
            0
        } else {
            self.ring / 4 * 3
        }
    }

    /// Width in bits of the master weights' ring: L + [`Format::fine`].
    pub const fn wide(self) -> u32 {
        self.ring + self.fine()
    }

    /// Fraction bits of the master weights.
    pub const fn master(self) -> u32 {
        self.weights + self.fine()
    }

    /// Width in bits of the velocities' ring: n, or 24 if n is less. An update opens velocities once, so bits that they
    /// have beyond n cost little, and give momentum both range and precision.
    pub const fn velocity(self) -> u32 {
        if self.narrow() < MIN_VELOCITY_BITS {
            MIN_VELOCITY_BITS
        } else {
            self.narrow()
        }
    }

    /// Bits by which a gradient by weights in Z_2^L is truncated to a velocity: L - [`Format::velocity`].
    pub const fn velocity_drop(self) -> u32 {
        self.ring - self.velocity()
    }

    /// Fraction bits of what an update subtracts from the master weights, before the learning rate is applied, if
    /// nothing has headroom and gradients are not scaled: those of the velocity, or of a gradient by weights in the
    /// direct format (2f).
    pub const fn step(self) -> u32 {
        if self.is_direct() {
            2 * self.fraction
        } else {
            2 * self.fraction - self.velocity_drop()
        }
    }

    /// 2^(n-2), the bound of the range contract |x| < 2^(n-2) for integers in the narrow ring.
    pub const fn contract(self) -> u64 {
        1 << (self.narrow() - 2)
    }
}
