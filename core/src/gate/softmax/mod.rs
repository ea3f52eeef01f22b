//! Softmax: shares of logits -> shares of probabilities. No logit is opened. The gradient by the logits under cross
//! entropy is (probabilities - labels), which the parties compute locally.
//!
//! 1. Shift. Softmax does not change when the same number is subtracted from all logits of a sample. So the maximum is
//!    needed only to a multiple of 1/4. Each logit is truncated to quarters and opened under a mask, and the dealer
//!    shares the one-hot vector of the mask. Each party rotates its share of the vector by the public opening, and sums
//!    it from the top. This gives shares of `logit >= t` for every threshold t. Sums over the logits are counts. A small
//!    lookup turns each count into `count > 0`, and the sum of these is the maximum in quarters.
//! 2. Clip. d = z - max + 15.25 is below 15.5, and ReLU sets negative d to 0.
//! 3. Exponential, by lookup at multiples of 1/8 with linear interpolation. The error of e^r ~ 1 + r for |r| < 1/8 is
//!    below 2^-7 of each value, and so below 2^-9 of a probability.
//! 4. Reciprocal of the sum, by lookup at multiples of 1/64 with linear interpolation.
//! 5. Product of both, in a ring from which a local truncation leads to Z_2^L.

mod maximum;

use bytemuck::TransparentWrapper;
use zeroize::Zeroize;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::{
        fixed_point::Format,
        ring::{Ring, Word},
    },
    share::{Public, Share, truncate},
};

use super::{
    At, Offline, Online,
    lookup::Lookup,
    multiply::Multiply,
    relu::{HiddenSign, Relu},
    widen::Widen,
};

/// The gate for one format and number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The bit widths of the run.
    pub format: Format,
    /// Number of classes, 2 to [`MAX_CLASSES`].
    pub classes: usize,
    /// log2 of the result's scale relative to 2^f: probabilities are at scale f + exponent.
    pub exponent: i32,
}

/// The most classes that the gate supports.
pub const MAX_CLASSES: usize = 128;

/// Number of consecutive gate numbers of one softmax.
pub const GATES: u32 = 8;

const WIDEN: u32 = 0;
const MAXIMUM: u32 = 1;
const CLIP: u32 = 2;
const EXPONENTIAL: u32 = 3;
const RECIPROCAL: u32 = 4;
const PRODUCT: u32 = 5;

/// 15.25 in quarters: what is added to z - max before the clip at 0. So arguments below -15.25 are clipped.
const CLIP_QUARTERS: u64 = 61;
/// Fraction bits of the exponential's slope.
const SLOPE_FRACTION: u32 = 10;
/// Fraction bits of the sum of exponentials.
const SUM_FRACTION: u32 = 12;
/// Fraction bits of the sum's table index.
const SUM_INDEX_FRACTION: u32 = 6;
/// Fraction bits of the reciprocal, as looked up.
const RECIPROCAL_FRACTION: u32 = 18;
/// Fraction bits of both factors of the product.
const FACTOR_FRACTION: u32 = 14;

impl Softmax {
    /// Width in bits of the ring of logits: at most 8 bits before the binary point, so that |z| < 64.
    fn logit_bits(self) -> u32 {
        self.format.narrow().min(self.format.fraction + 8)
    }

    /// log2 of 1/4 at scale f.
    fn quarter(self) -> u32 {
        self.format.fraction - 2
    }

    /// Width in bits of the ring of logits in quarters.
    fn quarter_bits(self) -> u32 {
        self.logit_bits() - self.quarter()
    }

    /// The highest threshold, in quarters. Thresholds are the integers in (-highest, highest].
    fn highest(self) -> u64 {
        1 << (self.quarter_bits() - 2)
    }

    /// Number of thresholds.
    fn thresholds(self) -> usize {
        2 * self.highest() as usize
    }

    /// Width in bits of the ring of counts of classes.
    fn count_bits(self) -> u32 {
        usize::BITS - self.classes.leading_zeros()
    }

    /// Width in bits of the ring of shifted logits: enough for twice the range of logits, and for the clip.
    fn shifted_bits(self) -> u32 {
        (self.logit_bits() + 1).max(self.format.fraction + 6)
    }

    /// Number of thresholds whose count tables are packed thresholds_per_table.
    fn thresholds_per_table(self) -> usize {
        (LANES >> self.count_bits()).max(1)
    }

    /// Width in bits of the ring of the maximum in quarters.
    fn maximum_bits(self) -> u32 {
        self.shifted_bits() - self.quarter()
    }

    /// Bits before the binary point of the sum of exponentials, each below e^(1/4).
    fn sum_integer_bits(self) -> u32 {
        let most = self.classes * 13 / 10 + 1;
        (usize::BITS - most.leading_zeros()).max(3)
    }

    /// Widens logits to the ring of shifted logits.
    fn widen(self) -> Widen {
        Widen {
            from: self.logit_bits(),
            to: self.shifted_bits(),
        }
    }

    /// Clips shifted logits at 0.
    fn clip(self) -> Relu {
        Relu::new::<u64>(self.shifted_bits(), self.format.fraction + 4)
    }

    /// Lookup of the exponential, with [`SLOPE_FRACTION`] + f fraction bits.
    fn exponential(self) -> Lookup {
        Lookup {
            index: 7,
            rest: self.format.fraction - 3,
            to: SLOPE_FRACTION + self.format.fraction + self.sum_integer_bits(),
        }
    }

    /// Lookup of the reciprocal of the sum, with [`RECIPROCAL_FRACTION`] fraction bits.
    fn reciprocal(self) -> Lookup {
        Lookup {
            index: SUM_INDEX_FRACTION + self.sum_integer_bits(),
            rest: SUM_FRACTION - SUM_INDEX_FRACTION,
            to: RECIPROCAL_FRACTION + 3,
        }
    }

    /// Bits by which the product is truncated.
    fn excess(self) -> u32 {
        (2 * FACTOR_FRACTION as i32 - self.format.fraction as i32 - self.exponent).max(0) as u32
    }

    /// The product of each exponential with its sample's reciprocal.
    fn product(self) -> Multiply {
        Multiply {
            value: FACTOR_FRACTION + self.sum_integer_bits(),
            factor: FACTOR_FRACTION + 3,
            to: self.format.ring + self.excess(),
        }
    }

    /// Whether words twice as wide as `R` hold the product before its truncation.
    pub fn fits<R: Ring>(self) -> bool {
        self.product().to <= 2 * R::BITS
    }

    /// Writes the exact softmax of `logits` to `probabilities`, in floats. The protocol approximates it.
    pub fn ideal(logits: &[f64], probabilities: &mut [f64]) {
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for (p, z) in probabilities.iter_mut().zip(logits) {
            *p = libm::exp(z - highest);
            sum += *p;
        }
        for p in probabilities {
            *p /= sum;
        }
    }

    /// Cost for `rows` samples.
    pub fn cost(self, rows: usize) -> Cost {
        let (classes, thresholds) = (self.classes, self.thresholds());
        let one_hot = Cost::dealt(1, 1 << self.quarter_bits(), self.count_bits());
        let nonzero = Cost::dealt(
            1,
            self.thresholds_per_table() << self.count_bits(),
            self.maximum_bits(),
        );
        self.widen().cost(rows, classes)
            + Cost::opening(rows * classes, self.quarter_bits())
            + one_hot * (rows * classes) as u64
            + Cost::opening(rows * thresholds, self.count_bits())
            + nonzero * (rows * thresholds / self.thresholds_per_table()) as u64
            + Cost::rounds(1)
            + self.clip().cost(rows, classes)
            + self.exponential().cost(rows, classes)
            + self.reciprocal().cost(rows, 1)
            + self.product().cost(rows, classes)
    }

    /// Scratch that a party needs for `rows` samples, in words.
    pub fn scratch_len(self, rows: usize) -> usize {
        let clip = self.clip().scratch_len(rows, self.classes).div_ceil(8)
            + (rows * super::plane_len(self.classes)).div_ceil(8);
        let later = (self.exponential().scratch_len(rows, self.classes) + rows)
            .max(clip)
            .max(rows * self.thresholds() + rows * self.classes);
        rows * self.classes + rows + later
    }

    /// Position of one of the softmax's gates.
    fn gate(at: At, gate: u32) -> At {
        At {
            gate: at.gate + gate,
            ..at
        }
    }

    /// Entries of [`Tables`]: both tables, and scratch to rotate the longer one.
    pub fn table_len(self) -> usize {
        let (exponential, reciprocal) = (self.exponential().index, self.reciprocal().index);
        (1 << exponential) + (1 << reciprocal) + (2 << exponential.max(reciprocal))
    }

    /// Computes the tables of both lookups, `[value, slope]` for each index. `memory` has [`Softmax::table_len`] entries.
    pub fn tables(self, memory: &mut [[u64; 2]]) -> Tables<'_> {
        let (exponential, memory) = memory.split_at_mut(1 << self.exponential().index);
        let (reciprocal, rotated) = memory.split_at_mut(1 << self.reciprocal().index);
        for (index, entry) in exponential.iter_mut().enumerate() {
            let value = libm::exp(index as f64 / 8.0 - CLIP_QUARTERS as f64 / 4.0);
            let fraction = SLOPE_FRACTION + self.format.fraction;
            *entry = [fixed(value, fraction), fixed(value, SLOPE_FRACTION)];
        }
        for (index, entry) in reciprocal.iter_mut().enumerate() {
            // The sum is at least e^(-1/4), so smaller indices never occur.
            let sum = (index as f64 / f64::from(1u32 << SUM_INDEX_FRACTION)).max(0.625);
            let slope = fixed(-1.0 / (sum * sum), RECIPROCAL_FRACTION - SUM_FRACTION);
            *entry = [fixed(1.0 / sum, RECIPROCAL_FRACTION), slope];
        }
        Tables {
            exponential,
            reciprocal,
            rotated,
        }
    }

    /// Sends the corrections for `rows` samples.
    pub fn deal<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        tables: &mut Tables<'_>,
    ) -> Result<(), LinkError> {
        let classes = self.classes;
        self.deal_one_hot(cx, at, rows)?;
        self.widen()
            .deal::<u64, D>(cx, Self::gate(at, WIDEN), rows, classes)?;
        self.deal_nonzero(cx, at, rows)?;
        self.clip()
            .deal::<u64, D>(cx, Self::gate(at, CLIP), rows, classes)?;
        let exponential_at = Self::gate(at, EXPONENTIAL);
        self.exponential().deal(
            cx,
            exponential_at,
            rows,
            classes,
            tables.exponential,
            tables.rotated,
        )?;
        let reciprocal_at = Self::gate(at, RECIPROCAL);
        self.reciprocal().deal(
            cx,
            reciprocal_at,
            rows,
            1,
            tables.reciprocal,
            tables.rotated,
        )?;
        self.product()
            .deal::<R::Wide, D>(cx, Self::gate(at, PRODUCT), rows, classes)
    }

    /// Runs the gate on `rows` samples in place: shares of logits in Z_2^n at scale f become shares of probabilities in
    /// Z_2^L at scale f + exponent. `scratch` has at least [`Softmax::scratch_len`] words.
    #[inline(never)]
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        logits: &mut [Share<R>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let shape = [rows, self.classes];
        let logits = &mut Share::peel_slice_mut(logits)[..rows * self.classes];
        let (values, scratch) = scratch.split_at_mut(rows * self.classes);
        let (maxima, scratch) = scratch.split_at_mut(rows);
        for (value, &logit) in values.iter_mut().zip(logits.iter()) {
            *value = logit.low(self.logit_bits()).to_u64();
        }
        self.maximum(cx, at, rows, values, maxima, scratch)?;
        self.shift_and_clip(cx, at, rows, values, maxima, scratch)?;
        let exponentials = Share::wrap_slice_mut(&mut *values);
        self.exponential().run(
            cx,
            Self::gate(at, EXPONENTIAL),
            shape,
            exponentials,
            scratch,
        )?;
        let inverses = maxima;
        self.invert_sums(cx, at, rows, values, inverses, scratch)?;
        self.round_factors(role, values, inverses);
        let product = self.product();
        product.run::<R::Wide, O>(
            cx,
            Self::gate(at, PRODUCT),
            shape,
            Share::wrap_slice_mut(values),
            Share::wrap_slice_mut(inverses),
            |first, products| {
                for (out, &wide) in logits[first..].iter_mut().zip(products) {
                    *out = truncate(role, wide, product.to, self.excess()).cast();
                }
            },
        )
    }

    /// Replaces widened logits z by max(z - max + 15.25, 0), from Z_2^shifted_bits to Z_2^(f + 4).
    #[inline(always)]
    fn shift_and_clip<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [u64],
        maxima: &[u64],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let classes = self.classes;
        let clip = match cx.role() {
            Role::P0 => CLIP_QUARTERS,
            Role::P1 => 0,
        };
        for (values, maximum) in values.chunks_exact_mut(classes).zip(maxima.iter()) {
            for value in values {
                *value = value
                    .plus(clip.minus(*maximum).left(self.quarter()))
                    .low(self.shifted_bits());
            }
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(scratch);
        let (hidden, bytes) = bytes.split_at_mut(rows * super::plane_len(classes));
        let mut sign = HiddenSign {
            opened: Public::wrap_slice_mut(hidden),
            shares: &mut [],
        };
        let shares = Share::wrap_slice_mut(values);
        let clip_at = Self::gate(at, CLIP);
        self.clip()
            .run(cx, clip_at, [rows, classes], shares, &mut sign, bytes)
    }

    /// Writes shares of the reciprocal of each sample's sum of `exponentials` to `inverses`.
    #[inline(always)]
    fn invert_sums<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        exponentials: &[u64],
        inverses: &mut [u64],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let from = self.exponential().to;
        let shift = SLOPE_FRACTION + self.format.fraction - SUM_FRACTION;
        let samples = exponentials.chunks_exact(self.classes);
        for (sum, exponentials) in inverses.iter_mut().zip(samples) {
            let all = exponentials
                .iter()
                .fold(0u64, |sum, &value| sum.plus(value));
            *sum = truncate(role, all, from, shift);
        }
        let shares = Share::wrap_slice_mut(inverses);
        let reciprocal_at = Self::gate(at, RECIPROCAL);
        self.reciprocal()
            .run(cx, reciprocal_at, [rows, 1], shares, scratch)
    }

    /// Truncates both factors of the product to [`FACTOR_FRACTION`] fraction bits.
    #[inline(always)]
    fn round_factors(self, role: Role, exponentials: &mut [u64], inverses: &mut [u64]) {
        let (from, shift) = (self.reciprocal().to, RECIPROCAL_FRACTION - FACTOR_FRACTION);
        for inverse in inverses {
            *inverse = truncate(role, *inverse, from, shift);
        }
        let from = self.exponential().to;
        let shift = SLOPE_FRACTION + self.format.fraction - FACTOR_FRACTION;
        for value in exponentials {
            *value = truncate(role, *value, from, shift);
        }
    }
}

/// The public tables of the lookups, and scratch in which the dealer rotates them. The scratch reveals the last secret
/// rotation, so it is wiped when dropped.
pub struct Tables<'a> {
    exponential: &'a [[u64; 2]],
    reciprocal: &'a [[u64; 2]],
    rotated: &'a mut [[u64; 2]],
}

impl Drop for Tables<'_> {
    fn drop(&mut self) {
        self.rotated.as_flattened_mut().zeroize();
    }
}

/// A real number in fixed point, as an integer modulo 2^64.
fn fixed(value: f64, fraction: u32) -> u64 {
    libm::round(libm::scalbn(value, fraction as i32)) as i64 as u64
}
