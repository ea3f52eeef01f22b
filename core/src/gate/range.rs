//! Range: counts the values outside the range contract |x| < 2^(n-2) in Z_2^n. The parties get shares of the count, and
//! learn nothing about single values.
//!
//! A value is outside iff x - 2^(n-2), read as signed, is not negative. ReLU's comparison omits bit n-1, which is
//! correct only under the range contract. So this gate compares over the whole ring, as a ReLU of differences does,
//! which is correct for every x. The hidden bit is b = m xor r, where m is public and r is shared in Z_2^32. It equals
//! r or 1 - r, so the parties add up bits locally.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::{Ring, Word},
    share::Share,
};

use super::{At, Contract, Offline, Online, groups, load_plane, plane_len, relu::Relu};

/// Width in bits of the ring of counts.
pub const COUNT_BITS: u32 = 32;

/// The gate's public width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The contract of the values.
    pub contract: Contract,
    signs: Relu,
}

impl Range {
    /// The gate for a contract, with comparison in chunks of [`Ring::CHUNK`] bits.
    pub fn new<R: Ring>(contract: Contract) -> Self {
        let signs = Relu::of_differences::<R>(contract.bits, COUNT_BITS);
        Range { contract, signs }
    }

    /// The most bits of a contract whose values the gate counts.
    pub const fn most_bits<R: Ring>() -> u32 {
        Relu::most_bits::<R>()
    }

    /// Whether x is outside the contract.
    pub fn ideal<W: Word>(self, x: W) -> bool {
        !self.contract.holds(x)
    }

    /// Cost for `rows` x `len` values. Three rounds, or two if all compared bits fit one chunk.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        self.signs.sign_cost(rows, len)
    }

    /// Bytes of scratch that a party needs for `rows` x `len` values.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        self.signs.scratch_len(rows, len) + rows * plane_len(len)
    }

    /// Sends the corrections for `rows` x `len` values.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        self.signs.deal_signs::<W, D>(cx, at, rows, len)
    }

    /// Returns this party's share, in Z_2^32, of the number of values outside the contract. `x` holds `rows` x `len`
    /// shares in the contract's ring and does not change. `values` is scratch of `rows` x `len` words, and `scratch` has at least
    /// [`Range::scratch_len`] bytes.
    #[inline(never)]
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &[Share<W>],
        values: &mut [W],
        scratch: &mut [u8],
    ) -> Result<Share<u32>, LinkError> {
        let (limit, public) = match cx.role() {
            Role::P0 => (W::ONE.left(self.contract.bits - 2), W::ONE),
            Role::P1 => (W::ZERO, W::ZERO),
        };
        let values = &mut values[..rows * len];
        for (value, &x) in values.iter_mut().zip(Share::peel_slice(x)) {
            *value = x.minus(limit).low(self.contract.bits);
        }
        let (hidden, scratch) = scratch.split_at_mut(rows * plane_len(len));
        self.signs
            .hide_signs(cx, at, [rows, len], values, hidden, scratch)?;
        let mut sum = W::ZERO;
        for group in groups(at, rows, len) {
            let mut r = [W::ZERO; LANES];
            let r = &mut r[..group.lanes];
            self.signs.hiding_bits(cx, at, group.stream, r)?;
            let mut m = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            for &mut r in r {
                // m = 0: r. m = 1: 1 - r.
                let set = W::ZERO.minus(W::from_u64(m & 1));
                m >>= 1;
                sum = sum.plus(r.xor(set).minus(set)).plus(public.and(set));
            }
        }
        Ok(Share::wrap(sum.cast()))
    }
}

/// Splits `len` values into pieces of at most `room` values, a multiple of [`LANES`]. Returns each piece's position in
/// the streams and its range of values. No two pieces use the same stream offsets.
pub(crate) fn pieces(
    at: At,
    len: usize,
    room: usize,
) -> impl Iterator<Item = (At, core::ops::Range<usize>)> {
    (0..len).step_by(room.max(1)).map(move |first| {
        let piece = first..len.min(first + room);
        // A row's streams begin at its number times its groups. Choose a row number beyond all groups before.
        let row = (first / LANES).div_ceil(piece.len().div_ceil(LANES));
        let row = row as u64;
        (At { row, ..at }, piece)
    })
}

#[cfg(test)]
pub(super) mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::gate::{
        harness::{Values, run},
        reuse,
        tests::{AT, shares_of},
    };

    /// Checks the count for `xs` in rows of `len`; returns the openings.
    pub(in crate::gate) fn count<W: Word>(
        gate: Range,
        xs: &[i64],
        len: usize,
        seed: u64,
    ) -> Vec<W> {
        let rows = xs.len() / len;
        let xs = &xs[..rows * len];
        let x = Values::new(seed).share::<W>(xs, gate.contract.bits);
        let (outputs, cost) = run(
            seed,
            1 << 20,
            |cx| {
                reuse::start();
                let dealt = gate.deal::<W, _>(cx, AT, rows, len);
                reuse::stop();
                dealt
            },
            |cx| {
                let x = shares_of(cx.role(), &x);
                let mut values = vec![W::ZERO; rows * len];
                let mut scratch = vec![0; gate.scratch_len(rows, len)];
                let shares = Share::wrap_slice(&x);
                reuse::start();
                let sum = gate.run(cx, AT, [rows, len], shares, &mut values, &mut scratch);
                reuse::stop();
                Ok((sum?.reveal(), values))
            },
        );
        let [(first, opened), (second, _)] = outputs;
        let want = xs.iter().filter(|&&x| gate.ideal(W::from_i64(x))).count();
        let (bits, sum) = (gate.contract.bits, first.wrapping_add(second));
        assert_eq!(sum as usize, want, "{bits} bits, {xs:?}");
        assert_eq!(cost, gate.cost(rows, len));
        opened
    }

    #[test]
    fn counts_are_right_for_every_value_of_small_rings() {
        for bits in 2..=9 {
            for most in [1, 2, 3, 5] {
                let compared = bits - 1;
                if compared > 6 * most {
                    continue;
                }
                let gate = Range {
                    contract: Contract { bits },
                    signs: Relu::of_differences_in_chunks(bits, COUNT_BITS, most),
                };
                for x in 0..1i64 << bits {
                    count::<u32>(gate, &[x; 65], 65, x as u64 + u64::from(most));
                }
            }
        }
    }

    #[test]
    fn counts_are_right_at_protocol_widths() {
        let mut values = Values::new(1);
        for bits in [20, 18, 51, 44, 56, Range::most_bits::<u64>()] {
            let limit = 1i64 << (bits - 2);
            let mut xs: Vec<i64> = (0..2100).map(|_| values.word::<u64>() as i64).collect();
            for edge in [-2, -1, 0, 1].map(|by| limit + by) {
                xs.extend([edge, -edge, edge + limit, 2 - edge]);
            }
            if bits <= 20 {
                count::<u32>(Range::new::<u32>(Contract { bits }), &xs, 130, 2);
            } else {
                count::<u64>(Range::new::<u64>(Contract { bits }), &xs, 130, 3);
            }
        }
    }

    #[test]
    fn what_is_opened_is_uniform() {
        // One value inside and one outside, many times each.
        for x in [3, 1 << 18] {
            let opened = count::<u32>(
                Range::new::<u32>(Contract { bits: 20 }),
                &[x; 64 * 64],
                64,
                9,
            );
            for bit in 0..20 {
                let ones = opened.iter().filter(|e| e.right(bit).and(1) == 1).count();
                assert!((ones as i64 - 2048).abs() < 200, "bit {bit}: {ones}");
            }
        }
    }

    #[test]
    fn pieces_cover_all_values_and_use_no_stream_offset_twice() {
        for len in [1, 63, 64, 65, 1000, 4097] {
            for room in [64, 128, 960] {
                let (mut next, mut next_group) = (0, 0);
                for (at, piece) in pieces(AT, len, room) {
                    assert_eq!(piece.start, next);
                    next = piece.end;
                    for group in groups(at, 1, piece.len()) {
                        let number = group.stream / LANES as u64;
                        assert!(number >= next_group, "{len} {room}");
                        next_group = number + 1;
                    }
                }
                assert_eq!(next, len);
            }
        }
    }

    #[test]
    fn cost_at_default_widths() {
        let cost = Range::new::<u32>(Contract { bits: 20 }).cost(128, 6272);
        let values = 128 * 6272;
        assert_eq!(cost.online_bytes, values * 27 / 8);
        assert_eq!(cost.rounds, 3);
    }
}
