//! Softmax: shares of logits -> shares of probabilities. No logit is opened. The gradient by the logits under cross
//! entropy is (probabilities - labels), which the parties compute locally.
//!
//! 1. Maximum, by comparison of all pairs, in the ring of the logits.
//! 2. Shift and clip. Softmax does not change when the same number is subtracted from all logits of a sample. So z - max
//!    takes the place of z. Exponentials below e^-15.25 become 0.
//! 3. Exponential, by lookup at multiples of 1/8 with lines between. Their error is below 2^-9 of each value, and so below
//!    2^-10 of a probability; in the mean over the masks it is zero. The clip's comparison runs at the same time.
//! 4. Reciprocal of the sum, by lookup at multiples of 1/64 with linear interpolation.
//! 5. Product of both, in a ring from which a local truncation leads to Z_2^L.
//!
//! The comparisons are right for any difference in the ring, and so the gate for all logits under the range contract.
//!
//! If the loss is wanted, the gate sums the cross entropies of secret labels on the way.

mod exponential;
mod fit;
mod loss;

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
pub(super) mod tests;

use bytemuck::TransparentWrapper;
use zeroize::Zeroize;

use crate::{
    Role,
    cost::Cost,
    net::link::LinkError,
    num::{
        fixed_point::{Format, MIN_FRACTION_BITS},
        ring::{Ring, Word},
    },
    share::{Share, truncate},
};

use super::{
    At, Contract, Offline, Online,
    lookup::Lookup,
    maximum::{Beside, Maximum, level},
    multiply::Multiply,
};
use exponential::{CLIP_QUARTERS, Exponential, FRACTION as FACTOR_FRACTION, SUM_FRACTION, fixed};
use fit::{DERIVATIVE_FRACTION, Fit};
use loss::CrossEntropy;

pub use loss::Labels;

/// The gate for one format and number of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The bit widths of the run.
    pub format: Format,
    /// Bits of headroom of the logits, which have f - headroom fraction bits, at least [`MIN_FRACTION_BITS`].
    pub headroom: u32,
    /// Number of classes, 2 to [`MAX_CLASSES`].
    pub classes: usize,
    /// log2 of the result's scale relative to 2^f: probabilities are at scale f + exponent.
    pub exponent: i32,
    /// Bits of the ring in which the losses of samples are summed, at most 64; 0 if they are not wanted.
    pub loss_bits: u32,
    /// Whether each sample's probabilities are multiplied by the weight of its class.
    pub weighted: bool,
}

/// The most classes that the gate supports.
pub const MAX_CLASSES: usize = level::MAX_LEN;

/// Number of consecutive gate numbers of one softmax.
pub const GATES: u32 = WEIGHTS + 1;

const MAXIMUM: u32 = 0;
const EXPONENTIAL: u32 = MAXIMUM + level::GATES;
const RECIPROCAL: u32 = EXPONENTIAL + exponential::GATES;
const PRODUCT: u32 = RECIPROCAL + 1;
const LABELS: u32 = PRODUCT + 1;
const DIFFERENCES: u32 = LABELS + 1;
const LOGARITHM: u32 = DIFFERENCES + 1;
const WEIGHTS: u32 = LOGARITHM + 1;

/// Fraction bits of the weights of classes, which are at most 1.
pub const WEIGHT_FRACTION: u32 = 12;

/// Fraction bits of the sum's table index.
const SUM_INDEX_FRACTION: u32 = 6;
/// Fraction bits of the reciprocal, as looked up.
const RECIPROCAL_FRACTION: u32 = 18;

impl Softmax {
    /// The logits that the gate takes, which are in Z_2^n.
    pub const fn contract(self) -> Contract {
        Contract {
            bits: self.format.narrow(),
        }
    }

    /// Fraction bits of logits.
    const fn logit_fraction(self) -> u32 {
        self.format.fraction - self.headroom
    }

    /// Bits before the binary point of the sum of exponentials, each at most 1 but for rounding.
    fn sum_integer_bits(self) -> u32 {
        (usize::BITS - (self.classes + 1).leading_zeros()).max(3)
    }

    /// The maximum of a sample's logits.
    fn maximum(self) -> Maximum {
        Maximum {
            bits: self.contract().bits,
            len: self.classes,
        }
    }

    /// The exponentials of shifted logits.
    fn exponential(self) -> Exponential {
        Exponential {
            from: self.contract().bits,
            fraction: self.logit_fraction(),
            to: FACTOR_FRACTION + self.sum_integer_bits(),
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

    /// The losses, if they are wanted.
    fn loss(self) -> Option<CrossEntropy> {
        let is_wanted = cfg!(feature = "extended-training") && self.loss_bits > 0;
        is_wanted.then(|| CrossEntropy {
            logits: [self.contract().bits, self.logit_fraction()],
            sum_integer_bits: self.sum_integer_bits(),
            to: self.loss_bits,
        })
    }

    /// Fraction bits of the sum of losses.
    pub fn loss_fraction(self) -> u32 {
        self.loss().map_or(0, CrossEntropy::fraction)
    }

    /// The product of each sample's reciprocal and weight, if there are weights.
    fn weights(self) -> Option<Multiply> {
        let is_wanted = cfg!(feature = "extended-training") && self.weighted;
        is_wanted.then_some(Multiply {
            value: FACTOR_FRACTION + 3,
            factor: WEIGHT_FRACTION + 3,
            to: FACTOR_FRACTION + 3 + WEIGHT_FRACTION,
        })
    }

    /// Words of the shares of weights of `rows` samples.
    pub fn weights_len(self, rows: usize) -> usize {
        self.weights().map_or(0, |_| rows)
    }

    /// Words of the shares of labels of `rows` samples.
    pub fn labels_len(self, rows: usize) -> usize {
        self.loss().map_or(0, |_| rows)
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

    /// Whether words twice as wide as `R` hold the product before its truncation, and logits have the fraction bits that
    /// the tables are defined for.
    pub fn fits<R: Ring>(self) -> bool {
        self.product().to <= 2 * R::BITS
            && self.headroom + MIN_FRACTION_BITS <= self.format.fraction
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
        self.maximum().cost(rows)
            + self.exponential().cost(rows, self.classes)
            + self.reciprocal().cost(rows, 1)
            + self.product().cost(rows, self.classes)
            + self.loss().map_or(Cost::ZERO, |loss| {
                self.maximum().label().cost(rows) + loss.cost(rows)
            })
            + self
                .weights()
                .map_or(Cost::ZERO, |weights| weights.cost(rows, 1))
    }

    /// Scratch that a party needs for `rows` samples, in words.
    pub fn scratch_len(self, rows: usize) -> usize {
        let later = self.exponential().scratch_len(rows, self.classes);
        let maximum = self.maximum();
        rows * self.classes + maximum.maxima_len(rows) + maximum.scratch_len(rows).max(later)
    }

    /// Position of one of the softmax's gates.
    fn gate(at: At, gate: u32) -> At {
        At {
            gate: at.gate + gate,
            ..at
        }
    }

    /// Positions of the differences and of the logarithm.
    fn loss_at(at: At) -> [At; 2] {
        [DIFFERENCES, LOGARITHM].map(|gate| Self::gate(at, gate))
    }

    /// Entries of [`Tables`]: all tables, and scratch to rotate the longest one.
    pub fn table_len(self) -> usize {
        let lens = self.table_lens();
        lens.iter().sum::<usize>() + 2 * lens.into_iter().max().unwrap_or(0)
    }

    /// Entries of the tables of the exponential, the reciprocal and the logarithm.
    fn table_lens(self) -> [usize; 3] {
        let reciprocal = 1 << self.reciprocal().index;
        let logarithm = self.loss().map_or(0, CrossEntropy::table_len);
        [self.exponential().table_len(), reciprocal, logarithm]
    }

    /// The line of the reciprocal for an entry of its table and a mask's low bits.
    fn reciprocal_line(self, [value, derivative]: [u64; 2], low: u64) -> [u64; 2] {
        let fit = Fit {
            lookup: self.reciprocal(),
            argument: SUM_FRACTION,
            slope: RECIPROCAL_FRACTION - SUM_FRACTION,
        };
        let (value, first) = (value as i64, derivative as i64);
        // (1/s)'' = 2 / s^3 = -2 (1/s) (1/s)'.
        let second = (-2 * value * first) >> RECIPROCAL_FRACTION;
        fit.line([value, first, second], low)
    }

    /// Computes the tables of all lookups, `[value, derivative]` for each index. `memory` has [`Softmax::table_len`] entries.
    pub fn tables(self, memory: &mut [[u64; 2]]) -> Tables<'_> {
        let lens = self.table_lens();
        let (exponential, memory) = memory.split_at_mut(lens[0]);
        let (reciprocal, memory) = memory.split_at_mut(lens[1]);
        let (logarithm, rotated) = memory.split_at_mut(lens[2]);
        for (index, entry) in exponential.iter_mut().enumerate() {
            *entry = self.exponential().table_entry(index);
        }
        for (index, entry) in reciprocal.iter_mut().enumerate() {
            // The sum is at least 1 but for rounding, so smaller indices never occur.
            let sum = (index as f64 / f64::from(1u32 << SUM_INDEX_FRACTION)).max(0.625);
            let derivative = fixed(-1.0 / (sum * sum), DERIVATIVE_FRACTION);
            *entry = [fixed(1.0 / sum, RECIPROCAL_FRACTION), derivative];
        }
        if let Some(loss) = self.loss() {
            for (index, entry) in logarithm.iter_mut().enumerate() {
                *entry = loss.table_entry(index);
            }
        }
        Tables {
            exponential,
            reciprocal,
            logarithm,
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
        let shape = [rows, self.classes];
        let maximum_at = Self::gate(at, MAXIMUM);
        if self.loss().is_some() {
            let labels_at = Self::gate(at, LABELS);
            self.maximum()
                .deal_labels(cx, [maximum_at, labels_at], rows)?;
        }
        self.maximum().deal(cx, maximum_at, rows, false)?;
        let exponential_at = Self::gate(at, EXPONENTIAL);
        let rotated = &mut *tables.rotated;
        self.exponential()
            .deal(cx, exponential_at, shape, tables.exponential, rotated)?;
        let reciprocal_at = Self::gate(at, RECIPROCAL);
        if let Some(loss) = self.loss() {
            let masks = self.reciprocal().mask_wire(reciprocal_at);
            let tables = (tables.logarithm, &mut *rotated);
            loss.deal(cx, Self::loss_at(at), masks, rows, tables)?;
        }
        let (table, line) = (tables.reciprocal, |entry, low| {
            self.reciprocal_line(entry, low)
        });
        self.reciprocal()
            .deal(cx, reciprocal_at, [rows, 1], table, rotated, line)?;
        if let Some(weights) = self.weights() {
            weights.deal::<u64, D>(cx, Self::gate(at, WEIGHTS), rows, 1)?;
        }
        self.product()
            .deal::<R::Wide, D>(cx, Self::gate(at, PRODUCT), rows, self.classes)
    }

    /// Runs the gate on `rows` samples in place: shares of logits in Z_2^n become shares of probabilities in
    /// Z_2^L at scale f + exponent, times the samples' weights if there are any. `scratch` has at least
    /// [`Softmax::scratch_len`] words.
    #[inline(never)]
    pub fn run<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        logits: &mut [Share<R>],
        labels: Labels<'_>,
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let shape = [rows, self.classes];
        let logits = &mut Share::peel_slice_mut(logits)[..rows * self.classes];
        let (values, scratch) = scratch.split_at_mut(rows * self.classes);
        let maximum = self.maximum();
        let (maxima, scratch) = scratch.split_at_mut(maximum.maxima_len(rows));
        for (value, &logit) in values.iter_mut().zip(logits.iter()) {
            *value = logit.low(maximum.bits).to_u64();
        }
        let differences = &mut labels.labels[..self.labels_len(rows)];
        let beside = match self.labels_len(rows) {
            0 => Beside::Nothing,
            _ => Beside::Labels((Self::gate(at, LABELS), &mut *differences)),
        };
        let maximum_at = Self::gate(at, MAXIMUM);
        maximum.run(cx, maximum_at, rows, values, (maxima, beside), scratch)?;
        #[cfg(feature = "extended-training")]
        if let Some(loss) = self.loss() {
            let [differences_at, _] = Self::loss_at(at);
            loss.mask_differences(cx, differences_at, rows, maxima, differences);
        }
        self.shift(role, values, maxima);
        let exponential_at = Self::gate(at, EXPONENTIAL);
        self.exponential()
            .run(cx, exponential_at, shape, values, scratch)?;
        let inverses = &mut maxima[..rows];
        self.invert_sums(cx, at, rows, values, inverses, (differences, labels.sum))?;
        #[cfg(feature = "extended-training")]
        if let Some(weights) = self.weights() {
            let by_weight = (Self::gate(at, WEIGHTS), weights);
            Self::weigh::<R, O>(cx, by_weight, inverses, labels.weights, logits)?;
        }
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

    /// Multiplies the reciprocals by the samples' weights. `spare` has a word for each sample.
    #[cfg(feature = "extended-training")]
    #[inline(never)]
    fn weigh<R: Ring, O: Online>(
        cx: &mut O,
        (at, gate): (At, Multiply),
        inverses: &mut [u64],
        weights: &mut [u64],
        spare: &mut [R],
    ) -> Result<(), LinkError> {
        let (role, rows) = (cx.role(), inverses.len());
        let (values, factors) = (
            Share::wrap_slice_mut(&mut *inverses),
            Share::wrap_slice_mut(weights),
        );
        gate.run::<u64, O>(cx, at, [rows, 1], values, factors, |first, products| {
            for (spare, &product) in spare[first..].iter_mut().zip(products) {
                *spare = truncate(role, product, gate.to, WEIGHT_FRACTION).cast();
            }
        })?;
        for (inverse, spare) in inverses.iter_mut().zip(spare) {
            *inverse = spare.to_u64();
        }
        Ok(())
    }

    /// Replaces logits z by z - max + 15.25.
    fn shift(self, role: Role, values: &mut [u64], maxima: &[u64]) {
        let offset = match role {
            Role::P0 => CLIP_QUARTERS.left(self.logit_fraction() - 2),
            Role::P1 => 0,
        };
        for (values, maximum) in values.chunks_exact_mut(self.classes).zip(maxima) {
            for value in values {
                *value = value.minus(*maximum).plus(offset);
                *value = value.low(self.contract().bits);
            }
        }
    }

    /// Writes shares of the reciprocal of each sample's sum of `exponentials` to `inverses`, with [`FACTOR_FRACTION`]
    /// fraction bits. Adds the losses to their sum if they are wanted, from the masked differences max - z_y.
    #[inline(always)]
    fn invert_sums<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        exponentials: &[u64],
        inverses: &mut [u64],
        (differences, loss_sum): (&mut [u64], &mut u64),
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let from = self.exponential().to;
        let samples = exponentials.chunks_exact(self.classes);
        for (sum, exponentials) in inverses.iter_mut().zip(samples) {
            let all = exponentials
                .iter()
                .fold(0u64, |sum, &value| sum.plus(value));
            *sum = truncate(role, all, from, FACTOR_FRACTION - SUM_FRACTION);
        }
        let (reciprocal, reciprocal_at) = (self.reciprocal(), Self::gate(at, RECIPROCAL));
        #[cfg(feature = "extended-training")]
        if let Some(loss) = self.loss() {
            let lookups = (reciprocal, loss);
            Self::invert_with_loss(cx, at, lookups, inverses, (differences, loss_sum))?;
            self.round_inverses(role, inverses);
            return Ok(());
        }
        #[cfg(not(feature = "extended-training"))]
        let _ = (differences, loss_sum);
        let shares = Share::wrap_slice_mut(&mut *inverses);
        reciprocal.run(cx, reciprocal_at, [rows, 1], shares)?;
        self.round_inverses(role, inverses);
        Ok(())
    }

    /// Opens the sums of exponentials in `inverses` together with the masked differences, adds the losses to their sum, and
    /// replaces the sums by their reciprocals.
    #[cfg(feature = "extended-training")]
    fn invert_with_loss<O: Online>(
        cx: &mut O,
        at: At,
        (reciprocal, loss): (Lookup, CrossEntropy),
        inverses: &mut [u64],
        (differences, loss_sum): (&mut [u64], &mut u64),
    ) -> Result<(), LinkError> {
        use crate::{net::link::Segment, share::Masked};

        let (reciprocal_at, shape) = (Self::gate(at, RECIPROCAL), [inverses.len(), 1]);
        reciprocal.mask_arguments(cx, reciprocal_at, shape, inverses);
        let sums = Masked::wrap_slice_mut(&mut *inverses);
        cx.open(&mut [
            Segment::words(sums, reciprocal.from()),
            Segment::words(Masked::wrap_slice_mut(&mut *differences), loss.logits[0]),
        ])?;
        let found = (differences, loss_sum);
        loss.finish(cx, Self::loss_at(at), shape[0], inverses, found)?;
        reciprocal.finish(cx, reciprocal_at, shape, inverses)
    }

    /// Truncates looked-up reciprocals to [`FACTOR_FRACTION`] fraction bits.
    fn round_inverses(self, role: Role, inverses: &mut [u64]) {
        let by = RECIPROCAL_FRACTION - FACTOR_FRACTION;
        for inverse in inverses {
            *inverse = truncate(role, *inverse, self.reciprocal().to, by);
        }
    }
}

/// The public tables of the lookups, and scratch in which the dealer rotates them. The scratch reveals the last secret
/// rotation, so it is wiped when dropped.
pub struct Tables<'a> {
    exponential: &'a [[u64; 2]],
    reciprocal: &'a [[u64; 2]],
    logarithm: &'a [[u64; 2]],
    rotated: &'a mut [[u64; 2]],
}

impl Drop for Tables<'_> {
    fn drop(&mut self) {
        self.rotated.as_flattened_mut().zeroize();
    }
}
