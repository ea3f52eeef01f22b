//! Comparison of all pairs of values of each part of a row: shares of values -> their openings under masks, and the openings of
//! their wins under masks.
//!
//! Every value is opened once under its own mask. The difference of two openings is the opening of the values'
//! difference, under the difference of the masks, so a comparison opens no value of its own. The dealer shares the
//! comparisons' tables for these differences of masks. Of each pair one value wins, of equal values the first. So exactly
//! one value of a part wins all its comparisons. One round opens all that the comparisons need, and leaves their results as
//! shares in the ring of wins (see [`Relu::add_borrows`]). Wider rings take a round more, because what the dealer shares for
//! it grows with the number of chunks.

use bytemuck::TransparentWrapper;

use super::{
    level::{Level, MAX_LEN, WINS_BITS},
    winners::WINS,
};
use crate::{
    Role,
    cost::{Cost, LANES},
    gate::{
        At, Group, Offline, Online, add_masks, groups,
        lift::Lift,
        load_plane, plane_len,
        relu::{Relu, SignOpening},
    },
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::Masked,
};

/// The stream of the values' masks, at the position of a level's winners.
pub(super) const MASK: u8 = 0;

/// The comparisons of one level. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Comparisons {
    /// Ring of the values; |x| < 2^(bits-2).
    pub bits: u32,
    /// The level.
    pub level: Level,
}

impl Comparisons {
    /// Masks of the values.
    fn mask(self) -> Lift {
        Lift {
            from: self.bits,
            to: self.bits,
        }
    }

    /// Compares two values.
    fn signs(self) -> Relu {
        Relu::of_differences::<u64>(self.bits, WINS_BITS)
    }

    /// Cost for `rows` rows, the openings of values and of wins with their rounds included.
    pub fn cost(self, rows: usize) -> Cost {
        let (signs, pairs) = (self.signs(), self.level.pair_len());
        let compared = match signs.opens_at_once() {
            true => signs.signs_at_once_cost(rows, pairs),
            false => signs.opened_sign_cost(rows, pairs),
        };
        Cost::opening(rows * self.level.len, self.bits)
            + compared
            + Cost::opening(rows * self.level.len, WINS_BITS)
            + Cost::rounds(2)
    }

    /// Scratch of [`Comparisons::count_wins`] for `rows` rows, in words.
    pub fn scratch_len(self, rows: usize) -> usize {
        let pairs = self.level.pair_len();
        let planes = rows * plane_len(pairs) + self.signs().scratch_len(rows, pairs);
        rows * (self.level.len + pairs) + planes.div_ceil(8)
    }

    /// Sends the corrections for `rows` rows. `at` is the position of all levels.
    pub fn deal<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        let [signs_at, winners_at] = self.level.at(at);
        let (signs, pairs) = (self.signs(), self.level.pair_len());
        let masks = |cx: &D, group: &Group, masks: &mut [u64]| {
            self.pair_masks(cx, winners_at, group, masks);
        };
        match signs.opens_at_once() {
            true => signs.deal_signs_at_once(cx, signs_at, [rows, pairs], masks),
            false => signs.deal_opened_signs(cx, signs_at, rows, pairs, masks),
        }
    }

    /// Writes the differences of the masks of one group of pairs.
    fn pair_masks<D: Offline>(self, cx: &D, at: At, group: &Group, masks: &mut [u64]) {
        let pairs = self.level.pair_len();
        let (row, first) = (group.first / pairs, group.first % pairs);
        let row_at = At {
            row: at.row + row as u64,
            ..at
        };
        let mut of_values = [0u64; MAX_LEN];
        self.masks_of_row(cx, row_at, &mut of_values[..self.level.len]);
        for (mask, (i, j)) in masks.iter_mut().zip(self.level.pairs().skip(first)) {
            *mask = of_values[i].minus(of_values[j]).low(self.bits);
        }
    }

    /// Writes the masks of the values of the row at a position of masks.
    pub fn masks_of_row<D: Offline>(self, cx: &D, at: At, masks: &mut [u64]) {
        for group in groups(at, 1, masks.len()) {
            let lanes = &mut masks[group.range()];
            self.mask().masks(cx, at.wire(MASK), group.stream, lanes);
        }
    }

    /// Compares all pairs, from the openings of the values, and opens each value's number of wins under a mask. `scratch` has at
    /// least [`Comparisons::scratch_len`] words.
    #[inline(never)]
    pub fn open_wins<'s, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        opened: &[u64],
        scratch: &'s mut [u64],
    ) -> Result<&'s [u64], LinkError> {
        let [signs_at, winners_at] = self.level.at(at);
        let wins = self.count_wins(cx, signs_at, rows, opened, scratch)?;
        let shape = [rows, self.level.len];
        open_masked(cx, (winners_at, WINS), WINS_BITS, shape, wins)?;
        Ok(wins)
    }

    /// Compares all pairs, from the openings of the values. Returns shares of each value's number of wins.
    fn count_wins<'s, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        opened: &[u64],
        scratch: &'s mut [u64],
    ) -> Result<&'s mut [u64], LinkError> {
        let (pairs, signs) = (self.level.pair_len(), self.signs());
        let (differences, scratch) = scratch.split_at_mut(rows * pairs);
        let (wins, scratch) = scratch.split_at_mut(rows * self.level.len);
        let samples = opened.chunks_exact(self.level.len);
        for (differences, opened) in differences.chunks_exact_mut(pairs).zip(samples) {
            for (difference, (i, j)) in differences.iter_mut().zip(self.level.pairs()) {
                *difference = signs.difference(opened[i], opened[j]);
            }
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(scratch);
        let (hidden, bytes) = bytes.split_at_mut(rows * plane_len(pairs));
        let opening = SignOpening {
            e: differences,
            hidden,
            beside: None,
            at_once: signs.opens_at_once(),
        };
        signs.hide_opened_signs(cx, at, [rows, pairs], opening, bytes)?;

        let one = match cx.role() {
            Role::P0 => 1u64,
            Role::P1 => 0,
        };
        wins.fill(0);
        for group in groups(at, rows, pairs) {
            let mut bits = [0u64; LANES];
            let bits = &mut bits[..group.lanes];
            signs.hiding_bits(cx, at, group.stream, bits)?;
            let mut m = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            for bit in &mut *bits {
                // m = 0: r. m = 1: 1 - r.
                let set = 0u64.minus(m & 1);
                m >>= 1;
                *bit = bit.xor(set).minus(set).plus(one.and(set));
            }
            if signs.opens_at_once() {
                let opened = (&differences[group.range()], &*bytes);
                signs.add_borrows(cx, at, &group, opened, bits)?;
            }
            let wins = &mut wins[group.first / pairs * self.level.len..][..self.level.len];
            let pairs = self.level.pairs().skip(group.first % pairs);
            for (&mut bit, (i, j)) in bits.iter_mut().zip(pairs) {
                wins[i] = wins[i].plus(bit);
                wins[j] = wins[j].plus(one).minus(bit);
            }
        }
        Ok(wins)
    }
}

/// Masks and opens `rows` x `len` values of Z_2^bits in place. One round.
fn open_masked<O: Online>(
    cx: &mut O,
    wire: (At, u8),
    bits: u32,
    shape: [usize; 2],
    values: &mut [u64],
) -> Result<(), LinkError> {
    add_masks(cx, wire, bits, shape, values);
    cx.open(&mut [Segment::words(Masked::wrap_slice_mut(values), bits)])
}
