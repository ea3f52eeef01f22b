//! Clip factor: min(1, C / norm) from the square of a row's norm, so rounded that the norm of the scaled row never exceeds C.
//!
//! The sum of squares s loses its low bits, which rounds s / 2^drop up or down to i, so s < (i + 1) 2^drop. The factor of i is the
//! largest c with c^2 (i + 1) 2^drop <= 2^(2 fraction) C^2, at most 1. `LEVELS` tables give it. At each level an exact comparison
//! splits the index into min(index, last) and the excess over it, which is 0 up to the last entry. The excess loses `STEP` bits and
//! is the index of the next level. The factor is the sum of all entries: those of later levels hold what is to be added to the last entry of
//! the level before, and 0 for an excess of 0. The very last entry makes the factor 0: a row whose norm is that large counts nothing.
//!
//! C^2 is 32 to 64 units of i. So a factor is never more than it should be. It is at least 0.969 of that up to a norm of 3.9 C, and 0.93 of it
//! up to 256 C, less its last bit. Rows whose norm is below 0.96 C keep the factor 1.

use bytemuck::TransparentWrapper;
use heapless::Vec;
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
const INDEX: u32 = 10;
/// The last entry of a table.
const LAST: u64 = (1 << INDEX) - 1;
/// Tables.
const LEVELS: usize = 3;
/// Bits that the index of each next table drops.
const STEP: u32 = 6;
/// Bits of an index that is beyond all tables.
const BEYOND: u32 = INDEX + STEP * (LEVELS as u32 - 1) + 1;
/// Bits of C^2 in units of the first index.
const BOUND_BITS: u32 = 6;
/// The most fraction bits of a factor.
pub(crate) const MOST_FRACTION: u32 = 12;

/// Where the gate's parts are in the run: each has a gate number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipPlaces {
    /// The comparisons of each level.
    pub limits: [At; LEVELS],
    /// The lookups in each table.
    pub lookups: [At; LEVELS],
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
    fn limits(self) -> [Relu; LEVELS] {
        core::array::from_fn(|level| {
            let from = self.limited() - STEP * level as u32;
            let to = if level + 1 == LEVELS { INDEX } else { from };
            Relu::new::<u64>(from, to)
        })
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

    /// The factor of the largest sum for which the index of a level is `index`, or `index` before it is limited.
    fn factor_of(self, level: usize, index: u64) -> u64 {
        let largest = (0..level).fold(index, |index, _| LAST + ((index + 1) << STEP) - 1);
        self.factor(largest)
    }

    /// The factor of a level's last entry: an excess below 2^STEP may be rounded down to 0.
    fn last_factor(self, level: usize) -> u64 {
        match level + 1 == LEVELS {
            true => 0,
            false => self.factor_of(level, LAST + (1 << STEP) - 1),
        }
    }

    /// An entry of a level's table.
    fn entry(self, level: usize, index: u64) -> u64 {
        if index == 0 && level > 0 {
            return 0;
        }
        let factor = match index {
            LAST => self.last_factor(level),
            _ => self.factor_of(level, index),
        };
        match level {
            0 => factor,
            _ => factor.minus(self.last_factor(level - 1)),
        }
    }

    /// The factors of a sum of squares, for all ways of rounding.
    pub fn ideal(self, sum: u64) -> [u64; 1 << LEVELS] {
        core::array::from_fn(|ups| {
            let rounded = |value: u64, bits: u32, step: usize| {
                let down = value >> bits;
                down + (u64::from(down << bits < value) & (ups >> step) as u64)
            };
            let mut rest = rounded(sum, self.drop, 0);
            let entries = (0..LEVELS).map(|level| {
                let entry = self.entry(level, rest.min(LAST));
                rest = rounded(rest.saturating_sub(LAST), STEP, level + 1);
                entry
            });
            entries.fold(0, u64::plus).low(self.to)
        })
    }

    /// Cost for `rows` sums; ten rounds.
    pub fn cost(self, rows: usize) -> Cost {
        let limits = self.limits().into_iter().map(|limit| limit.cost(rows, 1));
        let lookup = Cost::opening(rows, INDEX) + self.lookup().tables_cost(rows, 1);
        limits.sum::<Cost>() + lookup * LEVELS as u64 + Cost::rounds(1)
    }

    /// Bytes of scratch that a party needs for `rows` sums.
    pub fn scratch_len(self, rows: usize) -> usize {
        let limits = self.limits().map(|limit| limit.scratch_len(rows, 1));
        let limit = limits.into_iter().max().unwrap_or(0);
        limit + (LEVELS * rows + 1) * size_of::<u64>() + rows
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
        for (level, at) in at.lookups.into_iter().enumerate() {
            for (entry, index) in table.iter_mut().zip(0..) {
                *entry = [self.entry(level, index), 0];
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
        let bytes = LEVELS * rows * size_of::<u64>();
        let (words, scratch) = scratch[unaligned..].split_at_mut(bytes);
        let indices: &mut [u64] = bytemuck::cast_slice_mut(words);
        let (signs, scratch) = scratch.split_at_mut(rows);
        for (row, sum) in excess.iter_mut().enumerate() {
            let weightless = is_weightless(row) << BEYOND;
            *sum = truncate(role, *sum, self.from, self.drop).plus(weightless);
        }
        for (level, indices) in indices.chunks_exact_mut(rows.max(1)).enumerate() {
            let gate = self.limits()[level];
            for (excess, index) in excess.iter_mut().zip(&mut *indices) {
                *index = *excess;
                *excess = index.minus(last).low(gate.from);
            }
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut *signs),
                shares: Share::wrap_slice_mut(&mut []),
            };
            let values = Share::wrap_slice_mut(&mut *excess);
            gate.run(cx, at.limits[level], [rows, 1], values, &mut sign, scratch)?;
            for (excess, index) in excess.iter_mut().zip(&mut *indices) {
                *index = index.minus(*excess).low(INDEX);
                *excess = truncate(role, *excess, gate.to, STEP.min(gate.to));
            }
        }
        let (lookup, shape) = (self.lookup(), [rows, 1]);
        for (indices, at) in indices.chunks_exact_mut(rows.max(1)).zip(at.lookups) {
            lookup.mask_arguments(cx, at, shape, indices);
        }
        let mut parts = indices.chunks_exact_mut(rows.max(1));
        let mut segments: Vec<Segment<'_, u64>, LEVELS> = Vec::new();
        for part in &mut parts {
            let _ = segments.push(Segment::words(Masked::wrap_slice_mut(part), INDEX));
        }
        cx.open(&mut segments)?;
        core::mem::drop(segments);
        excess.fill(0);
        for (indices, at) in indices.chunks_exact_mut(rows.max(1)).zip(at.lookups) {
            lookup.finish(cx, at, shape, indices)?;
            for (factor, &part) in excess.iter_mut().zip(&*indices) {
                *factor = factor.plus(part).low(self.to);
            }
        }
        words.zeroize();
        Ok(())
    }
}
