//! Powers: dealt shares of the powers of a mask, and of their products with another mask.
//!
//! A mask a of n bits is read as the fraction a / 2^n, so that every power is in [-1, 1]. Powers are rounded to
//! `precision` fraction bits. As in [`super::cross`], a mask stands for a or for a - 2^n, depending on the opening.
//! So each power is dealt in two parts, a^k and (a - 2^n)^k - a^k, and the second is added where the carry applies.

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

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// Ring in which the mask is uniform, n.
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
    /// Whether 128-bit integers suffice, for products with another mask of up to `other` bits too.
    pub(crate) fn fits(self, other: u32) -> bool {
        self.precision + self.from.max(other) < i128::BITS - 1
            && self.precision >= self.from.max(other)
            && self.to <= u128::BITS
    }

    /// Dealer traffic for the powers from the second on of `rows` x `len` masks. The first power is the mask itself.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let powers = u64::from(self.highest.saturating_sub(1));
        Cost::dealt(rows, len, self.to) * (2 * powers)
    }

    /// Dealer traffic for the products of the powers from the first on with another mask.
    pub fn products_cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.to) * (4 * u64::from(self.highest))
    }

    /// The powers of `mask`, or of `mask` - 2^from if `lowered`, as fractions of 2^from.
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

    /// Sends the corrections for the powers of a group's masks. Power k has wires 2k and 2k + 1.
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

    /// This party's shares of one power for a group. `carry_select` is all ones in lanes where the mask's carry
    /// applies, else zero. Powers must be read in ascending order, from the second on.
    pub(crate) fn read<O: Online>(
        self,
        cx: &mut O,
        wire: impl Fn(u32) -> Address,
        power: u32,
        (first, lanes): (u64, usize),
        carry_select: &[u128; LANES],
    ) -> Result<[u128; LANES], LinkError> {
        let (mut out, mut part) = ([0u128; LANES], [0u128; LANES]);
        dealt(cx, wire(2 * power), first, self.to, &mut out[..lanes])?;
        dealt(cx, wire(2 * power + 1), first, self.to, &mut part[..lanes])?;
        for (out, (part, select)) in out.iter_mut().zip(part.iter().zip(carry_select)) {
            *out = out.plus(part.and(*select));
        }
        Ok(out)
    }

    /// Sends the corrections for the products of a group's powers with `others`, masks of `other` bits. Power k has
    /// wires 4k to 4k + 3.
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

    /// This party's shares of the products of one power for a group. `left` and `right` are the carry selectors of
    /// the mask and of the other mask, as in [`Powers::read`]. Powers must be read in ascending order, from the first
    /// on.
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
