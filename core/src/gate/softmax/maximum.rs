//! The maximum of each row's values, by comparison of all pairs: the first step of softmax.
//!
//! Every value is opened once under its own mask. The difference of two openings is the opening of the values'
//! difference, under the difference of the masks, so a comparison opens no value of its own. The dealer shares the
//! comparisons' tables for these differences of masks. Of each pair one value wins, of equal values the first. So exactly
//! one value of a row wins all its comparisons. The count of its wins is opened under a mask, and a table rotated by
//! this mask holds shares of the winner's bit, and of the bit times the value's mask. Winner's bit times value, added up,
//! is the maximum.
//!
//! With more than [`WHOLE`] values, parts of at most [`PART`] values are compared first, and then their maxima.

use bytemuck::TransparentWrapper;

use super::label::{LabelValue, MAX_LABELS, is_equal};
use crate::{
    Role,
    cost::{Cost, LANES},
    gate::{
        At, Group, Offline, Online, deal, dealt_entry, groups,
        lift::Lift,
        load_plane, opening_masks, plane_len,
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
/// Width in bits of the ring of wins, 0 to [`WHOLE`] - 1.
const WINS_BITS: u32 = 4;

const _: () = assert!(WHOLE <= 1 << WINS_BITS && PART <= WHOLE);

const MASK: u8 = 0;
const WINS: u8 = 1;
const WINNER: u8 = 2;
const WINNER_MASK: u8 = 3;

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
    fn parts(self) -> impl Iterator<Item = core::ops::Range<usize>> {
        (0..self.parts).map(move |part| self.start(part)..self.start(part + 1))
    }

    /// The part of a value.
    fn part_of(self, value: usize) -> usize {
        ((value + 1) * self.parts - 1) / self.len
    }

    /// The wins of the winner of a value's part.
    fn most_wins(self, value: usize) -> u64 {
        let part = self.part_of(value);
        (self.start(part + 1) - self.start(part) - 1) as u64
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
        let pairs = |part: core::ops::Range<usize>| part.len() * (part.len() - 1) / 2;
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
            let winners = Cost::dealt(1, 1 << WINS_BITS, self.bits) * (2 * rows * level.len) as u64;
            Cost::opening(rows * level.len, self.bits)
                + self.signs().opened_sign_cost(rows, level.pair_len())
                + Cost::opening(rows * level.len, WINS_BITS)
                + winners
                + Cost::rounds(2)
        };
        self.levels().map(level).sum()
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
            rows * level.len + rows * pairs.max(level.len) + planes.div_ceil(8)
        };
        self.levels().map(level).max().unwrap_or(0)
    }

    /// Sends the corrections for `rows` rows.
    pub fn deal<D: Offline>(self, cx: &mut D, at: At, rows: usize) -> Result<(), LinkError> {
        self.levels().try_for_each(|level| {
            let [signs_at, winners_at] = level.at(at);
            let pairs = level.pair_len();
            self.signs().deal_opened_signs::<u64, D>(
                cx,
                signs_at,
                rows,
                pairs,
                |cx, group, masks| self.pair_masks(cx, winners_at, level, group, masks),
            )?;
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
        for group in groups(at, rows, level.len) {
            let (mut masks, mut wins_masks) = ([0u64; LANES], [0u64; LANES]);
            let (masks, wins_masks) = (&mut masks[..group.lanes], &mut wins_masks[..group.lanes]);
            self.mask().masks(cx, at.wire(MASK), group.stream, masks);
            self.wins_mask()
                .masks(cx, at.wire(WINS), group.stream, wins_masks);
            let first_value = group.first % level.len;
            let lanes = masks.iter().zip(wins_masks).enumerate();
            for (lane, (mask, wins_mask)) in lanes {
                let most = level.most_wins(first_value + lane);
                let winning = most.plus(*wins_mask).low(WINS_BITS);
                let first = (group.stream + lane as u64) << WINS_BITS;
                for (wire, value) in [(WINNER, 1), (WINNER_MASK, *mask)] {
                    let mut table = [0u64; 1 << WINS_BITS];
                    for (opened, entry) in (0..).zip(&mut table) {
                        *entry = value.times(is_equal(opened, winning));
                    }
                    deal(cx, at.wire(wire), first, self.bits, &mut table)?;
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
            match labels.take() {
                #[cfg(feature = "extended-training")]
                Some(labels) => {
                    self.open_labelled(cx, winners_at, rows, opened, labels)?;
                }
                _ => self.open_values(cx, winners_at, [rows, level.len], opened)?,
            }
            let wins = self.count_wins(cx, signs_at, level, rows, opened, scratch)?;
            self.open_wins(cx, winners_at, [rows, level.len], wins)?;
            self.add_winners(cx, winners_at, level, rows, [opened, wins], maxima)?;
        }
        Ok(())
    }

    /// Masks and opens the values in place. One round.
    fn open_values<O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        values: &mut [u64],
    ) -> Result<(), LinkError> {
        add_masks(cx, (at, MASK), self.bits, [rows, len], values);
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(values), self.bits)])
    }

    /// As [`Maximum::open_values`], together with the indices, which it replaces by shares of the values there.
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
        let (words, scratch) = scratch.split_at_mut(rows * pairs.max(level.len));
        let differences = &mut words[..rows * pairs];
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
        };
        signs.hide_opened_signs(cx, at, [rows, pairs], opening, bytes)?;

        let one = match cx.role() {
            Role::P0 => 1u64,
            Role::P1 => 0,
        };
        let wins = &mut words[..rows * level.len];
        wins.fill(0);
        for group in groups(at, rows, pairs) {
            let mut r = [0u64; LANES];
            let r = &mut r[..group.lanes];
            signs.hiding_bits(cx, at, group.stream, r)?;
            let mut m = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            let wins = &mut wins[group.first / pairs * level.len..][..level.len];
            let pairs = level.pairs().skip(group.first % pairs);
            for (&mut r, (i, j)) in r.iter_mut().zip(pairs) {
                // m = 0: r. m = 1: 1 - r.
                let set = 0u64.minus(m & 1);
                m >>= 1;
                let bit = r.xor(set).minus(set).plus(one.and(set));
                wins[i] = wins[i].plus(bit);
                wins[j] = wins[j].plus(one).minus(bit);
            }
        }
        Ok(wins)
    }

    /// Masks and opens the numbers of wins in place. One round.
    fn open_wins<O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        wins: &mut [u64],
    ) -> Result<(), LinkError> {
        add_masks(cx, (at, WINS), WINS_BITS, [rows, len], wins);
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(wins), WINS_BITS)])
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
        let widths = [WINS_BITS, self.bits];
        for group in groups(at, rows, level.len) {
            let (row, first) = (group.first / level.len, group.first % level.len);
            let maxima = &mut maxima[row * level.parts..][..level.parts];
            for (lane, element) in group.range().enumerate() {
                let offset = (group.stream + lane as u64) << WINS_BITS;
                let wins = wins[element];
                let bit = dealt_entry(cx, at.wire(WINNER), offset, widths, wins)?;
                let mask = dealt_entry(cx, at.wire(WINNER_MASK), offset, widths, wins)?;
                let maximum = &mut maxima[level.part_of(first + lane)];
                let value = bit.times(opened[element]).minus(mask);
                *maximum = maximum.plus(value).low(self.bits);
            }
        }
        Ok(())
    }
}

/// Adds this party's shares of masks in Z_2^bits to shares of `rows` x `len` values.
fn add_masks<O: Online>(
    cx: &O,
    (at, wire): (At, u8),
    bits: u32,
    [rows, len]: [usize; 2],
    values: &mut [u64],
) {
    for group in groups(at, rows, len) {
        let mut masks = [0u64; LANES];
        let masks = &mut masks[..group.lanes];
        opening_masks(cx, at.wire(wire), group.stream, bits, masks);
        for (value, mask) in values[group.range()].iter_mut().zip(masks) {
            *value = value.plus(*mask).low(bits);
        }
    }
}
