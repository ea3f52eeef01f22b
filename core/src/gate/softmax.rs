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

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    fixed::Format,
    kernel::pack::unpack,
    link::{LinkError, Segment},
    ring::{Ring, Word, step_down},
    sharing::{Masked, Public, Share},
};

use super::{
    At, Offline, Online, deal, dealt, groups,
    lift::Lift,
    lookup::Lookup,
    multiply::Multiply,
    opening_masks,
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

const TURN: u8 = 0;
const ONE_HOT: u8 = 1;
const COUNT: u8 = 2;
const ANY: u8 = 3;

/// The most bits of a logit in quarters.
const MAX_QUARTER_BITS: u32 = 10;
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

    fn deal_one_hot<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        let here = Self::gate(at, MAXIMUM);
        let quarters = 1usize << self.quarter_bits();
        let lift = Lift {
            from: self.quarter_bits(),
            to: self.quarter_bits(),
        };
        for group in groups(at, rows, self.classes) {
            let mut turns = [0u64; LANES];
            lift.masks(cx, here.wire(TURN), group.stream, &mut turns[..group.lanes]);
            for (lane, &turn) in turns[..group.lanes].iter().enumerate() {
                for first in (0..quarters).step_by(LANES) {
                    let count = LANES.min(quarters);
                    let mut hot = [0u8; LANES];
                    for (place, hot) in hot[..count].iter_mut().enumerate() {
                        *hot = is_equal((first + place) as u64, turn) as u8;
                    }
                    let element = group.stream + lane as u64;
                    let stream = (element << self.quarter_bits()) + first as u64;
                    let bits = self.count_bits();
                    deal(cx, here.wire(ONE_HOT), stream, bits, &mut hot[..count])?;
                }
            }
        }
        Ok(())
    }

    /// Thresholds whose lookup tables travel together.
    fn together(self) -> usize {
        (LANES >> self.count_bits()).max(1)
    }

    fn deal_any<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        let here = Self::gate(at, MAXIMUM);
        let lift = Lift {
            from: self.count_bits(),
            to: self.count_bits(),
        };
        for group in groups(at, rows, self.thresholds()) {
            let mut turns = [0u32; LANES];
            let turns = &mut turns[..group.lanes];
            lift.masks(cx, here.wire(COUNT), group.stream, turns);
            let mut element = group.stream;
            for turns in turns.chunks(self.together()) {
                let mut any = [0u32; 2 * MAX_CLASSES];
                for (place, any) in any[..turns.len() << self.count_bits()]
                    .iter_mut()
                    .enumerate()
                {
                    let turn = turns[place >> self.count_bits()];
                    let count = (place as u64).low(self.count_bits());
                    *any = 1 - is_equal(count, turn.into()) as u32;
                }
                let mut first = element << self.count_bits();
                for any in any[..turns.len() << self.count_bits()].chunks_mut(LANES) {
                    deal(cx, here.wire(ANY), first, self.maximum_bits(), any)?;
                    first += any.len() as u64;
                }
                element += turns.len() as u64;
            }
        }
        Ok(())
    }

    /// Runs the gate on `rows` samples in place: logits in Z_2^n at scale f become probabilities in
    /// Z_2^L at scale f + exponent. `scratch` holds at least [`Softmax::scratch_len`] words.
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
            *sum = step_down(role, all, exponential.to, fall);
        }
        let reciprocal = self.reciprocal();
        let here = Self::gate(at, RECIPROCAL);
        let inverses = Share::wrap_slice_mut(sums);
        reciprocal.run(cx, here, [rows, 1], inverses, scratch)?;

        let fall = RECIPROCAL_FRACTION - FACTOR_FRACTION;
        for inverse in Share::peel_slice_mut(&mut *inverses) {
            *inverse = step_down(role, *inverse, reciprocal.to, fall);
        }
        let fall = SLOPE_FRACTION + self.format.fraction - FACTOR_FRACTION;
        for value in values.iter_mut() {
            *value = step_down(role, *value, exponential.to, fall);
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
                    *out = step_down(role, wide, product.to, self.excess()).cast();
                }
            },
        )
    }

    /// Leaves the widened logits in `values` and shares of the maximum, in quarters, in `maxima`.
    fn maximum<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [u64],
        maxima: &mut [u64],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let here = Self::gate(at, MAXIMUM);
        let (classes, thresholds) = (self.classes, self.thresholds());
        let (coarse, scratch) = scratch.split_at_mut(rows * classes);
        let counts = &mut scratch[..rows * thresholds];
        let quarter_bits = self.quarter_bits();
        for group in groups(at, rows, classes) {
            let mut turns = [0u64; LANES];
            let lanes = &mut turns[..group.lanes];
            opening_masks(cx, here.wire(TURN), group.stream, quarter_bits, lanes);
            let lanes = coarse[group.range()].iter_mut();
            for ((coarse, &value), turn) in lanes.zip(&values[group.range()]).zip(turns) {
                *coarse = step_down(role, value, self.logit_bits(), self.quarter())
                    .plus(turn)
                    .low(quarter_bits);
            }
        }
        let widen = self.widen();
        let wide = Self::gate(at, WIDEN);
        widen.mask(cx, wide, rows, classes, Share::wrap_slice_mut(&mut *values));
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *values), widen.from),
            Segment::words(Masked::wrap_slice_mut(&mut *coarse), quarter_bits),
        ])?;

        counts.fill(0);
        for group in groups(at, rows, classes) {
            for (lane, element) in group.range().enumerate() {
                let mut hot = [0u8; 1 << MAX_QUARTER_BITS];
                let hot = &mut hot[..1 << quarter_bits];
                let stream = (group.stream + lane as u64) << quarter_bits;
                self.one_hot(cx, here, stream, hot)?;
                let counts = &mut counts[element / classes * thresholds..][..thresholds];
                self.count(coarse[element], hot, counts);
            }
        }
        let opened = Public::wrap_slice_mut(values);
        widen.finish(cx, wide, rows, classes, opened)?;

        let count_bits = self.count_bits();
        for group in groups(at, rows, thresholds) {
            let mut turns = [0u32; LANES];
            let lanes = &mut turns[..group.lanes];
            opening_masks(cx, here.wire(COUNT), group.stream, count_bits, lanes);
            for (count, turn) in counts[group.range()].iter_mut().zip(turns) {
                *count = count.plus(u64::from(turn)).low(count_bits);
            }
        }
        cx.open(&mut [Segment::words(
            Masked::wrap_slice_mut(&mut *counts),
            count_bits,
        )])?;
        maxima.fill(match role {
            Role::P0 => 0u64.minus(self.highest()),
            Role::P1 => 0,
        });
        for group in groups(at, rows, thresholds) {
            let mut element = group.stream;
            let maximum = &mut maxima[group.first / thresholds];
            for opened in counts[group.range()].chunks(self.together()) {
                let mut any = [0u32; 2 * MAX_CLASSES];
                let mut first = element << count_bits;
                for any in any[..opened.len() << count_bits].chunks_mut(LANES) {
                    dealt(cx, here.wire(ANY), first, self.maximum_bits(), any)?;
                    first += any.len() as u64;
                }
                for (threshold, &opened) in opened.iter().enumerate() {
                    let place = (threshold << count_bits) + opened as usize;
                    *maximum = maximum.plus(u64::from(any[place]));
                }
                element += opened.len() as u64;
            }
        }
        Ok(())
    }

    /// Adds a logit's shares of [logit >= t] to the counts, for every threshold t, from its one-hot
    /// mask turned by its opening.
    fn count(self, opened: u64, hot: &[u8], counts: &mut [u64]) {
        let mut at_least = 0u8;
        for (threshold, count) in counts.iter_mut().enumerate().rev() {
            // Threshold number i stands at i + 1 - highest quarters; the mask is then the opening
            // less that.
            let quarters = (threshold as u64 + 1).minus(self.highest());
            let place = opened.minus(quarters).low(self.quarter_bits());
            at_least = at_least.plus(hot[place as usize]);
            *count = count.plus(u64::from(at_least)).low(self.count_bits());
        }
    }

    /// This party's share of a mask's one-hot vector, modulo 2^count_bits.
    fn one_hot<O: Online>(
        self,
        cx: &mut O,
        here: At,
        stream: u64,
        hot: &mut [u8],
    ) -> Result<(), LinkError> {
        let bits = self.count_bits();
        match cx.role() {
            Role::P0 => cx.prg().fill(here.wire(ONE_HOT), stream, hot),
            Role::P1 => {
                for hot in hot.chunks_mut(LANES) {
                    let mut bytes = [0u8; LANES];
                    let bytes = &mut bytes[..crate::kernel::pack::packed_len(hot.len(), bits)];
                    cx.corrections(bytes)?;
                    unpack(bits, bytes, hot);
                }
            }
        }
        Ok(())
    }
}

/// The public tables that the dealer shares turned.
pub struct Tables<'a> {
    exponential: &'a [[u64; 2]],
    reciprocal: &'a [[u64; 2]],
    turned: &'a mut [[u64; 2]],
}

/// 1 if two secrets are equal, else 0, without a branch.
fn is_equal(a: u64, b: u64) -> u64 {
    let difference = a ^ b;
    // The top bit of either is set unless the difference is zero.
    1 ^ (difference | difference.wrapping_neg()) >> 63
}

/// A real number in fixed point, as an integer modulo 2^64.
fn fixed(value: f64, fraction: u32) -> u64 {
    libm::round(libm::scalbn(value, fraction as i32)) as i64 as u64
}
