//! With which probability a trial is taken: 2^-t with t = y (y + 2 K x) / K^2, in fixed point.

use core::num::NonZeroU32;

use super::compare::{below, mask, words};

/// The terms of 1 - 2^-g = c_1 g - c_2 g^2 + ...: c_k = (ln 2)^k / k!, in units of 2^-64.
const SERIES: [u64; 15] = [
    0xb172_17f7_d1cf_79ac,
    0x3d7f_7bff_058b_1d51,
    0x0e35_846b_8250_5fc6,
    0x0276_556d_f749_cee5,
    0x0057_61ff_9e29_9cc4,
    0x000a_1848_97c3_63c4,
    0x0000_ffe5_fe2c_4586,
    0x0000_162c_0223_a5c8,
    0x0000_01b5_253d_395e,
    0x0000_001e_4cf5_158c,
    0x0000_0001_e8ca_c735,
    0x0000_0000_1c3b_d651,
    0x0000_0000_0181_6193,
    0x0000_0000_0013_1496,
    0x0000_0000_0000_e1b7,
];

/// 2^-1/2 in units of 2^-64, and 1 less that.
const ROOT: u64 = 0xb504_f333_f9de_6484;
const BESIDE_ROOT: u64 = 0x4afb_0ccc_0621_9b7c;

/// Takes and refuses trials of one width.
#[derive(Clone, Debug)]
pub(super) struct Acceptance {
    /// 1 / K in units of 2^-128, rounded down, the lowest word first.
    reciprocal: [u32; 4],
}

impl Acceptance {
    /// For the width K.
    pub(super) fn new(width: NonZeroU32) -> Self {
        let reciprocal = u128::MAX / u128::from(width.get());
        Acceptance {
            reciprocal: [0, 32, 64, 96].map(|bits| (reciprocal >> bits) as u32),
        }
    }

    /// 1 if a trial is refused, else 0: `uniform` is for the fraction of the exponent, and the low bits of `bits` are for its
    /// whole part. `y` is below the width.
    #[inline(always)]
    pub(super) fn refuses(&self, x: u32, y: u32, uniform: u64, bits: u32) -> u32 {
        let (whole, fraction) = self.exponent(x, y);
        // A bit for each halving of the probability.
        let halvings = bits & 1u32.wrapping_shl(whole).wrapping_sub(1);
        below([0, 0], [halvings, 0]) | below(words(uniform), words(refusal(fraction)))
    }

    /// The exponent t = u (u + 2 x) with u = y / K: its whole part, and its fraction in units of 2^-64. It is never too large, and
    /// too small by less than 4.01 units.
    #[inline(always)]
    pub(super) fn exponent(&self, x: u32, y: u32) -> (u32, u64) {
        // u: 128 bits, of which the lowest 32 are left out.
        let mut product = 0;
        let mut ratio = [0; 4];
        for (ratio, part) in ratio.iter_mut().zip(self.reciprocal) {
            product = (product >> 32) + u64::from(y) * u64::from(part);
            *ratio = product as u32;
        }
        let [_, lowest, low, top] = ratio;
        let double = u64::from(2 * x);
        let ratio = u64::from(top) << 32 | u64::from(low);
        let square = words(high(ratio, ratio)).map(u64::from);
        let fourth = double * u64::from(lowest);
        let third = double * u64::from(low) + (fourth >> 32);
        let second = u64::from(third as u32) + square[0];
        let first = double * u64::from(top) + (third >> 32) + square[1] + (second >> 32);
        ((first >> 32) as u32, first << 32 | u64::from(second as u32))
    }
}

/// 1 - 2^-f in units of 2^-64, within 3.7 of them. `fraction` is f in the same units.
#[inline(always)]
pub(super) fn refusal(fraction: u64) -> u64 {
    // 2^-f = 2^-g, or 2^-1/2 2^-g, with g below a half.
    let upper = mask(fraction >> 63);
    let rest = fraction & (u64::MAX >> 1);
    let terms = SERIES.iter().rev();
    let sum = terms.fold(0u64, |sum, term| term.wrapping_sub(high(rest, sum)));
    let lower = high(rest, sum);
    let scaled = BESIDE_ROOT.wrapping_add(high(ROOT, lower));
    lower ^ ((lower ^ scaled) & upper)
}

/// The high half of a product.
#[inline(always)]
pub(super) fn high(a: u64, b: u64) -> u64 {
    if cfg!(target_pointer_width = "64") {
        ((u128::from(a) * u128::from(b)) >> 64) as u64
    } else {
        high_by_halves(a, b)
    }
}

/// The same by products of 32 bits, which small processors have.
#[inline(always)]
pub(super) fn high_by_halves(a: u64, b: u64) -> u64 {
    let split = |word: u64| (u64::from(word as u32), word >> 32);
    let ((a0, a1), (b0, b1)) = (split(a), split(b));
    let low = a0 * b0;
    let (middle, top) = split(a1 * b0 + (low >> 32));
    let middle = a0 * b1 + middle;
    a1 * b1 + top + (middle >> 32)
}
