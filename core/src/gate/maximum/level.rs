//! The levels on which a row's values are compared.
//!
//! With more than [`WHOLE`] values, parts of at most [`PART`] values are compared first, and then their maxima.

use core::ops::Range;

use super::label::MAX_LABELS;
use crate::gate::At;

/// The most values of a row: [`WHOLE`] parts of [`PART`] values.
pub(in crate::gate) const MAX_LEN: usize = WHOLE * PART;
const _: () = assert!(MAX_LEN == MAX_LABELS);
/// Number of consecutive gate numbers of all levels: two for each of at most two levels.
pub(in crate::gate) const GATES: u32 = 4;

/// Width in bits of the ring of wins, of which there are at most 15.
pub(super) const WINS_BITS: u32 = 4;

/// The most values that are compared all with all.
const WHOLE: usize = 16;
/// The most values of a part, where a row has several.
const PART: usize = 8;

const _: () = assert!(WHOLE <= 1 << WINS_BITS && PART <= WHOLE);

/// A level: the values of a row, in parts whose maxima enter the next level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Level {
    /// Number of the level. The values of level 0 are those of the row.
    pub number: u32,
    /// Values of a row.
    pub len: usize,
    /// Parts of a row.
    pub parts: usize,
}

impl Level {
    fn new(number: u32, len: usize) -> Self {
        let parts = match len <= WHOLE {
            true => 1,
            false => len.div_ceil(PART),
        };
        Level { number, len, parts }
    }

    /// The first level of rows of `len` values.
    pub fn first(len: usize) -> Self {
        Level::new(0, len)
    }

    /// All levels of rows of `len` values, in order.
    pub fn all(len: usize) -> impl Iterator<Item = Level> {
        let next = |level: &Level| match level.parts {
            1 => None,
            parts => Some(Level::new(level.number + 1, parts)),
        };
        core::iter::successors(Some(Level::first(len)), next)
    }

    /// The first value of a part. Parts differ by at most one value.
    fn start(self, part: usize) -> usize {
        part * self.len / self.parts
    }

    /// Each part's values.
    pub fn parts(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.parts).map(move |part| self.start(part)..self.start(part + 1))
    }

    /// The part of a value.
    pub fn part_of(self, value: usize) -> usize {
        ((value + 1) * self.parts - 1) / self.len
    }

    /// The last value of a value's part, and the wins of the part's winner.
    pub fn last_and_most_wins(self, value: usize) -> (usize, usize) {
        let part = self.part_of(value);
        let last = self.start(part + 1) - 1;
        (last, last - self.start(part))
    }

    /// The pairs of values of the same part, in the order of the streams.
    pub fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        self.parts().flat_map(|part| {
            let end = part.end;
            part.flat_map(move |first| (first + 1..end).map(move |second| (first, second)))
        })
    }

    /// Number of pairs.
    pub fn pair_len(self) -> usize {
        let pairs = |part: Range<usize>| part.len() * (part.len() - 1) / 2;
        self.parts().map(pairs).sum()
    }

    /// Positions of the comparisons, and of masks and winners.
    pub fn at(self, at: At) -> [At; 2] {
        [0, 1].map(|gate| At {
            gate: at.gate + 2 * self.number + gate,
            ..at
        })
    }
}
