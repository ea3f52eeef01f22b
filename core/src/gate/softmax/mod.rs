//! Softmax with cross entropy: shares of logits -> shares of (probabilities - labels), no logit opened.
//!
//! 1. Shift. Softmax does not change when all logits of a sample move together, so the maximum need
//!    only be known to a quarter: every logit is stepped down to quarters and opened against a mask
//!    whose one-hot vector the dealer shares; each party turns it by the public opening, sums it from
//!    the top, and so holds shares of "at least t" for every threshold t. Summed over the logits these
//!    are counts; one small lookup makes `count > 0`, and their sum is the maximum in quarters.
//! 2. Clip. d = z - max + 15.25 lies below 15.5, and ReLU cuts it at 0.
//! 3. Exponential, by lookup at eighths with a line between (the error of e^r ~ 1 + r for |r| < 1/8
//!    is below 2^-7 of each value, so below 2^-9 of a probability).
//! 4. Reciprocal of the sum, the same way at 1/64.
//! 5. Product of the two, in a ring that is wide enough to step down into Z_2^L.

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
    /// Widths of the ring and of its fractions.
    pub format: Format,
    /// Number of classes, 2 to [`MAX_CLASSES`].
    pub classes: usize,
    /// Power of two, beside the fraction bits, at which the result is scaled.
    pub exponent: i32,
}

/// The most classes the gate takes.
pub const MAX_CLASSES: usize = 128;

/// Consecutive gate numbers that one softmax occupies.
pub const GATES: u32 = 8;

const WIDEN: u32 = 0;
const MAXIMUM: u32 = 1;
const CLIP: u32 = 2;
const EXPONENTIAL: u32 = 3;
const RECIPROCAL: u32 = 4;
const PRODUCT: u32 = 5;

/// Where the clip stands, in quarters above the smallest argument that is kept.
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
    /// Bits of a logit: at most 8 before the binary point, so that |z| < 64.
    fn logit_bits(self) -> u32 {
        self.format.narrow().min(self.format.fraction + 8)
    }

    fn quarter(self) -> u32 {
        self.format.fraction - 2
    }

    fn quarter_bits(self) -> u32 {
        self.logit_bits() - self.quarter()
    }

    /// Thresholds are quarters in (-highest, highest].
    fn highest(self) -> u64 {
        1 << (self.quarter_bits() - 2)
    }

    fn thresholds(self) -> usize {
        2 * self.highest() as usize
    }

    /// Bits of a count of classes.
    fn count_bits(self) -> u32 {
        usize::BITS - self.classes.leading_zeros()
    }

    /// Ring of the shifted logits: twice the logits' range, and the clip's.
    fn shifted_bits(self) -> u32 {
        (self.logit_bits() + 1).max(self.format.fraction + 6)
    }

    /// Thresholds whose lookup tables travel together.
    fn together(self) -> usize {
        (LANES >> self.count_bits()).max(1)
    }

    fn maximum_bits(self) -> u32 {
        self.shifted_bits() - self.quarter()
    }

    /// Bits before the binary point of the sum of exponentials, each below e^(1/4).
    fn sum_integer_bits(self) -> u32 {
        let most = self.classes * 13 / 10 + 1;
        (usize::BITS - most.leading_zeros()).max(3)
    }

    fn widen(self) -> Widen {
        Widen {
            from: self.logit_bits(),
            to: self.shifted_bits(),
        }
    }

    fn clip(self) -> Relu {
        Relu::new::<u64>(self.shifted_bits(), self.format.fraction + 4)
    }

    fn exponential(self) -> Lookup {
        Lookup {
            index: 7,
            rest: self.format.fraction - 3,
            to: SLOPE_FRACTION + self.format.fraction + self.sum_integer_bits(),
        }
    }

    fn reciprocal(self) -> Lookup {
        Lookup {
            index: SUM_INDEX_FRACTION + self.sum_integer_bits(),
            rest: SUM_FRACTION - SUM_INDEX_FRACTION,
            to: RECIPROCAL_FRACTION + 3,
        }
    }

    /// Bits by which the product is stepped down.
    fn excess(self) -> u32 {
        (2 * FACTOR_FRACTION as i32 - self.format.fraction as i32 - self.exponent).max(0) as u32
    }

    fn product(self) -> Multiply {
        Multiply {
            value: FACTOR_FRACTION + self.sum_integer_bits(),
            factor: FACTOR_FRACTION + 3,
            to: self.format.ring + self.excess(),
        }
    }

    /// Whether the words of twice ring `R` hold the product before it is stepped down.
    pub fn fits<R: Ring>(self) -> bool {
        self.product().to <= 2 * R::BITS
    }

    /// Probabilities and the clipped exponentials' table, in floats: the public function that the
    /// protocol approximates.
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
        let any = Cost::dealt(1, self.together() << self.count_bits(), self.maximum_bits());
        self.widen().cost(rows, classes)
            + Cost::opening(rows * classes, self.quarter_bits())
            + one_hot * (rows * classes) as u64
            + Cost::opening(rows * thresholds, self.count_bits())
            + any * (rows * thresholds / self.together()) as u64
            + Cost::rounds(1)
            + self.clip().cost(rows, classes)
            + self.exponential().cost(rows, classes)
            + self.reciprocal().cost(rows, 1)
            + self.product().cost(rows, classes)
    }

    /// Words of scratch that a party needs for `rows` samples.
    pub fn scratch_len(self, rows: usize) -> usize {
        let clip = self.clip().scratch_len(rows, self.classes).div_ceil(8)
            + (rows * super::plane_len(self.classes)).div_ceil(8);
        let later = (self.exponential().scratch_len(rows, self.classes) + rows)
            .max(clip)
            .max(rows * self.thresholds() + rows * self.classes);
        rows * self.classes + rows + later
    }

    fn gate(at: At, gate: u32) -> At {
        At {
            gate: at.gate + gate,
            ..at
        }
    }

    /// Entries of [`Tables`], with the room in which the longer one is turned.
    pub fn table_len(self) -> usize {
        let (exponential, reciprocal) = (self.exponential().index, self.reciprocal().index);
        (1 << exponential) + (1 << reciprocal) + (2 << exponential.max(reciprocal))
    }

    /// Computes the tables of the two lookups, value and slope for each index, in `memory` of
    /// [`Softmax::table_len`] entries.
    pub fn tables(self, memory: &mut [[u64; 2]]) -> Tables<'_> {
        let (exponential, memory) = memory.split_at_mut(1 << self.exponential().index);
        let (reciprocal, turned) = memory.split_at_mut(1 << self.reciprocal().index);
        for (index, entry) in exponential.iter_mut().enumerate() {
            let value = libm::exp(index as f64 / 8.0 - CLIP_QUARTERS as f64 / 4.0);
            let fraction = SLOPE_FRACTION + self.format.fraction;
            *entry = [fixed(value, fraction), fixed(value, SLOPE_FRACTION)];
        }
        for (index, entry) in reciprocal.iter_mut().enumerate() {
            // The sum is at least e^(-1/4); smaller indices never occur.
            let sum = (index as f64 / f64::from(1u32 << SUM_INDEX_FRACTION)).max(0.625);
            let slope = fixed(-1.0 / (sum * sum), RECIPROCAL_FRACTION - SUM_FRACTION);
            *entry = [fixed(1.0 / sum, RECIPROCAL_FRACTION), slope];
        }
        Tables {
            exponential,
            reciprocal,
            turned,
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
        self.deal_any(cx, at, rows)?;
        self.clip()
            .deal::<u64, D>(cx, Self::gate(at, CLIP), rows, classes)?;
        let here = Self::gate(at, EXPONENTIAL);
        self.exponential()
            .deal(cx, here, rows, classes, tables.exponential, tables.turned)?;
        let here = Self::gate(at, RECIPROCAL);
        self.reciprocal()
            .deal(cx, here, rows, 1, tables.reciprocal, tables.turned)?;
        self.product()
            .deal::<R::Wide, D>(cx, Self::gate(at, PRODUCT), rows, classes)
    }

    /// Runs the gate on `rows` samples in place: logits in Z_2^n at scale f become probabilities in
    /// Z_2^L at scale f + exponent. `scratch` holds at least [`Softmax::scratch_len`] words.
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
        let classes = self.classes;
        let logits = &mut Share::peel_slice_mut(logits)[..rows * classes];
        let (values, scratch) = scratch.split_at_mut(rows * classes);
        let (maxima, scratch) = scratch.split_at_mut(rows);
        for (value, &logit) in values.iter_mut().zip(logits.iter()) {
            *value = logit.low(self.logit_bits()).to_u64();
        }
        self.maximum(cx, at, rows, values, maxima, scratch)?;

        let clip = match role {
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
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *scratch);
        let (hidden, bytes) = bytes.split_at_mut(rows * super::plane_len(classes));
        let mut sign = HiddenSign {
            opened: Public::wrap_slice_mut(hidden),
            shares: &mut [],
        };
        let shares = Share::wrap_slice_mut(&mut *values);
        let shape = [rows, classes];
        self.clip()
            .run(cx, Self::gate(at, CLIP), shape, shares, &mut sign, bytes)?;

        let exponential = self.exponential();
        let here = Self::gate(at, EXPONENTIAL);
        exponential.run(cx, here, shape, shares, scratch)?;

        // The sums, in the ring of the reciprocal's input.
        let sums = maxima;
        let fall = SLOPE_FRACTION + self.format.fraction - SUM_FRACTION;
        for (sum, values) in sums.iter_mut().zip(values.chunks_exact(classes)) {
            let all = values.iter().fold(0u64, |sum, &value| sum.plus(value));
            *sum = truncate(role, all, exponential.to, fall);
        }
        let reciprocal = self.reciprocal();
        let here = Self::gate(at, RECIPROCAL);
        let inverses = Share::wrap_slice_mut(sums);
        reciprocal.run(cx, here, [rows, 1], inverses, scratch)?;

        let fall = RECIPROCAL_FRACTION - FACTOR_FRACTION;
        for inverse in Share::peel_slice_mut(&mut *inverses) {
            *inverse = truncate(role, *inverse, reciprocal.to, fall);
        }
        let fall = SLOPE_FRACTION + self.format.fraction - FACTOR_FRACTION;
        for value in values.iter_mut() {
            *value = truncate(role, *value, exponential.to, fall);
        }
        let product = self.product();
        product.run::<R::Wide, O>(
            cx,
            Self::gate(at, PRODUCT),
            shape,
            Share::wrap_slice_mut(values),
            inverses,
            |first, products| {
                for (out, &wide) in logits[first..].iter_mut().zip(products) {
                    *out = truncate(role, wide, product.to, self.excess()).cast();
                }
            },
        )
    }
}

/// The public tables that the dealer shares turned. What was turned last, by numbers that only it may know, is wiped
/// when they are dropped.
pub struct Tables<'a> {
    exponential: &'a [[u64; 2]],
    reciprocal: &'a [[u64; 2]],
    turned: &'a mut [[u64; 2]],
}

impl Drop for Tables<'_> {
    fn drop(&mut self) {
        self.turned.as_flattened_mut().zeroize();
    }
}

/// A real number in fixed point, as an integer modulo 2^64.
fn fixed(value: f64, fraction: u32) -> u64 {
    libm::round(libm::scalbn(value, fraction as i32)) as i64 as u64
}
