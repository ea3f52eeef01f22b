//! Range: how many of many values left the range contract |x| < 2^(n-2) in Z_2^n. The count comes as shares; nothing is
//! told of a single value.
//!
//! A value is outside iff x - 2^(n-2), read as signed, is not negative. The trick by which ReLU leaves bit n-1 out of
//! its comparison holds inside the contract alone, so the comparison here goes over the whole ring, as that of
//! differences does: it is right for every x. The hidden bit b = m xor r of a value, with m public and r shared in
//! Z_2^32, is r or 1 - r, so a sum of bits takes no traffic.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::{Ring, Word},
    share::Share,
};

use super::{At, Offline, Online, groups, load_plane, plane_len, relu::Relu};

/// Bits of the ring in which values are counted.
pub const COUNT_BITS: u32 = 32;

/// The gate's public width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Ring of the values, in bits, from 2 on.
    pub bits: u32,
    signs: Relu,
}

impl Range {
    /// The gate over Z_2^bits, with words of `W` comparing chunks of its table width.
    pub fn new<R: Ring>(bits: u32) -> Self {
        Range::with_signs(bits, Relu::of_differences::<R>(bits, COUNT_BITS))
    }

    fn with_signs(bits: u32, signs: Relu) -> Self {
        Range { bits, signs }
    }

    /// Whether x in Z_2^bits lies outside [-2^(bits-2), 2^(bits-2)).
    pub fn ideal<W: Word>(self, x: W) -> bool {
        let limit = 1i128 << (self.bits - 2);
        let x = crate::num::ring::signed(x.low(self.bits), self.bits);
        !(-limit..limit).contains(&x)
    }

    /// Cost for `rows` x `len` values. Three rounds, or two where one table holds all that is compared.
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

    /// Returns this party's share, in Z_2^32, of the number of values outside the contract among `rows` x `len`
    /// shares in Z_2^bits, which stay as they are. `values` has room for as many words, and `scratch` holds at least
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
            Role::P0 => (W::ONE.left(self.bits - 2), W::ONE),
            Role::P1 => (W::ZERO, W::ZERO),
        };
        let values = &mut values[..rows * len];
        for (value, &x) in values.iter_mut().zip(Share::peel_slice(x)) {
            *value = x.minus(limit).low(self.bits);
        }
        let (hidden, scratch) = scratch.split_at_mut(rows * plane_len(len));
        self.signs
            .hide_signs(cx, at, [rows, len], values, hidden, scratch)?;
        let mut sum = W::ZERO;
        for group in groups(at, rows, len) {
            let mut r = [W::ZERO; LANES];
            let r = &mut r[..group.lanes];
            self.signs.hiding(cx, at, group.stream, r)?;
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

/// Cuts `len` values in pieces of at most `room`, a whole number of lanes: where each stands, its first value, and its
/// length.
pub(crate) fn pieces(
    at: At,
    len: usize,
    room: usize,
) -> impl Iterator<Item = (At, core::ops::Range<usize>)> {
    (0..len).step_by(room.max(1)).map(move |first| {
        let piece = first..len.min(first + room);
        // The streams of a row begin at its number times its groups: past all groups before.
        let row = (first / LANES).div_ceil(piece.len().div_ceil(LANES));
        let row = row as u64;
        (At { row, ..at }, piece)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::gate::{
        harness::{Values, run},
        reuse,
        tests::{AT, mine},
    };

    /// The count among `xs` in rows of `len`, against the ideal one; what was opened on the way.
    fn count<W: Word>(gate: Range, xs: &[i64], len: usize, seed: u64) -> Vec<W> {
        let rows = xs.len() / len;
        let xs = &xs[..rows * len];
        let x = Values::new(seed).share::<W>(xs, gate.bits);
        let (made, cost) = run(
            seed,
            1 << 20,
            |cx| {
                reuse::start();
                let dealt = gate.deal::<W, _>(cx, AT, rows, len);
                reuse::stop();
                dealt
            },
            |cx| {
                let x = mine(cx.role(), &x);
                let mut values = vec![W::ZERO; rows * len];
                let mut scratch = vec![0; gate.scratch_len(rows, len)];
                let shares = Share::wrap_slice(&x);
                reuse::start();
                let sum = gate.run(cx, AT, [rows, len], shares, &mut values, &mut scratch);
                reuse::stop();
                Ok((sum?.reveal(), values))
            },
        );
        let [(first, opened), (second, _)] = made;
        let want = xs.iter().filter(|&&x| gate.ideal(W::from_i64(x))).count();
        let (bits, sum) = (gate.bits, first.wrapping_add(second));
        assert_eq!(sum as usize, want, "{bits} bits, {xs:?}");
        assert_eq!(cost, gate.cost(rows, len));
        opened
    }

    #[test]
    fn every_value_of_small_rings_is_judged_alone_under_many_masks() {
        for bits in 2..=9 {
            for most in [1, 2, 3, 5] {
                let compared = bits - 1;
                if compared > 6 * most {
                    continue;
                }
                let gate =
                    Range::with_signs(bits, Relu::of_differences_in_chunks(bits, COUNT_BITS, most));
                for x in 0..1i64 << bits {
                    count::<u32>(gate, &[x; 65], 65, x as u64 + u64::from(most));
                }
            }
        }
    }

    #[test]
    fn counts_are_right_at_protocol_widths() {
        let mut values = Values::new(1);
        for bits in [20, 18, 51, 44, 56] {
            let limit = 1i64 << (bits - 2);
            let mut xs: Vec<i64> = (0..2100).map(|_| values.word::<u64>() as i64).collect();
            for edge in [-2, -1, 0, 1].map(|by| limit + by) {
                xs.extend([edge, -edge, edge + limit, 2 - edge]);
            }
            if bits <= 20 {
                count::<u32>(Range::new::<u32>(bits), &xs, 130, 2);
            } else {
                count::<u64>(Range::new::<u64>(bits), &xs, 130, 3);
            }
        }
    }

    #[test]
    fn what_is_opened_is_uniform() {
        // One value far outside and one inside, many times.
        for x in [3, 1 << 18] {
            let opened = count::<u32>(Range::new::<u32>(20), &[x; 64 * 64], 64, 9);
            for bit in 0..20 {
                let ones = opened.iter().filter(|e| e.right(bit).and(1) == 1).count();
                assert!((ones as i64 - 2048).abs() < 200, "bit {bit}: {ones}");
            }
        }
    }

    #[test]
    fn pieces_cover_all_values_and_no_stream_twice() {
        for len in [1, 63, 64, 65, 1000, 4097] {
            for room in [64, 128, 960] {
                let (mut next, mut groups_past) = (0, 0);
                for (at, piece) in pieces(AT, len, room) {
                    assert_eq!(piece.start, next);
                    next = piece.end;
                    for group in groups(at, 1, piece.len()) {
                        let number = group.stream / LANES as u64;
                        assert!(number >= groups_past, "{len} {room}");
                        groups_past = number + 1;
                    }
                }
                assert_eq!(next, len);
            }
        }
    }

    #[test]
    fn an_audit_of_usual_values_costs_this() {
        let cost = Range::new::<u32>(20).cost(128, 6272);
        let values = 128 * 6272;
        assert_eq!(cost.online_bytes, values * 27 / 8);
        assert_eq!(cost.rounds, 3);
    }
}
