//! Bounds: counts, row by row, the public bounds that open masked values break. The parties get shares of the counts, and learn
//! nothing about single values.
//!
//! A value x in Z_2^b lies in [lo, hi] iff neither lo - 1 - x nor x - hi - 1, read as signed, is positive or 0. So a
//! value that is anywhere outside breaks one bound, and one within breaks none, as long as hi - lo < 2^(b-1). The values are open
//! under masks of which both parties have a share, so both differences are open too: nothing is sent to open them.

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::Ring,
    share::Share,
};
use bytemuck::TransparentWrapper;

use super::{
    At, Offline, Online, groups, load_plane, plane_len, range::COUNT_BITS, relu::Relu,
    relu::SignOpening,
};

/// The gate. Its public width b is that of the values' ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    signs: Relu,
}

impl Bounds {
    /// The gate for values in Z_2^bits, held in words of `R`.
    pub fn new<R: Ring>(bits: u32) -> Self {
        Bounds {
            signs: Relu::of_differences::<R>(bits, COUNT_BITS),
        }
    }

    /// The bounds that x breaks, of [lo, hi].
    pub fn ideal<R: Ring>(self, x: R, [lo, hi]: [R; 2]) -> u32 {
        let sign = self.signs.from - 1;
        let is_negative = |value: R| value.right(sign).and(R::ONE) == R::ONE;
        let below = lo.minus(R::ONE).minus(x);
        let above = x.minus(hi).minus(R::ONE);
        u32::from(!is_negative(below)) + u32::from(!is_negative(above))
    }

    /// The openings of both differences, for the opening `e` of a value with bounds [lo, hi]. Their masks are minus the value's
    /// mask, and the value's mask.
    pub fn differences<R: Ring>(self, e: R, [lo, hi]: [R; 2]) -> [R; 2] {
        [
            self.signs.difference(lo.minus(R::ONE), e),
            self.signs.difference(e, hi.plus(R::ONE)),
        ]
    }

    /// Cost for `rows` x `len` values. Two rounds.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        self.signs.opened_sign_cost(2 * rows, len)
    }

    /// Bytes of scratch that a party needs for `rows` x `len` values.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        self.signs.scratch_len(2 * rows, len) + 2 * rows * plane_len(len)
    }

    /// Sends the corrections for `rows` x `len` values. `masks` holds two rows for each: the masks of both differences.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
        masks: &[R],
    ) -> Result<(), LinkError> {
        let masks = |_: &D, group: &super::Group, out: &mut [R]| {
            out.copy_from_slice(&masks[group.range()]);
        };
        self.signs
            .deal_opened_signs::<R, D>(cx, at, 2 * rows, len, masks)
    }

    /// Writes this party's share, in Z_2^32, of the number of bounds that each row breaks to `counts`. `e` holds two rows for each:
    /// the openings of both differences. `scratch` has at least [`Bounds::scratch_len`] bytes.
    ///
    /// A use takes the rows `2 at.row`, `2 at.row + 1`, ... of the streams at `at`.
    #[inline(never)]
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        e: &[R],
        counts: &mut [Share<u32>],
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let public = match cx.role() {
            Role::P0 => R::ONE,
            Role::P1 => R::ZERO,
        };
        let (hidden, scratch) = scratch.split_at_mut(2 * rows * plane_len(len));
        let signs = SignOpening {
            e: &e[..2 * rows * len],
            hidden: &mut *hidden,
            beside: None,
            at_once: false,
        };
        self.signs
            .hide_opened_signs(cx, at, [2 * rows, len], signs, scratch)?;
        counts[..rows].fill(Share::wrap(0));
        for group in groups(at, 2 * rows, len) {
            let mut r = [R::ZERO; LANES];
            let r = &mut r[..group.lanes];
            self.signs.hiding_bits(cx, at, group.stream, r)?;
            let mut m = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            let mut sum = R::ZERO;
            for &mut r in r {
                // m = 0: r. m = 1: 1 - r.
                let set = R::ZERO.minus(R::from_u64(m & 1));
                m >>= 1;
                sum = sum.plus(r.xor(set).minus(set)).plus(public.and(set));
            }
            let count = &mut counts[group.first / (2 * len)];
            *count = Share::wrap(count.reveal().wrapping_add(sum.to_u64() as u32));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{vec, vec::Vec};

    use super::*;
    use crate::{
        gate::{
            harness::{Values, run},
            tests::AT,
        },
        num::ring::Word,
    };

    /// Checks the counts of rows of `len` values against the ideal function.
    fn count<R: Ring>(bits: u32, xs: &[R], bounds: &[[R; 2]], len: usize, seed: u64) {
        let gate = Bounds::new::<R>(bits);
        let rows = xs.len() / len;
        let mut values = Values::new(seed);
        let masks: Vec<R> = xs.iter().map(|_| values.word::<R>()).collect();
        let (mut openings, mut doubled) =
            (vec![R::ZERO; 2 * xs.len()], vec![R::ZERO; 2 * xs.len()]);
        for (at, (&x, &mask)) in xs.iter().zip(&masks).enumerate() {
            let first = at / len * 2 * len + at % len;
            let [below, above] = gate.differences(x.plus(mask), bounds[at % len]);
            (openings[first], openings[first + len]) = (below, above);
            (doubled[first], doubled[first + len]) = (mask.negated(), mask);
        }
        let (outputs, cost) = run(
            seed,
            1 << 20,
            |cx| gate.deal(cx, AT, [rows, len], &doubled),
            |cx| {
                let mut counts = vec![Share::wrap(0); rows];
                let mut scratch = vec![0; gate.scratch_len(rows, len)];
                gate.run(cx, AT, [rows, len], &openings, &mut counts, &mut scratch)?;
                let counts: Vec<u32> = counts.iter().map(|count| count.reveal()).collect();
                Ok(counts)
            },
        );
        let [first, second] = outputs;
        for (row, (one, other)) in first.into_iter().zip(second).enumerate() {
            let of_row = xs[row * len..][..len].iter().zip(bounds);
            let want: u32 = of_row.map(|(&x, &bounds)| gate.ideal(x, bounds)).sum();
            assert_eq!(one.wrapping_add(other), want, "{row}");
        }
        assert_eq!(cost, gate.cost(rows, len));
    }

    #[test]
    fn the_ideal_function_counts_what_is_outside() {
        let gate = Bounds::new::<u32>(32);
        for (lo, hi) in [(0, 4096), (0, 1), (1, 1), (-1740, 11_600), (-5, -2)] {
            let bounds = [lo, hi].map(|bound: i64| u32::from_i64(bound));
            for x in [lo, hi, (lo + hi) / 2] {
                assert_eq!(gate.ideal(u32::from_i64(x), bounds), 0, "{x} {lo} {hi}");
            }
            let far = [
                1i64 << 31,
                (1 << 31) - 1,
                (1 << 31) + 1,
                1 << 16,
                -(1 << 16),
            ];
            for x in [lo - 1, hi + 1].into_iter().chain(far) {
                assert!(gate.ideal(u32::from_i64(x), bounds) > 0, "{x} {lo} {hi}");
            }
        }
    }

    fn at_width<R: Ring>(bits: u32) {
        let limits = [(0, 4096), (0, 1), (1, 1), (-1740, 11_600)];
        let len = 67;
        let of = |at: usize| limits[at % limits.len()];
        let bounds: Vec<[R; 2]> = (0..len)
            .map(|at| [of(at).0, of(at).1].map(R::from_i64))
            .collect();
        let mut values = Values::new(5);
        let mut xs = Vec::new();
        for row in 0..40 {
            for at in 0..len {
                let (lo, hi) = of(at);
                let inside = R::from_i64(lo + (values.word::<u32>() as i64) % (hi - lo + 1));
                xs.push(match (row, (row * 7 + at) % 11) {
                    (0, _) | (_, 3..) => inside,
                    (_, 0) => values.word::<R>(),
                    (1..20, 1) => R::from_i64(lo - 1),
                    (1..20, _) => R::from_i64(hi + 1),
                    _ => R::ONE.left(bits - 1).plus(R::from_i64(at as i64 - 30)),
                });
            }
        }
        count::<R>(bits, &xs, &bounds, len, 3);
        // No row of values within breaks a bound.
        count::<R>(bits, &xs[..len], &bounds, len, 4);
    }

    #[test]
    fn counts_are_right_at_all_widths() {
        for bits in [16, 24, 32] {
            at_width::<u32>(bits);
            at_width::<u64>(bits);
        }
    }

    #[test]
    fn every_value_of_a_small_ring_is_told_from_its_neighbours() {
        // All values of 8 bits, at all bounds that leave half of the ring.
        let gate = Bounds::new::<u32>(8);
        for (lo, width) in (-128..128i64).flat_map(|lo| [0, 1, 127].map(|width| (lo, width))) {
            let hi = lo + width;
            let bounds = [lo, hi].map(u32::from_i64);
            for x in 0..256u32 {
                let inside = (i64::from(x) - lo).rem_euclid(256) <= width;
                assert_eq!(gate.ideal(x, bounds) == 0, inside, "{x} {lo} {hi}");
            }
        }
        let xs: Vec<u32> = (0..256).collect();
        count::<u32>(8, &xs, &[[0, 100]; 256], 256, 6);
    }
}
