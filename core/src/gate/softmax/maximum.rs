//! The maximum of each sample's logits, in quarters: the first step of softmax.
//!
//! Each logit in quarters is opened under a mask, and the dealer shares the one-hot vector of the mask. Rotated by the
//! opening it is the one-hot vector of the logit. Sums from its top are shares of `logit >= t` for every threshold t.
//! Added up over the logits these are counts. A small lookup gives `count > 0`, and the sum over the thresholds is the
//! maximum.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::LANES,
    gate::{At, Offline, Online, deal, dealt, groups, lift::Lift, opening_masks},
    kernel::pack::{packed_len, unpack},
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::{Masked, Public, Share, truncate},
};

use super::{MAX_CLASSES, MAXIMUM, Softmax, WIDEN};

const ROTATION: u8 = 0;
const ONE_HOT: u8 = 1;
const COUNT: u8 = 2;
const NONZERO: u8 = 3;

/// The largest width of a logit in quarters, in bits.
const MAX_QUARTER_BITS: u32 = 10;

impl Softmax {
    /// Sends the corrections for the one-hot vectors of the masks, for `rows` samples.
    pub(super) fn deal_one_hot<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
    ) -> Result<(), LinkError> {
        let maximum_at = Self::gate(at, MAXIMUM);
        let quarters = 1usize << self.quarter_bits();
        let lift = Lift {
            from: self.quarter_bits(),
            to: self.quarter_bits(),
        };
        for group in groups(at, rows, self.classes) {
            let mut masks = [0u64; LANES];
            lift.masks(
                cx,
                maximum_at.wire(ROTATION),
                group.stream,
                &mut masks[..group.lanes],
            );
            for (lane, &mask) in masks[..group.lanes].iter().enumerate() {
                for first in (0..quarters).step_by(LANES) {
                    let count = LANES.min(quarters);
                    let mut hot = [0u8; LANES];
                    for (offset, hot) in hot[..count].iter_mut().enumerate() {
                        *hot = is_equal((first + offset) as u64, mask) as u8;
                    }
                    let element = group.stream + lane as u64;
                    let stream = (element << self.quarter_bits()) + first as u64;
                    let bits = self.count_bits();
                    deal(
                        cx,
                        maximum_at.wire(ONE_HOT),
                        stream,
                        bits,
                        &mut hot[..count],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Sends the corrections for the tables of `count > 0`, rotated by the masks of the counts, for `rows` samples.
    pub(super) fn deal_nonzero<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
    ) -> Result<(), LinkError> {
        let maximum_at = Self::gate(at, MAXIMUM);
        let lift = Lift {
            from: self.count_bits(),
            to: self.count_bits(),
        };
        for group in groups(at, rows, self.thresholds()) {
            let mut masks = [0u32; LANES];
            let masks = &mut masks[..group.lanes];
            lift.masks(cx, maximum_at.wire(COUNT), group.stream, masks);
            let mut element = group.stream;
            for masks in masks.chunks(self.thresholds_per_table()) {
                let mut nonzero = [0u32; 2 * MAX_CLASSES];
                for (entry, nonzero) in nonzero[..masks.len() << self.count_bits()]
                    .iter_mut()
                    .enumerate()
                {
                    let mask = masks[entry >> self.count_bits()];
                    let opened = (entry as u64).low(self.count_bits());
                    *nonzero = 1 - is_equal(opened, mask.into()) as u32;
                }
                let mut first = element << self.count_bits();
                for nonzero in nonzero[..masks.len() << self.count_bits()].chunks_mut(LANES) {
                    deal(
                        cx,
                        maximum_at.wire(NONZERO),
                        first,
                        self.maximum_bits(),
                        nonzero,
                    )?;
                    first += nonzero.len() as u64;
                }
                element += masks.len() as u64;
            }
        }
        Ok(())
    }

    /// Widens the logits in `values`, in place, and writes shares of each sample's maximum, in quarters, to `maxima`.
    #[inline(never)]
    pub(super) fn maximum<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [u64],
        maxima: &mut [u64],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let (quarters, scratch) = scratch.split_at_mut(rows * self.classes);
        let counts = &mut scratch[..rows * self.thresholds()];
        let maximum_at = Self::gate(at, MAXIMUM);
        self.open_logits(cx, at, rows, values, quarters)?;
        self.count_logits(cx, maximum_at, rows, quarters, counts)?;
        let opened = Public::wrap_slice_mut(values);
        self.widen()
            .finish(cx, Self::gate(at, WIDEN), rows, self.classes, opened)?;
        self.open_counts(cx, maximum_at, rows, counts)?;
        self.sum_nonzero(cx, maximum_at, rows, counts, maxima)
    }

    /// Opens the masked logits, in place and for widening, and the masked logits in quarters. One round.
    #[inline(always)]
    fn open_logits<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [u64],
        quarters: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let mask_wire = Self::gate(at, MAXIMUM).wire(ROTATION);
        let quarter_bits = self.quarter_bits();
        for group in groups(at, rows, self.classes) {
            let mut masks = [0u64; LANES];
            let lanes = &mut masks[..group.lanes];
            opening_masks(cx, mask_wire, group.stream, quarter_bits, lanes);
            let lanes = quarters[group.range()].iter_mut();
            for ((quarters, &value), mask) in lanes.zip(&values[group.range()]).zip(masks) {
                *quarters = truncate(role, value, self.logit_bits(), self.quarter())
                    .plus(mask)
                    .low(quarter_bits);
            }
        }
        let widen = self.widen();
        let wide = Self::gate(at, WIDEN);
        let shares = Share::wrap_slice_mut(&mut *values);
        widen.mask(cx, wide, rows, self.classes, shares);
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(values), widen.from),
            Segment::words(Masked::wrap_slice_mut(quarters), quarter_bits),
        ])
    }

    /// Writes shares of the number of logits >= t to `counts`, for each sample and each threshold t. `opened` holds the
    /// openings of the logits in quarters.
    #[inline(always)]
    fn count_logits<O: Online>(
        self,
        cx: &mut O,
        maximum_at: At,
        rows: usize,
        opened: &[u64],
        counts: &mut [u64],
    ) -> Result<(), LinkError> {
        let (classes, thresholds) = (self.classes, self.thresholds());
        let quarter_bits = self.quarter_bits();
        counts.fill(0);
        for group in groups(maximum_at, rows, classes) {
            for (lane, element) in group.range().enumerate() {
                let mut one_hot = [0u8; 1 << MAX_QUARTER_BITS];
                let one_hot = &mut one_hot[..1 << quarter_bits];
                let stream = (group.stream + lane as u64) << quarter_bits;
                self.one_hot(cx, maximum_at, stream, one_hot)?;
                let counts = &mut counts[element / classes * thresholds..][..thresholds];
                self.count(opened[element], one_hot, counts);
            }
        }
        Ok(())
    }

    /// Masks and opens the counts, in place. One round.
    #[inline(always)]
    fn open_counts<O: Online>(
        self,
        cx: &mut O,
        maximum_at: At,
        rows: usize,
        counts: &mut [u64],
    ) -> Result<(), LinkError> {
        let count_bits = self.count_bits();
        for group in groups(maximum_at, rows, self.thresholds()) {
            let mut masks = [0u32; LANES];
            let lanes = &mut masks[..group.lanes];
            opening_masks(cx, maximum_at.wire(COUNT), group.stream, count_bits, lanes);
            for (count, mask) in counts[group.range()].iter_mut().zip(masks) {
                *count = count.plus(u64::from(mask)).low(count_bits);
            }
        }
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(counts), count_bits)])
    }

    /// Looks up `count > 0` for each opened count, and writes the sums, minus the offset of the lowest threshold, to
    /// `maxima`.
    #[inline(always)]
    fn sum_nonzero<O: Online>(
        self,
        cx: &mut O,
        maximum_at: At,
        rows: usize,
        counts: &[u64],
        maxima: &mut [u64],
    ) -> Result<(), LinkError> {
        let (thresholds, count_bits) = (self.thresholds(), self.count_bits());
        maxima.fill(match cx.role() {
            Role::P0 => 0u64.minus(self.highest()),
            Role::P1 => 0,
        });
        for group in groups(maximum_at, rows, thresholds) {
            let mut element = group.stream;
            let maximum = &mut maxima[group.first / thresholds];
            for opened in counts[group.range()].chunks(self.thresholds_per_table()) {
                let mut nonzero = [0u32; 2 * MAX_CLASSES];
                let mut first = element << count_bits;
                for nonzero in nonzero[..opened.len() << count_bits].chunks_mut(LANES) {
                    let wire = maximum_at.wire(NONZERO);
                    dealt(cx, wire, first, self.maximum_bits(), nonzero)?;
                    first += nonzero.len() as u64;
                }
                for (threshold, &opened) in opened.iter().enumerate() {
                    let entry = (threshold << count_bits) + opened as usize;
                    *maximum = maximum.plus(u64::from(nonzero[entry]));
                }
                element += opened.len() as u64;
            }
        }
        Ok(())
    }

    /// Adds shares of `logit >= t` to the counts for every threshold t, from the opening of the logit in quarters and the
    /// one-hot vector of its mask.
    fn count(self, opened: u64, one_hot: &[u8], counts: &mut [u64]) {
        let mut at_least = 0u8;
        for (threshold, count) in counts.iter_mut().enumerate().rev() {
            // Threshold i is i + 1 - highest quarters. A logit at this threshold has the mask opening - threshold.
            let quarters = (threshold as u64 + 1).minus(self.highest());
            let mask = opened.minus(quarters).low(self.quarter_bits());
            at_least = at_least.plus(one_hot[mask as usize]);
            *count = count.plus(u64::from(at_least)).low(self.count_bits());
        }
    }

    /// This party's share of the one-hot vector of a mask, modulo 2^count_bits.
    fn one_hot<O: Online>(
        self,
        cx: &mut O,
        maximum_at: At,
        stream: u64,
        one_hot: &mut [u8],
    ) -> Result<(), LinkError> {
        let bits = self.count_bits();
        match cx.role() {
            Role::P0 => cx.prg().fill(maximum_at.wire(ONE_HOT), stream, one_hot),
            Role::P1 => {
                for hot in one_hot.chunks_mut(LANES) {
                    let mut bytes = [0u8; LANES];
                    let bytes = &mut bytes[..packed_len(hot.len(), bits)];
                    cx.corrections(bytes)?;
                    unpack(bits, bytes, hot);
                }
            }
        }
        Ok(())
    }
}

/// 1 if two secrets are equal, else 0, without a secret-dependent branch.
fn is_equal(a: u64, b: u64) -> u64 {
    let difference = a ^ b;
    // The top bit of the difference or of its negation is set unless the difference is zero.
    1 ^ (difference | difference.wrapping_neg()) >> 63
}
