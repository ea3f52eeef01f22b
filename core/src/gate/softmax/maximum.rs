//! The maximum of each row's values, by comparison of all pairs: the first step of softmax.
//!
//! Every value is opened once under its own mask. The difference of two openings is the opening of the values'
//! difference, under the difference of the masks, so a comparison opens no value of its own. The dealer shares the
//! comparisons' tables for these differences of masks. Of each pair one value wins, of equal values the first. So exactly
//! one value of a row wins all its comparisons. One round opens all that the comparisons need, and leaves their results as
//! shares in the ring of wins (see [`Relu::add_borrows`]). Wider rings take a round more, because what the dealer shares for
//! it grows with the number of chunks.
//!
//! The count of a value's wins is opened under a mask, and a table rotated by this mask holds shares of the winner's bit, and of
//! the bit times a mask: that of the value's difference to the last value. Winner's bit times difference, added up, is the
//! maximum's difference to the last value, which needs no table.
//!
//! With more than [`WHOLE`] values, parts of at most [`PART`] values are compared first, and then their maxima.

use core::ops::Range;

use bytemuck::TransparentWrapper;

use super::{
    label::{LabelValue, MAX_LABELS},
    winners::{TABLE, WINS_BITS, extend, winner_table},
};
use crate::{
    Role,
    cost::{Cost, LANES},
    gate::{
        At, Group, Offline, Online, add_masks, deal, dealt, groups,
        lift::Lift,
        load_plane, plane_len,
        relu::{Relu, SignOpening},
    },
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::Masked,
};

/// The gate's public sizes. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maximum {
    /// Ring of the values and of the maximum; |x| < 2^(bits-2).
    pub bits: u32,
    /// Values of a row, 2 to [`MAX_LEN`].
    pub len: usize,
}

/// The most values of a row: [`WHOLE`] parts of [`PART`] values.
pub(super) const MAX_LEN: usize = WHOLE * PART;
const _: () = assert!(MAX_LEN == MAX_LABELS);
/// Number of consecutive gate numbers of one maximum: two for each of at most two levels.
pub(super) const GATES: u32 = 4;

/// The most values that are compared all with all.
const WHOLE: usize = 16;
/// The most values of a part, where a row has several.
const PART: usize = 8;

const _: () = assert!(WHOLE <= 1 << WINS_BITS && PART <= WHOLE);

const MASK: u8 = 0;
const WINS: u8 = 1;
const WINNER: u8 = 2;

/// A level: the values of a row, in parts whose maxima enter the next level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    number: u32,
    len: usize,
    parts: usize,
}

impl Level {
    fn new(number: u32, len: usize) -> Self {
        let parts = match len <= WHOLE {
            true => 1,
            false => len.div_ceil(PART),
        };
        Level { number, len, parts }
    }

    /// The first value of a part. Parts differ by at most one value.
    fn start(self, part: usize) -> usize {
        part * self.len / self.parts
    }

    /// Each part's values.
    fn parts(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.parts).map(move |part| self.start(part)..self.start(part + 1))
    }

    /// The part of a value.
    fn part_of(self, value: usize) -> usize {
        ((value + 1) * self.parts - 1) / self.len
    }

    /// The last value of a value's part, and the wins of the part's winner.
    fn last_and_most_wins(self, value: usize) -> (usize, usize) {
        let part = self.part_of(value);
        let last = self.start(part + 1) - 1;
        (last, last - self.start(part))
    }

    /// The pairs of values of the same part, in the order of the streams.
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        self.parts().flat_map(|part| {
            let end = part.end;
            part.flat_map(move |first| (first + 1..end).map(move |second| (first, second)))
        })
    }

    /// Number of pairs.
    fn pair_len(self) -> usize {
        let pairs = |part: Range<usize>| part.len() * (part.len() - 1) / 2;
        self.parts().map(pairs).sum()
    }

    /// Positions of the comparisons, and of masks and winners.
    fn at(self, at: At) -> [At; 2] {
        [0, 1].map(|gate| At {
            gate: at.gate + 2 * self.number + gate,
            ..at
        })
    }
}

impl Maximum {
    /// Masks of the values.
    fn mask(self) -> Lift {
        Lift {
            from: self.bits,
            to: self.bits,
        }
    }

    /// Masks of the wins.
    fn wins_mask(self) -> Lift {
        Lift {
            from: WINS_BITS,
            to: WINS_BITS,
        }
    }

    /// Compares two values.
    fn signs(self) -> Relu {
        Relu::of_differences::<u64>(self.bits, WINS_BITS)
    }

    /// The values at secret indices.
    pub fn label(self) -> LabelValue {
        LabelValue {
            bits: self.bits,
            len: self.len,
        }
    }

    /// The levels.
    fn levels(self) -> impl Iterator<Item = Level> {
        let next = |level: &Level| match level.parts {
            1 => None,
            parts => Some(Level::new(level.number + 1, parts)),
        };
        core::iter::successors(Some(Level::new(0, self.len)), next)
    }

    /// Cost for `rows` rows.
    pub fn cost(self, rows: usize) -> Cost {
        let level = |level: Level| {
            let winners = |part: Range<usize>| {
                let most = part.len() - 1;
                Cost::dealt(1, 2 * most, self.bits) * (rows * most) as u64
            };
            Cost::opening(rows * level.len, self.bits)
                + self.signs_cost(rows, level.pair_len())
                + Cost::opening(rows * level.len, WINS_BITS)
                + level.parts().map(winners).sum()
                + Cost::rounds(2)
        };
        self.levels().map(level).sum()
    }

    /// Cost of the comparisons of `pairs` pairs of opened values.
    fn signs_cost(self, rows: usize, pairs: usize) -> Cost {
        let signs = self.signs();
        match signs.opens_at_once() {
            true => signs.signs_at_once_cost(rows, pairs),
            false => signs.opened_sign_cost(rows, pairs),
        }
    }

    /// Words in which a party receives the maxima of `rows` rows.
    pub fn maxima_len(self, rows: usize) -> usize {
        rows * Level::new(0, self.len).parts
    }

    /// Scratch that a party needs for `rows` rows, in words.
    pub fn scratch_len(self, rows: usize) -> usize {
        let level = |level: Level| {
            let pairs = level.pair_len();
            let planes = rows * plane_len(pairs) + self.signs().scratch_len(rows, pairs);
            rows * (2 * level.len + pairs) + planes.div_ceil(8)
        };
        self.levels().map(level).max().unwrap_or(0)
    }

    /// Sends the corrections for `rows` rows.
    pub fn deal<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        self.levels().try_for_each(|level| {
            let [signs_at, winners_at] = level.at(at);
            let (signs, pairs) = (self.signs(), level.pair_len());
            let masks = |cx: &D, group: &Group, masks: &mut [u64]| {
                self.pair_masks(cx, winners_at, level, group, masks);
            };
            if signs.opens_at_once() {
                signs.deal_signs_at_once(cx, signs_at, [rows, pairs], masks)?;
            } else {
                signs.deal_opened_signs(cx, signs_at, rows, pairs, masks)?;
            }
            self.deal_winners(cx, winners_at, level, rows)
        })
    }

    /// Writes the differences of the masks of one group of pairs.
    fn pair_masks<D: Offline>(
        self,
        cx: &D,
        at: At,
        level: Level,
        group: &Group,
        masks: &mut [u64],
    ) {
        let (row, first) = (
            group.first / level.pair_len(),
            group.first % level.pair_len(),
        );
        let row_at = At {
            row: at.row + row as u64,
            ..at
        };
        let mut of_values = [0u64; MAX_LEN];
        self.masks_of_row(cx, row_at, &mut of_values[..level.len]);
        for (mask, (i, j)) in masks.iter_mut().zip(level.pairs().skip(first)) {
            *mask = of_values[i].minus(of_values[j]).low(self.bits);
        }
    }

    /// Writes the masks of the values of the row at a position of masks.
    fn masks_of_row<D: Offline>(self, cx: &D, at: At, masks: &mut [u64]) {
        for group in groups(at, 1, masks.len()) {
            let lanes = &mut masks[group.range()];
            self.mask().masks(cx, at.wire(MASK), group.stream, lanes);
        }
    }

    /// Sends the corrections for the values of `rows` rows at secret indices, which [`Maximum::run`] takes.
    pub fn deal_labels<D: Offline>(
        self,
        cx: &mut D,
        [at, labels_at]: [At; 2],
        rows: usize,
    ) -> Result<(), LinkError> {
        let [_, values_at] = Level::new(0, self.len).at(at);
        self.label().deal(cx, labels_at, rows, |cx, row_at, masks| {
            let row = row_at.row;
            self.masks_of_row(cx, At { row, ..values_at }, masks)
        })
    }

    /// Sends the corrections for the tables of winners, rotated by the masks of the wins.
    fn deal_winners<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        level: Level,
        rows: usize,
    ) -> Result<(), LinkError> {
        for row in 0..rows as u64 {
            let at = At {
                row: at.row + row,
                ..at
            };
            let mut masks = [0u64; MAX_LEN];
            self.masks_of_row(cx, at, &mut masks[..level.len]);
            for group in groups(at, 1, level.len) {
                let mut wins_masks = [0u64; LANES];
                let wins_masks = &mut wins_masks[..group.lanes];
                self.wins_mask()
                    .masks(cx, at.wire(WINS), group.stream, wins_masks);
                for ((value, &wins_mask), stream) in
                    group.range().zip(&*wins_masks).zip(group.stream..)
                {
                    let (last, most) = level.last_and_most_wins(value);
                    if value == last {
                        continue;
                    }
                    let difference = masks[value].minus(masks[last]);
                    let table = winner_table(most, wins_mask);
                    let mut entries = [0u64; 2 * TABLE];
                    let (bits, masks) = entries.split_at_mut(most);
                    for ((bit, mask), entry) in bits.iter_mut().zip(masks).zip(table) {
                        (*bit, *mask) = (entry, entry.times(difference));
                    }
                    let (first, entries) = (Self::entry(stream), &mut entries[..2 * most]);
                    deal(cx, at.wire(WINNER), first, self.bits, entries)?;
                }
            }
        }
        Ok(())
    }

    /// Writes shares of the maximum of each row of `values` to the front of `maxima`, which has
    /// [`Maximum::maxima_len`] words. `scratch` has at least [`Maximum::scratch_len`] words.
    ///
    /// If there are shares of indices, one for each row, and their position, they are replaced by shares of the values at these
    /// indices.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &[u64],
        (maxima, mut labels): (&mut [u64], Option<(At, &mut [u64])>),
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        for level in self.levels() {
            let (opened, scratch) = scratch.split_at_mut(rows * level.len);
            let entering = match level.number {
                0 => values,
                _ => &*maxima,
            };
            opened.copy_from_slice(&entering[..rows * level.len]);
            let [signs_at, winners_at] = level.at(at);
            let shape = [rows, level.len];
            match labels.take() {
                #[cfg(feature = "extended-training")]
                Some(labels) => {
                    self.open_labelled(cx, winners_at, rows, opened, labels)?;
                }
                _ => open_masked(cx, (winners_at, MASK), self.bits, shape, opened)?,
            }
            let wins = self.count_wins(cx, signs_at, level, rows, opened, scratch)?;
            open_masked(cx, (winners_at, WINS), WINS_BITS, shape, wins)?;
            self.add_winners(cx, winners_at, level, rows, [opened, wins], maxima)?;
        }
        Ok(())
    }

    /// Masks and opens the values in place, together with the indices, which it replaces by shares of the values there. One round.
    #[cfg(feature = "extended-training")]
    fn open_labelled<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &mut [u64],
        (labels_at, labels): (At, &mut [u64]),
    ) -> Result<(), LinkError> {
        let label = self.label();
        add_masks(cx, (at, MASK), self.bits, [rows, self.len], values);
        label.mask(cx, labels_at, rows, labels);
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *values), self.bits),
            Segment::words(Masked::wrap_slice_mut(&mut *labels), label.index_bits()),
        ])?;
        label.finish(cx, labels_at, rows, values, labels)
    }

    /// Compares all pairs, from the openings of the values. Returns shares of each value's number of wins.
    fn count_wins<'s, O: Online>(
        self,
        cx: &mut O,
        at: At,
        level: Level,
        rows: usize,
        opened: &[u64],
        scratch: &'s mut [u64],
    ) -> Result<&'s mut [u64], LinkError> {
        let (pairs, signs) = (level.pair_len(), self.signs());
        let (differences, scratch) = scratch.split_at_mut(rows * pairs);
        let (wins, scratch) = scratch.split_at_mut(rows * level.len);
        let samples = opened.chunks_exact(level.len);
        for (differences, opened) in differences.chunks_exact_mut(pairs).zip(samples) {
            for (difference, (i, j)) in differences.iter_mut().zip(level.pairs()) {
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
            let wins = &mut wins[group.first / pairs * level.len..][..level.len];
            let pairs = level.pairs().skip(group.first % pairs);
            for (&mut bit, (i, j)) in bits.iter_mut().zip(pairs) {
                wins[i] = wins[i].plus(bit);
                wins[j] = wins[j].plus(one).minus(bit);
            }
        }
        Ok(wins)
    }

    /// Where the tables of a value begin in the stream of winners.
    fn entry(stream: u64) -> u64 {
        stream * 2 * TABLE as u64
    }

    /// Writes shares of the maximum of each part to `maxima`, from the openings of the values and of their wins.
    fn add_winners<O: Online>(
        self,
        cx: &mut O,
        at: At,
        level: Level,
        rows: usize,
        [opened, wins]: [&[u64]; 2],
        maxima: &mut [u64],
    ) -> Result<(), LinkError> {
        maxima[..rows * level.parts].fill(0);
        for group in groups(at, rows, level.len) {
            let (row, first) = (group.first / level.len, group.first % level.len);
            let opened = &opened[row * level.len..][..level.len];
            // This party's share of a value.
            let share = |cx: &O, value: usize| {
                let mut mask = [0u64];
                let stream = group.stream - first as u64 + value as u64;
                cx.prg().fill(at.wire(MASK), stream, &mut mask);
                match cx.role() {
                    Role::P0 => opened[value].minus(mask[0]),
                    Role::P1 => 0u64.minus(mask[0]),
                }
            };
            for (lane, element) in group.range().enumerate() {
                let (value, part) = (first + lane, level.part_of(first + lane));
                let (last, most) = level.last_and_most_wins(value);
                let mut found = share(cx, last);
                if value != last {
                    let mut entries = [0u64; 2 * TABLE];
                    let first = Self::entry(group.stream + lane as u64);
                    dealt(
                        cx,
                        at.wire(WINNER),
                        first,
                        self.bits,
                        &mut entries[..2 * most],
                    )?;
                    let (bits, masks) = entries.split_at(most);
                    let difference = opened[value].minus(opened[last]);
                    let mut terms = [0u64; TABLE];
                    for ((term, bit), mask) in terms.iter_mut().zip(bits).zip(masks) {
                        *term = bit.times(difference).minus(*mask);
                    }
                    extend(&mut terms, most, share(cx, value).minus(found));
                    found = terms[wins[element] as usize];
                }
                let maximum = &mut maxima[row * level.parts + part];
                *maximum = maximum.plus(found).low(self.bits);
            }
        }
        Ok(())
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
