//! Powers: shares of the powers of a mask, dealt, and of their products with another mask.
//!
//! A mask of n bits counts as a fraction of 2^n, so that every power lies in [-1, 1], and is dealt with
//! `precision` fraction bits, rounded. As in [`super::cross`] each comes in parts, of which the opening
//! tells how many count.

use crate::{
    cost::{Cost, LANES},
    net::link::LinkError,
    num::{
        polynomial::MAX_DEGREE,
        ring::{Word, signed},
    },
    prg::Address,
};

use super::{Offline, Online, deal, dealt};

/// The public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// Ring in which the mask is uniform.
    pub from: u32,
    /// Fraction bits of the powers.
    pub precision: u32,
    /// Ring of the shares.
    pub to: u32,
    /// The highest power.
    pub highest: u32,
}

/// `left * right / 2^by`, rounded to the nearest.
pub(crate) fn scaled(left: i128, right: i128, by: u32) -> i128 {
    let half = if by == 0 { 0 } else { 1 << (by - 1) };
    left.wrapping_mul(right).wrapping_add(half) >> by
}

impl Powers {
    /// Whether the dealer can compute them, with another mask of up to `other` bits.
    pub(crate) fn fits(self, other: u32) -> bool {
        self.precision + self.from.max(other) < i128::BITS - 1
            && self.precision >= self.from.max(other)
            && self.to <= u128::BITS
    }

    /// Dealer traffic for `rows` x `len` masks: powers from the second on.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let powers = u64::from(self.highest.saturating_sub(1));
        Cost::dealt(rows, len, self.to) * (2 * powers)
    }

    /// Dealer traffic for products with another mask: powers from the first on.
    pub fn products_cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.to) * (4 * u64::from(self.highest))
    }

    /// A mask's powers, itself or less 2^from.
    fn of(self, mask: u128, lowered: bool) -> [i128; MAX_DEGREE + 1] {
        let integer = if lowered {
            signed(mask, self.from)
        } else {
            mask as i128
        };
        let mut powers = [0; MAX_DEGREE + 1];
        powers[1] = integer << (self.precision - self.from);
        for power in 2..=self.highest as usize {
            powers[power] = scaled(powers[power - 1], integer, self.from);
        }
        powers
    }

    /// Sends the powers of one group's masks. Wires: two for each power.
    pub(crate) fn deal<D: Offline>(
        self,
        cx: &mut D,
        wire: impl Fn(u32) -> Address,
        first: u64,
        masks: &[u128],
    ) -> Result<(), LinkError> {
        let mut parts = [[[0u128; LANES]; 2]; MAX_DEGREE + 1];
        for (lane, &mask) in masks.iter().enumerate() {
            let [plain, lowered] = [false, true].map(|lowered| self.of(mask, lowered));
            for (part, (plain, lowered)) in parts.iter_mut().zip(plain.iter().zip(lowered)) {
                part[0][lane] = *plain as u128;
                part[1][lane] = lowered.wrapping_sub(*plain) as u128;
            }
        }
        for power in 2..=self.highest {
            for (which, part) in parts[power as usize].iter_mut().enumerate() {
                let wire = wire(2 * power + which as u32);
                deal(cx, wire, first, self.to, &mut part[..masks.len()])?;
            }
        }
        Ok(())
    }

    /// This party's shares of one power for one group, where `counts` tells which masks are lowered. Powers
    /// are read in order, from the second on.
    pub(crate) fn read<O: Online>(
        self,
        cx: &mut O,
        wire: impl Fn(u32) -> Address,
        power: u32,
        (first, lanes): (u64, usize),
        counts: &[u128; LANES],
    ) -> Result<[u128; LANES], LinkError> {
        let (mut out, mut part) = ([0u128; LANES], [0u128; LANES]);
        dealt(cx, wire(2 * power), first, self.to, &mut out[..lanes])?;
        dealt(cx, wire(2 * power + 1), first, self.to, &mut part[..lanes])?;
        for (out, (part, counts)) in out.iter_mut().zip(part.iter().zip(counts)) {
            *out = out.plus(part.and(*counts));
        }
        Ok(out)
    }

    /// Sends the products of one group's powers with `others`, masks of `other` bits. Wires: four for
    /// each power.
    pub(crate) fn deal_products<D: Offline>(
        self,
        cx: &mut D,
        wire: impl Fn(u32) -> Address,
        first: u64,
        masks: &[u128],
        (others, other): (&[u128], u32),
    ) -> Result<(), LinkError> {
        let mut parts = [[[0u128; LANES]; 4]; MAX_DEGREE + 1];
        for (lane, (&mask, &right)) in masks.iter().zip(others).enumerate() {
            let left = [false, true].map(|lowered| self.of(mask, lowered));
            let right = [right as i128, signed(right, other)];
            for (power, part) in parts.iter_mut().enumerate() {
                let product = |l: usize, r: usize| scaled(left[l][power], right[r], other) as u128;
                let [plain, one, two] = [product(0, 0), product(0, 1), product(1, 0)];
                part[0][lane] = plain;
                part[1][lane] = one.minus(plain);
                part[2][lane] = two.minus(plain);
                part[3][lane] = product(1, 1).minus(two).minus(one).plus(plain);
            }
        }
        for power in 1..=self.highest {
            for (which, part) in parts[power as usize].iter_mut().enumerate() {
                let wire = wire(4 * power + which as u32);
                deal(cx, wire, first, self.to, &mut part[..masks.len()])?;
            }
        }
        Ok(())
    }

    /// This party's shares of one power's products for one group, where `counts` tells which masks, and
    /// which of the other masks, are lowered. They are read in order, from the first power on.
    pub(crate) fn read_product<O: Online>(
        self,
        cx: &mut O,
        wire: impl Fn(u32) -> Address,
        power: u32,
        (first, lanes): (u64, usize),
        [left, right]: [&[u128; LANES]; 2],
    ) -> Result<[u128; LANES], LinkError> {
        let (mut out, mut part) = ([0u128; LANES], [0u128; LANES]);
        for which in 0..4 {
            let wire = wire(4 * power + which);
            dealt(cx, wire, first, self.to, &mut part[..lanes])?;
            for (lane, (out, part)) in out.iter_mut().zip(part).enumerate() {
                let left = if which & 2 == 0 {
                    u128::MAX
                } else {
                    left[lane]
                };
                let right = if which & 1 == 0 {
                    u128::MAX
                } else {
                    right[lane]
                };
                *out = out.plus(part.and(left).and(right));
            }
        }
        Ok(out)
    }
}
