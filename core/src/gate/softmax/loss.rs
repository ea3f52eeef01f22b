//! The sum of the cross entropies of secret labels: ln(sum of exponentials) - (z_y - max), beside a softmax.
//!
//! It takes no round of its own. The label's logit z_y comes from the openings of the maximum. max - z_y is opened under a
//! mask together with the sum of the exponentials, in the ring of the logits, and widened, which is exact for all logits under
//! the contract. The logarithm is looked up with the opening that serves the reciprocal, by lines whose error is zero in the
//! mean over the masks and at most 2^-11. Beside it stands the error of the exponentials: below 2^-9, and zero in the mean too.

use crate::{
    Role,
    cost::Cost,
    gate::{At, Offline, Online, groups, lookup::Lookup, widen::Widen},
    net::link::LinkError,
    num::ring::Word,
    prg::Address,
};

use super::{
    exponential::{SUM_FRACTION, fixed},
    fit::{DERIVATIVE_FRACTION, Fit},
};

/// Fraction bits of the index of the logarithm's table.
const INDEX_FRACTION: u32 = 4;

/// The fewest fraction bits of losses.
const MIN_FRACTION: u32 = 18;

/// The gate's public widths, in bits. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CrossEntropy {
    /// Ring of the logits, and their fraction bits.
    pub logits: [u32; 2],
    /// Bits before the binary point of the sum of exponentials.
    pub sum_integer_bits: u32,
    /// Ring of the sum of losses.
    pub to: u32,
}

/// Shares of labels and of their weights, and this party's share of the sum of their losses.
pub struct Labels<'a> {
    /// For each sample its label at one party, 0 at the other; none if the loss is not wanted. Overwritten.
    pub labels: &'a mut [u64],
    /// For each sample its weight at one party, at most 1 with the gate's fraction bits, and 0 at the other; none without weights.
    /// Overwritten.
    pub weights: &'a mut [u64],
    /// The sum in the gate's ring of losses, to which they are added.
    pub sum: &'a mut u64,
}

impl Labels<'_> {
    /// No labels: the loss is not wanted, and there are no weights.
    pub fn none(sum: &mut u64) -> Labels<'_> {
        Labels {
            labels: &mut [],
            weights: &mut [],
            sum,
        }
    }
}

impl CrossEntropy {
    /// Fraction bits of losses.
    pub fn fraction(self) -> u32 {
        self.logits[1].max(MIN_FRACTION)
    }

    /// Widens the differences max - z_y, less [`CrossEntropy::offset`].
    pub fn widen(self) -> Widen {
        Widen {
            from: self.logits[0],
            to: self.to,
        }
    }

    /// Half of what differences are below, so that less it they keep the contract of the widening.
    fn offset(self) -> u64 {
        1 << (self.logits[0] - 2)
    }

    /// The logarithm of the sum of exponentials.
    fn logarithm(self) -> Lookup {
        Lookup {
            index: INDEX_FRACTION + self.sum_integer_bits,
            rest: SUM_FRACTION - INDEX_FRACTION,
            to: self.to,
        }
    }

    /// Entries of the logarithm's table.
    pub fn table_len(self) -> usize {
        1 << self.logarithm().index
    }

    /// Value and derivative for each index.
    pub fn table_entry(self, index: usize) -> [u64; 2] {
        // The sum is at least 1 but for rounding, so smaller indices never occur.
        let sum = (index as f64 / f64::from(1u32 << INDEX_FRACTION)).max(0.625);
        [
            fixed(libm::log(sum), self.fraction()),
            fixed(1.0 / sum, DERIVATIVE_FRACTION),
        ]
    }

    /// The line for an entry of the table and a mask's low bits.
    fn line(self, [value, derivative]: [u64; 2], low: u64) -> [u64; 2] {
        let fit = Fit {
            lookup: self.logarithm(),
            argument: SUM_FRACTION,
            slope: self.fraction() - SUM_FRACTION,
        };
        let first = derivative as i64;
        // ln'' = -(ln')^2.
        let second = -((first * first) >> DERIVATIVE_FRACTION);
        fit.line([value as i64, first, second], low)
    }

    /// Cost for `rows` samples beside the softmax.
    pub fn cost(self, rows: usize) -> Cost {
        let widen = Cost {
            rounds: 0,
            ..self.widen().cost(rows, 1)
        };
        widen + self.logarithm().tables_cost(rows, 1)
    }

    /// Sends the corrections for `rows` samples whose sums of exponentials are opened under the masks at `masks`. `table`
    /// holds [`CrossEntropy::table_entry`] for each index, and `rotated` is twice as long.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        [widen_at, logarithm_at]: [At; 2],
        masks: Address,
        rows: usize,
        tables: (&[[u64; 2]], &mut [[u64; 2]]),
    ) -> Result<(), LinkError> {
        let line = |entry, low| self.line(entry, low);
        self.logarithm()
            .deal_opened(cx, logarithm_at, masks, [rows, 1], tables, line)?;
        self.widen().deal::<u64, D>(cx, widen_at, rows, 1)
    }

    /// Masks shares of the differences max - z_y, for an opening at the bits of the logits.
    pub fn mask_differences<O: Online>(
        self,
        cx: &O,
        at: At,
        rows: usize,
        maxima: &[u64],
        values: &mut [u64],
    ) {
        let offset = match cx.role() {
            Role::P0 => self.offset(),
            Role::P1 => 0,
        };
        for (value, maximum) in values.iter_mut().zip(maxima) {
            *value = maximum.minus(*value).minus(offset).low(self.logits[0]);
        }
        for group in groups(at, rows, 1) {
            let values = &mut values[group.range()];
            self.widen()
                .mask_group::<u64, u64, O>(cx, at, group.stream, values);
        }
    }

    /// Adds this party's share of the losses to `sum`, from the openings of the sums of exponentials and of the differences.
    pub fn finish<O: Online>(
        self,
        cx: &mut O,
        [widen_at, logarithm_at]: [At; 2],
        rows: usize,
        opened_sums: &[u64],
        (differences, sum): (&mut [u64], &mut u64),
    ) -> Result<(), LinkError> {
        let logarithm = self.logarithm();
        for group in groups(logarithm_at, rows, 1) {
            for &opened in &opened_sums[group.range()] {
                let share = logarithm.value(cx, logarithm_at, group.stream, opened)?;
                *sum = sum.plus(share);
            }
        }
        let shift = self.fraction() - self.logits[1];
        let offset = match cx.role() {
            Role::P0 => self.offset(),
            Role::P1 => 0,
        };
        for group in groups(widen_at, rows, 1) {
            let differences = &mut differences[group.range()];
            self.widen()
                .finish_group(cx, widen_at, group.stream, differences)?;
            for difference in differences {
                *sum = sum.plus(difference.plus(offset).left(shift));
            }
        }
        *sum = sum.low(self.to);
        Ok(())
    }
}
