//! The maximum of each sample's logits, to a quarter: softmax's first step.
//!
//! The dealer shares the one-hot vector of the mask under which a logit's quarters are opened. Turned
//! by the opening it is the one-hot vector of the logit, and sums from its top are shares of
//! `logit >= t` for every threshold t. Added up over the logits they are counts, a small lookup makes
//! count > 0 of them, and the sum of those is the maximum.

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

const TURN: u8 = 0;
const ONE_HOT: u8 = 1;
const COUNT: u8 = 2;
const ANY: u8 = 3;

/// The most bits of a logit in quarters.
const MAX_QUARTER_BITS: u32 = 10;
impl Softmax {
    pub(super) fn deal_one_hot<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
    ) -> Result<(), LinkError> {
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

    pub(super) fn deal_any<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
    ) -> Result<(), LinkError> {
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

    /// Leaves the widened logits in `values` and shares of the maximum, in quarters, in `maxima`.
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
                *coarse = truncate(role, value, self.logit_bits(), self.quarter())
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

    /// Adds a logit's shares of `logit >= t` to the counts, for every threshold t, from its one-hot
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
                    let bytes = &mut bytes[..packed_len(hot.len(), bits)];
                    cx.corrections(bytes)?;
                    unpack(bits, bytes, hot);
                }
            }
        }
        Ok(())
    }
}

/// 1 if two secrets are equal, else 0, without a branch.
fn is_equal(a: u64, b: u64) -> u64 {
    let difference = a ^ b;
    // The top bit of either is set unless the difference is zero.
    1 ^ (difference | difference.wrapping_neg()) >> 63
}
