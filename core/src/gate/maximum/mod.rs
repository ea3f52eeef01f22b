//! The maximum of each row's values, by comparison of all pairs: the first step of softmax. Or its number in the row: argmax.
//!
//! The values are compared and their wins opened (see [`comparisons`]). What the winner brings (see [`winners`]) is its value or
//! its number. Rows of many values take a level more (see [`level`]), to which the winners of parts bring both.

pub(super) mod comparisons;
mod label;
pub(super) mod level;
pub(super) mod winners;

use bytemuck::TransparentWrapper;

use super::{At, Offline, Online, add_masks};
use crate::{
    cost::Cost,
    net::link::{LinkError, Segment},
    share::Masked,
};
use comparisons::{Comparisons, MASK};
use label::LabelValue;
use level::Level;
use winners::Winners;

/// The gate's public sizes. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maximum {
    /// Ring of the values and of the maximum; |x| < 2^(bits-2).
    pub bits: u32,
    /// Values of a row, 2 to [`MAX_LEN`](level::MAX_LEN).
    pub len: usize,
}

/// Width in bits of the ring of a value's number in its row.
pub(super) const NUMBER_BITS: u32 = 8;

const _: () = assert!(level::MAX_LEN <= 1 << NUMBER_BITS);

/// The streams of the winners' tables, of the numbers' masks and of the tables of numbers, at the position of a level's winners.
const WINNER: u8 = 2;
const NUMBER_MASK: u8 = 3;
const NUMBER: u8 = 4;

/// What is found beside the maxima of rows, or in their place.
pub(super) enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// The values at secret indices: shares of one index for each row, which are replaced, and their position.
    #[cfg_attr(not(feature = "extended-training"), expect(dead_code))]
    Labels((At, &'a mut [u64])),
    /// The number of the first largest value of each row, in the place of the maximum. The words are twice
    /// [`Maximum::maxima_len`], and shares in Z_2^[`NUMBER_BITS`] come to their front.
    Numbers(&'a mut [u64]),
}

impl Maximum {
    /// The comparisons of a level.
    pub fn comparisons(self, level: Level) -> Comparisons {
        Comparisons {
            bits: self.bits,
            level,
        }
    }

    /// The values of a level's winners.
    pub fn winners(self, level: Level) -> Winners {
        Winners {
            bits: self.bits,
            level,
            masks: Some(MASK),
            tables: WINNER,
        }
    }

    /// The numbers of a level's winners.
    fn numbers(self, level: Level) -> Winners {
        Winners {
            bits: NUMBER_BITS,
            level,
            masks: match level.number {
                0 => None,
                _ => Some(NUMBER_MASK),
            },
            tables: NUMBER,
        }
    }

    /// The values at secret indices.
    pub fn label(self) -> LabelValue {
        LabelValue {
            bits: self.bits,
            len: self.len,
        }
    }

    /// The levels.
    pub fn levels(self) -> impl Iterator<Item = Level> {
        Level::all(self.len)
    }

    /// Cost for `rows` rows.
    pub fn cost(self, rows: usize) -> Cost {
        let level = |level| self.comparisons(level).cost(rows) + self.winners(level).cost(rows);
        self.levels().map(level).sum()
    }

    /// Words in which a party receives the maxima of `rows` rows.
    pub fn maxima_len(self, rows: usize) -> usize {
        rows * Level::first(self.len).parts
    }

    /// Scratch that a party needs for `rows` rows, in words. The first level needs the most.
    pub fn scratch_len(self, rows: usize) -> usize {
        let first = Level::first(self.len);
        rows * first.len + self.comparisons(first).scratch_len(rows)
    }

    /// Cost of the numbers of the largest values for `rows` rows.
    pub fn number_cost(self, rows: usize) -> Cost {
        let level = |level: Level| {
            let opened = match level.number {
                0 => Cost::ZERO,
                _ => Cost::opening(rows * level.len, NUMBER_BITS),
            };
            let values = match level.parts {
                1 => Cost::ZERO,
                _ => self.winners(level).cost(rows),
            };
            opened + self.comparisons(level).cost(rows) + values + self.numbers(level).cost(rows)
        };
        self.levels().map(level).sum()
    }

    /// Sends the corrections for the maxima of `rows` rows, or for their numbers in place of them.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        numbers: bool,
    ) -> Result<(), LinkError> {
        self.levels().try_for_each(|level| {
            let [_, winners_at] = level.at(at);
            self.comparisons(level).deal(cx, at, rows)?;
            if !numbers || level.parts > 1 {
                self.winners(level).deal(cx, winners_at, rows)?;
            }
            match numbers {
                true => self.numbers(level).deal(cx, winners_at, rows),
                false => Ok(()),
            }
        })
    }

    /// Sends the corrections for the values of `rows` rows at secret indices, which [`Maximum::run`] takes.
    pub fn deal_labels<D: Offline>(
        self,
        cx: &mut D,
        [at, labels_at]: [At; 2],
        rows: usize,
    ) -> Result<(), LinkError> {
        let first = Level::first(self.len);
        let [_, values_at] = first.at(at);
        self.label().deal(cx, labels_at, rows, |cx, row_at, masks| {
            let row = row_at.row;
            self.comparisons(first)
                .masks_of_row(cx, At { row, ..values_at }, masks)
        })
    }

    /// Writes shares of the maximum of each row of `values` to the front of `maxima`, which has
    /// [`Maximum::maxima_len`] words, unless numbers are found in its place. `scratch` has at least [`Maximum::scratch_len`]
    /// words.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        values: &[u64],
        (maxima, mut beside): (&mut [u64], Beside<'_>),
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        for level in self.levels() {
            let (opened, scratch) = scratch.split_at_mut(rows * level.len);
            let entering = match level.number {
                0 => values,
                _ => &*maxima,
            };
            opened.copy_from_slice(&entering[..opened.len()]);
            let [_, winners_at] = level.at(at);
            self.open(cx, (winners_at, level), rows, opened, &mut beside)?;
            let comparisons = self.comparisons(level);
            let wins = comparisons.open_wins(cx, at, rows, opened, scratch)?;
            let numbers = match &mut beside {
                Beside::Numbers(numbers) => &mut **numbers,
                _ => &mut [],
            };
            if numbers.is_empty() || level.parts > 1 {
                let winners = self.winners(level);
                winners.find(cx, winners_at, rows, [&*opened, wins], maxima)?;
            }
            if !numbers.is_empty() {
                let (opened, found) = numbers.split_at_mut(numbers.len() / 2);
                self.numbers(level)
                    .find(cx, winners_at, rows, [&*opened, wins], found)?;
                opened.copy_from_slice(found);
            }
        }
        Ok(())
    }

    /// Masks and opens the values of a level in place, and with them what is beside: indices, which become shares of the values
    /// there, or the numbers that the values of a further level stand for. One round.
    fn open<O: Online>(
        self,
        cx: &mut O,
        (at, level): (At, Level),
        rows: usize,
        values: &mut [u64],
        beside: &mut Beside<'_>,
    ) -> Result<(), LinkError> {
        let shape = [rows, level.len];
        add_masks(cx, (at, MASK), self.bits, shape, values);
        #[cfg(feature = "extended-training")]
        let label = self.label();
        let (more, bits) = match beside {
            #[cfg(feature = "extended-training")]
            Beside::Labels((labels_at, labels)) if level.number == 0 => {
                label.mask(cx, *labels_at, rows, labels);
                (&mut **labels, label.index_bits())
            }
            Beside::Numbers(numbers) if level.number > 0 => {
                let numbers = &mut numbers[..rows * level.len];
                add_masks(cx, (at, NUMBER_MASK), NUMBER_BITS, shape, numbers);
                (numbers, NUMBER_BITS)
            }
            _ => (&mut [][..], 1),
        };
        cx.open(&mut [
            Segment::words(Masked::wrap_slice_mut(&mut *values), self.bits),
            Segment::words(Masked::wrap_slice_mut(more), bits),
        ])?;
        match beside {
            #[cfg(feature = "extended-training")]
            Beside::Labels((labels_at, labels)) if level.number == 0 => {
                label.finish(cx, *labels_at, rows, values, labels)
            }
            _ => Ok(()),
        }
    }
}
