//! Fixed point: how real numbers stand in the rings.

use serde::{Deserialize, Serialize};

use crate::ring::Ring;

/// The widths of a run. Values at scale f are integers times 2^-f.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Format {
    /// L, the bits of the ring of linear arithmetic: 32 or 64.
    pub ring: u32,
    /// f, the fraction bits.
    pub fraction: u32,
}

/// The widths cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The ring is neither 32 nor 64 bits wide.
    Ring(u32),
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
        })
    }

    /// n = L - f, the bits of the ring in which a product lands after the free step down.
    pub const fn narrow(self) -> u32 {
        self.ring - self.fraction
    }

    /// Bits of the ring in which the master weights live.
    pub const fn wide(self) -> u32 {
        2 * self.ring
    }

    /// Fraction bits of the master weights.
    pub const fn master(self) -> u32 {
        3 * self.fraction
    }

    /// The integer n(n) with |x| < 2^(n-2): the range contract of narrow values, in units.
    pub const fn contract(self) -> u64 {
        1 << (self.narrow() - 2)
    }
}
