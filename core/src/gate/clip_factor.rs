//! Clip factor: min(1, C / norm) from the square of a row's norm, so rounded that the norm of the scaled row never exceeds C.
//!
//! The sum of squares s loses its low bits, which rounds s / 2^drop up or down to i, so s < (i + 1) 2^drop. The factor of i is the
//! largest c with c^2 (i + 1) 2^drop <= 2^(2 fraction) C^2, at most 1. Two tables give it:
//!
//! - an exact comparison splits i into min(i, last) and the excess over it, which is 0 up to the last entry of the first table;
//! - the excess loses [`COARSE`] bits, is limited by another comparison, and is the index of the second table. It holds what is
//!   to be added to the first one's last entry, and 0 for an excess of 0. Its own last entry makes the factor 0: a row whose norm is that
//!   large counts nothing.
//!
//! C^2 is 32 to 64 units of i. So a factor is never more than it should be. It is at least 0.969 of that up to a norm of 5.6 C, and 0.94 of it
//! up to 64 C, less its last bit. Rows whose norm is below 0.96 C keep the factor 1.

use bytemuck::TransparentWrapper;
use zeroize::Zeroize;

use crate::{
    Role,
    cost::Cost,
    net::link::{LinkError, Segment},
    num::{division::quotient, ring::Word, square_root::square_root},
    share::{Masked, Public, Share, truncate},
};

use super::{
    At, Offline, Online,
    lookup::Lookup,
    relu::{HiddenSign, Relu},
};

/// Bits of the index of each table.
const INDEX: u32 = 11;
/// The last entry of a table.
const LAST: u64 = (1 << INDEX) - 1;
/// Bits that the index of the second table drops.
const COARSE: u32 = 7;
/// Bits of an index that is beyond both tables.
const BEYOND: u32 = INDEX + COARSE + 1;
/// Bits of C^2 in units of the first index.
const BOUND_BITS: u32 = 6;
/// The most fraction bits of a factor.
pub(crate) const MOST_FRACTION: u32 = 12;

/// Where the gate's parts are in the run: each has a gate number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipPlaces {
    /// The comparisons, of the index and of its excess.
    pub limits: [At; 2],
    /// The lookups in the first table and in the second one.
    pub lookups: [At; 2],
}

/// The gate. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipFactor {
    /// Ring of the sums of squares, which are below 2^(from-3).
    from: u32,
    /// Ring of the factors.
    to: u32,
    /// Fraction bits of the factors.
    fraction: u32,
    /// C^2, in units of the sums.
    bound: u64,
    /// Bits that a sum drops.
    drop: u32,
}

impl ClipFactor {
    /// The gate from sums in Z_2^from to factors with `fraction` fraction bits in Z_2^to; none if the bound C is so small or so
    /// large that the widths do not fit.
    pub fn new(from: u32, [to, fraction]: [u32; 2], bound: u32) -> Option<Self> {
        let drop = Self::drop(bound)?;
        let limited = from.checked_sub(drop)?;
        let limits = BEYOND + 2..=Relu::most_bits::<u64>();
        let fits = limits.contains(&limited) && fraction <= MOST_FRACTION;
        fits.then_some(ClipFactor {
            from,
            to,
            fraction,
            bound: u64::from(bound) * u64::from(bound),
            drop,
        })
    }

    /// The fewest bits of a ring of sums for a bound; none if it is too small.
    pub fn least_from(bound: u32) -> Option<u32> {
        Some(Self::drop(bound)? + BEYOND + 2)
    }

    /// Bits that a sum drops.
    fn drop(bound: u32) -> Option<u32> {
        let bits = u64::BITS - (u64::from(bound) * u64::from(bound)).leading_zeros();
        bits.checked_sub(BOUND_BITS)
    }

    /// Ring of a sum without its low bits.
    fn limited(self) -> u32 {
        self.from - self.drop
    }

    /// The comparisons with the last entries. Their outputs are in no wider rings, so they take any value.
    fn limits(self) -> [Relu; 2] {
        let coarse = self.limited() - COARSE;
        [
            Relu::new::<u64>(self.limited(), self.limited()),
            Relu::new::<u64>(coarse, INDEX),
        ]
    }

    /// A table.
    fn lookup(self) -> Lookup {
        Lookup {
            index: INDEX,
            rest: 0,
            to: self.to,
        }
    }

    /// The largest factor for sums below (index + 1) 2^drop.
    fn factor(self, index: u64) -> u64 {
        let numerator = u128::from(self.bound) << (2 * self.fraction);
        let square = quotient(numerator, u128::from(index + 1) << self.drop);
        (square_root(square) as u64).min(1 << self.fraction)
    }

    /// The entries of both tables.
    fn entries(self, index: u64) -> [u64; 2] {
        // An excess below 2^COARSE may be rounded down to 0.
        let last = self.factor(LAST + (1 << COARSE) - 1);
        let first = match index {
            LAST => last,
            _ => self.factor(index),
        };
        let second = match index {
            0 => 0,
            LAST => 0u64.minus(last),
            _ => self.factor(LAST + ((index + 1) << COARSE) - 1).minus(last),
        };
        [first, second]
    }

    /// The factors of a sum of squares, for all ways of rounding.
    pub fn ideal(self, sum: u64) -> [u64; 4] {
        let roundings = |value: u64, bits: u32| {
            let down = value >> bits;
            [down, down + u64::from(down << bits < value)]
        };
        let [down, up] = roundings(sum, self.drop).map(|index| {
            let excess = roundings(index.saturating_sub(LAST), COARSE);
            excess.map(|excess| {
                let [first, _] = self.entries(index.min(LAST));
                let [_, second] = self.entries(excess.min(LAST));
                first.plus(second)
            })
        });
        [down[0], down[1], up[0], up[1]]
    }

    /// Cost for `rows` sums; seven rounds.
    pub fn cost(self, rows: usize) -> Cost {
        let limits = self.limits().into_iter().map(|limit| limit.cost(rows, 1));
        let lookup = Cost::opening(rows, INDEX) + self.lookup().tables_cost(rows, 1);
        limits.sum::<Cost>() + lookup * 2 + Cost::rounds(1)
    }

    /// Bytes of scratch that a party needs for `rows` sums.
    pub fn scratch_len(self, rows: usize) -> usize {
        let limits = self.limits().map(|limit| limit.scratch_len(rows, 1));
        limits[0].max(limits[1]) + (2 * rows + 1) * size_of::<u64>() + rows
    }

    /// Pairs of words that the dealer needs.
    pub const DEALER_PAIRS: usize = 3 << INDEX;

    /// Sends the corrections for `rows` sums. `scratch` has at least [`ClipFactor::DEALER_PAIRS`] pairs.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: ClipPlaces,
        rows: usize,
        scratch: &mut [[u64; 2]],
    ) -> Result<(), LinkError> {
        for (limit, at) in self.limits().into_iter().zip(at.limits) {
            limit.deal::<u64, D>(cx, at, rows, 1)?;
        }
        let (table, scratch) = scratch.split_at_mut(1 << INDEX);
        let scratch = &mut scratch[..2 << INDEX];
        for (which, at) in at.lookups.into_iter().enumerate() {
            for (entry, index) in table.iter_mut().zip(0..) {
                *entry = [self.entries(index)[which], 0];
            }
            self.lookup()
                .deal(cx, at, [rows, 1], table, scratch, |entry, _| entry)?;
        }
        Ok(())
    }

    /// Replaces shares of sums of squares in Z_2^from by shares of factors in Z_2^to. This party gives the rows for which
    /// `is_weightless` is 1, and not 0, the factor 0; the peer does not learn which.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        at: ClipPlaces,
        sums: &mut [Share<u64>],
        is_weightless: impl Fn(usize) -> u64,
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let (role, rows) = (cx.role(), sums.len());
        let last = match role {
            Role::P0 => LAST,
            Role::P1 => 0,
        };
        let excess = Share::peel_slice_mut(sums);
        let unaligned = scratch.as_ptr().align_offset(align_of::<u64>());
        let (words, scratch) = scratch[unaligned..].split_at_mut(2 * rows * size_of::<u64>());
        let (fine, coarse) = bytemuck::cast_slice_mut::<u8, u64>(words).split_at_mut(rows);
        let (signs, scratch) = scratch.split_at_mut(rows);
        let mut above = |cx: &mut O, gate: Relu, at: At, values: &mut [u64]| {
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut *signs),
                shares: Share::wrap_slice_mut(&mut []),
            };
            let values = Share::wrap_slice_mut(values);
            gate.run(cx, at, [rows, 1], values, &mut sign, scratch)
        };
        let [first, second] = self.limits();
        for (row, (excess, fine)) in excess.iter_mut().zip(&mut *fine).enumerate() {
            let weightless = is_weightless(row) << BEYOND;
            *fine = truncate(role, *excess, self.from, self.drop).plus(weightless);
            *excess = fine.minus(last).low(first.from);
        }
        above(cx, first, at.limits[0], excess)?;
        for ((excess, fine), coarse) in excess.iter_mut().zip(&mut *fine).zip(&mut *coarse) {
            *fine = fine.minus(*excess).low(INDEX);
            *coarse = truncate(role, *excess, first.to, COARSE);
            *excess = coarse.minus(last).low(second.from);
        }
        above(cx, second, at.limits[1], excess)?;
        for (excess, coarse) in excess.iter().zip(&mut *coarse) {
            *coarse = coarse.minus(*excess).low(INDEX);
        }
        let (lookup, shape) = (self.lookup(), [rows, 1]);
        lookup.mask_arguments(cx, at.lookups[0], shape, fine);
        lookup.mask_arguments(cx, at.lookups[1], shape, coarse);
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *fine), INDEX),
            Segment::words(Masked::wrap_slice_mut(&mut *coarse), INDEX),
        ])?;
        lookup.finish(cx, at.lookups[0], shape, fine)?;
        lookup.finish(cx, at.lookups[1], shape, coarse)?;
        for (factor, (fine, coarse)) in excess.iter_mut().zip(fine.iter().zip(&*coarse)) {
            *factor = fine.plus(*coarse).low(self.to);
        }
        words.zeroize();
        Ok(())
    }
}
