//! Range contracts: the values that a gate takes. Each gate names its own, and whoever counts or plans values asks the gate
//! that takes them.

use crate::num::ring::{Word, signed};

/// The range contract of values in Z_2^bits, read as signed integers: -2^(bits-2) <= x < 2^(bits-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Width in bits of the values' ring; at least 2.
    pub bits: u32,
}

impl Contract {
    /// 2^(bits-2).
    pub const fn limit(self) -> u64 {
        1 << (self.bits - 2)
    }

    /// Whether x keeps the contract.
    pub fn holds<W: Word>(self, x: W) -> bool {
        let limit = i128::from(self.limit());
        (-limit..limit).contains(&signed(x.low(self.bits), self.bits))
    }
}
