//! Clip factor: min(1, C / norm) from the square of a row's norm, so rounded that the norm of the scaled row never exceeds C.
//!
//! The sum of squares s loses its low bits, which rounds s / 2^drop up or down to i. Values of i from the last entry of a table on
//! count as this entry, by an exact comparison. So s < (i + 1) 2^drop, and the table has for i the largest factor c with
//! c^2 (i + 1) 2^drop <= 2^(2 fraction) C^2, at most 1. The last entry is 0: a row whose norm is that large counts nothing.
//!
//! C^2 is 32 to 64 units of the index. So a factor is at most what it should be, and at least that times
//! sqrt((32 - 1) / (32 + 1)) = 0.969, less its last bit. Rows whose norm is below 0.96 C keep the factor 1, and rows
//! count up to a norm of at least 7.99 C.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::Cost,
    net::link::LinkError,
    num::{division::quotient, ring::Word, square_root::square_root},
    share::{Public, Share, truncate},
};

use super::{
    At, Offline, Online,
    lookup::Lookup,
    relu::{HiddenSign, Relu},
};

/// Bits of the table's index.
const INDEX: u32 = 12;
/// The last entry, for all rows that count nothing.
const LAST: u64 = (1 << INDEX) - 1;
/// Bits of C^2 in units of the index.
const BOUND_BITS: u32 = 6;
/// The most fraction bits of a factor.
pub(crate) const MOST_FRACTION: u32 = 12;

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
        let bound = u64::from(bound) * u64::from(bound);
        let bits = u64::BITS - bound.leading_zeros();
        let drop = bits.checked_sub(BOUND_BITS)?;
        let limited = from.checked_sub(drop)?;
        let limits = INDEX + 2..=Relu::most_bits::<u64>();
        let fits = limits.contains(&limited) && fraction <= MOST_FRACTION;
        fits.then_some(ClipFactor {
            from,
            to,
            fraction,
            bound,
            drop,
        })
    }

    /// Ring of a sum without its low bits.
    fn limited(self) -> u32 {
        self.from - self.drop
    }

    /// The comparison with the last entry. Its output is in the ring of the index, so it takes any value.
    fn limit(self) -> Relu {
        Relu::new::<u64>(self.limited(), INDEX)
    }

    /// The table.
    fn lookup(self) -> Lookup {
        Lookup {
            index: INDEX,
            rest: 0,
            to: self.to,
        }
    }

    /// The factor of an entry.
    fn entry(self, index: u64) -> u64 {
        if index >= LAST {
            return 0;
        }
        let numerator = u128::from(self.bound) << (2 * self.fraction);
        let square = quotient(numerator, u128::from(index + 1) << self.drop);
        (square_root(square) as u64).min(1 << self.fraction)
    }

    /// The factors of a sum of squares whose low bits are rounded down, and up.
    pub fn ideal(self, sum: u64) -> [u64; 2] {
        let index = sum >> self.drop;
        let up = index + u64::from(index << self.drop < sum);
        [index, up].map(|index| self.entry(index))
    }

    /// Cost for `rows` sums; four rounds.
    pub fn cost(self, rows: usize) -> Cost {
        self.limit().cost(rows, 1) + self.lookup().cost(rows, 1)
    }

    /// Bytes of scratch that a party needs for `rows` sums.
    pub fn scratch_len(self, rows: usize) -> usize {
        self.limit().scratch_len(rows, 1) + (rows + 1) * size_of::<u64>() + rows
    }

    /// Pairs of words that the dealer needs.
    pub const DEALER_PAIRS: usize = 3 << INDEX;

    /// Sends the corrections for `rows` sums. `scratch` has at least [`ClipFactor::DEALER_PAIRS`] pairs.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        [limit, factor]: [At; 2],
        rows: usize,
        scratch: &mut [[u64; 2]],
    ) -> Result<(), LinkError> {
        self.limit().deal::<u64, D>(cx, limit, rows, 1)?;
        let (table, scratch) = scratch.split_at_mut(1 << INDEX);
        for (entry, index) in table.iter_mut().zip(0..) {
            *entry = [self.entry(index), 0];
        }
        let scratch = &mut scratch[..2 << INDEX];
        self.lookup()
            .deal(cx, factor, [rows, 1], table, scratch, |entry, _| entry)
    }

    /// Replaces shares of sums of squares in Z_2^from by shares of factors in Z_2^to. This party gives the rows for which
    /// `is_weightless` is 1, and not 0, the factor 0; the peer does not learn which.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        [limit, factor]: [At; 2],
        sums: &mut [Share<u64>],
        is_weightless: impl Fn(usize) -> u64,
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let (role, rows) = (cx.role(), sums.len());
        let last = match role {
            Role::P0 => LAST,
            Role::P1 => 0,
        };
        let above = Share::peel_slice_mut(sums);
        let bytes = scratch.as_ptr().align_offset(align_of::<u64>());
        let (words, scratch) = scratch[bytes..].split_at_mut(rows * size_of::<u64>());
        let indices: &mut [u64] = bytemuck::cast_slice_mut(words);
        for (row, (above, index)) in above.iter_mut().zip(&mut *indices).enumerate() {
            // More than the last entry, whatever the sum is.
            let weightless = is_weightless(row) << INDEX;
            *index = truncate(role, *above, self.from, self.drop).plus(weightless);
            *above = index.minus(last).low(self.limited());
        }
        let (signs, scratch) = scratch.split_at_mut(rows);
        let mut sign = HiddenSign {
            opened: Public::wrap_slice_mut(signs),
            shares: Share::wrap_slice_mut(&mut []),
        };
        let values = Share::wrap_slice_mut(&mut *above);
        self.limit()
            .run(cx, limit, [rows, 1], values, &mut sign, scratch)?;
        for (above, index) in above.iter_mut().zip(&*indices) {
            *above = index.minus(*above).low(INDEX);
        }
        self.lookup()
            .run(cx, factor, [rows, 1], Share::wrap_slice_mut(above))
    }
}
