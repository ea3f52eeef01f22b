//! Contributed values: their owner has masked them in a narrow ring, and the masked values are open. The parties turn them into
//! shares in Z_2^L, without a byte from each other.
//!
//! Each party knows its part of a mask, a0 or a1, uniform in Z_2^b, and the dealer knows both. The opening of a value x with
//! |x| < 2^(b-2) is e = x + 2^(b-2) + a, where a = a0 + a1 mod 2^b. As integers, with c = 1 if a0 + a1 >= 2^b,
//! x + 2^(b-2) = e - a0 - a1 + 2^b * (c + msb(a) * (1 - msb(e))). The dealer shares c and c + msb(a) in Z_2^(L-b), and the public
//! bit of e tells which of them counts.

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::{Ring, Word},
    prg::{
        Key,
        contributed::{Part, mask},
    },
};

use super::{At, Offline, Online, deal, dealt, groups, lift::Lift};

/// The wires of c and of c + msb(a).
const CARRIES: [u8; 2] = [0, 1];

/// The gate. Its public width b is that of the masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contributed {
    masks: Lift,
}

impl Contributed {
    /// The gate for masks of `bits` bits and shares in the ring `R`.
    pub fn new<R: Ring>(bits: u32) -> Self {
        Contributed {
            masks: Lift {
                from: bits,
                to: R::BITS,
            },
        }
    }

    /// The value that the parties' parts `masks` of a mask hide in `masked`.
    pub fn ideal<R: Ring>(self, masked: R, masks: [R; 2]) -> R {
        let bits = self.masks.from;
        let value = masks
            .iter()
            .fold(masked, |value, &mask| value.minus(mask))
            .low(bits);
        // The sign bit stands for all above it.
        let sign = value.right(bits - 1).left(bits - 1);
        value.minus(sign).minus(sign)
    }

    /// Cost for `rows` x `len` values: dealt bits alone.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.masks.high()) * 2
    }

    /// Sends the corrections for a part of a contribution with `len` values, by the keys of its masks.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        (keys, part): ([&[u8; Key::LEN]; 2], Part),
        len: usize,
    ) -> Result<(), LinkError> {
        let Lift { from, .. } = self.masks;
        if self.masks.high() == 0 {
            return Ok(());
        }
        for group in groups(at, 1, len) {
            let mut sum = [R::ZERO; LANES];
            let sum = &mut sum[..group.lanes];
            for key in keys {
                add_masks(key, part, from, group.first, sum);
            }
            let mut values = [[R::ZERO; LANES]; 2];
            let [carries, with_top] = &mut values;
            for ((carry, with_top), &sum) in carries.iter_mut().zip(with_top).zip(&*sum) {
                *carry = sum.right(from);
                *with_top = carry.plus(sum.low(from).right(from - 1));
            }
            for (wire, values) in CARRIES.into_iter().zip(&mut values) {
                let values = &mut values[..group.lanes];
                deal(cx, at.wire(wire), group.stream, self.masks.high(), values)?;
            }
        }
        Ok(())
    }

    /// Turns the masked values of a part of a contribution, in place, into this party's shares of what they hide. `key` is that
    /// of its masks.
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        (key, part): (&[u8; Key::LEN], Part),
        values: &mut [R],
    ) -> Result<(), LinkError> {
        let Lift { from, .. } = self.masks;
        let offset: R = self.masks.offset();
        for group in groups(at, 1, values.len()) {
            let mut masks = [R::ZERO; LANES];
            add_masks(key, part, from, group.first, &mut masks[..group.lanes]);
            let mut carries = [[R::ZERO; LANES]; 2];
            for (wire, carries) in CARRIES.into_iter().zip(&mut carries) {
                let carries = &mut carries[..group.lanes];
                dealt(cx, at.wire(wire), group.stream, self.masks.high(), carries)?;
            }
            for (lane, value) in values[group.range()].iter_mut().enumerate() {
                let opened = value.plus(offset).low(from);
                let [carry, with_top] = carries.map(|carries| carries[lane]);
                let select = self.masks.carry_select(opened);
                let carry = carry.xor(carry.xor(with_top).and(select));
                let public = match cx.role() {
                    Role::P0 => opened.minus(offset),
                    Role::P1 => R::ZERO,
                };
                *value = public.minus(masks[lane]).plus(carry.left(from));
            }
        }
        Ok(())
    }
}

/// Adds a party's part of the masks of the values from `first` on, each in Z_2^bits, to `out`, at most [`LANES`] words.
fn add_masks<R: Ring>(key: &[u8; Key::LEN], part: Part, bits: u32, first: usize, out: &mut [R]) {
    let mut masks = [0u32; LANES];
    let masks = &mut masks[..out.len()];
    mask(key, part, first as u64, masks);
    for (out, mask) in out.iter_mut().zip(masks) {
        *out = out.plus(mask.cast::<R>().low(bits));
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
        num::ring::signed,
    };

    /// Checks the shares of values, whose masked forms an owner makes.
    fn shares<R: Ring>(bits: u32, xs: &[i64], number: u8) {
        let gate = Contributed::new::<R>(bits);
        let keys = [[number; Key::LEN], [number ^ 0x80; Key::LEN]];
        let mut masks = [vec![0; xs.len()], vec![0; xs.len()]];
        for (key, masks) in keys.iter().zip(&mut masks) {
            mask(key, Part::Pixels, 0, masks);
        }
        let [first, second] = &masks;
        let masked: Vec<R> = xs
            .iter()
            .zip(first.iter().zip(second))
            .map(|(&x, (&a0, &a1))| R::from_i64(x + i64::from(a0) + i64::from(a1)).low(bits))
            .collect();
        for ((&x, &masked), (&a0, &a1)) in xs.iter().zip(&masked).zip(first.iter().zip(second)) {
            let masks = [a0, a1].map(|mask| R::from_u64(mask.into()));
            assert_eq!(signed(gate.ideal(masked, masks), R::BITS), x.into(), "{x}");
        }
        let (outputs, cost) = run(
            number.into(),
            1 << 20,
            |cx| gate.deal::<R, _>(cx, AT, (keys.each_ref(), Part::Pixels), xs.len()),
            |cx| {
                let mut values = masked.clone();
                let key = &keys[cx.role().index()];
                gate.run(cx, AT, (key, Part::Pixels), &mut values)?;
                Ok(values)
            },
        );
        let [one, other] = outputs;
        for ((&x, one), other) in xs.iter().zip(one).zip(other) {
            assert_eq!(signed(one.plus(other), R::BITS), x.into(), "{x} {bits}");
        }
        assert_eq!(cost, gate.cost(1, xs.len()));
    }

    fn at_width<R: Ring>(bits: u32) {
        let limit = 1i64 << (bits - 2);
        // At every number of keys the ends, both sides of zero, and values between.
        for number in 0..20 {
            let mut values = Values::new(number.into());
            let mut xs = vec![-limit, limit - 1, 0, -1, 1];
            for _ in 0..300 {
                xs.push(i64::from(values.word::<u32>()).rem_euclid(2 * limit) - limit);
            }
            shares::<R>(bits, &xs, number);
        }
    }

    #[test]
    fn masked_values_become_shares_in_both_rings() {
        for bits in [16, 24, 32] {
            at_width::<u32>(bits);
            at_width::<u64>(bits);
        }
    }

    #[test]
    fn every_value_under_many_masks_becomes_a_share_at_a_small_width() {
        let xs: Vec<i64> = (0..64 * 128).map(|at| at % 128 - 64).collect();
        for number in 0..8 {
            shares::<u32>(8, &xs, number);
        }
    }
}
