//! Exact cost of protocol steps, computed before they run.

pub(crate) mod stopwatch;
pub(crate) mod traffic;

pub use traffic::Traffic;

use core::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

use crate::kernel::pack::packed_len;

/// Elements in a group: gates process this many at a time, one per lane.
pub const LANES: usize = 64;

/// Exact cost of a protocol step for one party, without the framing of links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Number of values opened, of any width.
    pub opened_values: u64,
    /// Bytes that one party sends to the other.
    pub online_bytes: u64,
    /// Bytes of corrections that the dealer sends to P1.
    pub dealer_bytes: u64,
    /// Rounds: times that a party waits for its peer.
    pub rounds: u64,
}

impl Cost {
    /// No cost.
    pub const ZERO: Cost = Cost {
        opened_values: 0,
        online_bytes: 0,
        dealer_bytes: 0,
        rounds: 0,
    };

    /// Opening of `count` values of `bits` bits, packed without gaps. Does not count a round.
    pub fn opening(count: usize, bits: u32) -> Cost {
        Cost {
            opened_values: count as u64,
            online_bytes: packed_len(count, bits) as u64,
            ..Cost::ZERO
        }
    }

    /// Opening of `planes` bits for each of `rows` x `len` elements, in bit planes. Does not count a round.
    pub fn planes(rows: usize, len: usize, planes: usize) -> Cost {
        Cost {
            opened_values: (rows * len * planes) as u64,
            online_bytes: (rows * planes) as u64 * lane_bytes(len, 1),
            ..Cost::ZERO
        }
    }

    /// Corrections of `bits` bits for each of `rows` x `len` elements, packed by group.
    pub fn dealt(rows: usize, len: usize, bits: u32) -> Cost {
        Cost {
            dealer_bytes: rows as u64 * lane_bytes(len, bits),
            ..Cost::ZERO
        }
    }

    /// Corrections of `planes` bits for each of `rows` x `len` elements, in bit planes that are packed by group.
    pub fn dealt_planes(rows: usize, len: usize, planes: usize) -> Cost {
        let whole = len / LANES * packed_len(planes, LANES as u32);
        let rest = packed_len(planes, (len % LANES) as u32);
        Cost {
            dealer_bytes: rows as u64 * (whole + rest) as u64,
            ..Cost::ZERO
        }
    }

    /// `rounds` rounds, without traffic.
    pub fn rounds(rounds: u64) -> Cost {
        Cost {
            rounds,
            ..Cost::ZERO
        }
    }
}

/// Bytes of `len` values of `bits` bits, packed in groups of [`LANES`] that each end at a byte boundary.
pub fn lane_bytes(len: usize, bits: u32) -> u64 {
    let whole = len / LANES * packed_len(LANES, bits);
    (whole + packed_len(len % LANES, bits)) as u64
}

impl Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            opened_values: self.opened_values + other.opened_values,
            online_bytes: self.online_bytes + other.online_bytes,
            dealer_bytes: self.dealer_bytes + other.dealer_bytes,
            rounds: self.rounds + other.rounds,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl Mul<u64> for Cost {
    type Output = Cost;
    fn mul(self, times: u64) -> Cost {
        Cost {
            opened_values: self.opened_values * times,
            online_bytes: self.online_bytes * times,
            dealer_bytes: self.dealer_bytes * times,
            rounds: self.rounds * times,
        }
    }
}

impl core::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::ZERO, Cost::add)
    }
}
