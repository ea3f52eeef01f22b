//! The unary tables that a comparison looks up, on the lanes of one group.

use crate::{
    cost::LANES,
    kernel::vector::Loop,
    num::ring::{Word, mask},
};

#[cfg(not(target_pointer_width = "32"))]
use crate::kernel::vector;

/// What is read of the tables of one chunk and group: the planes [digit < a_j] and [digit = a_j].
pub(super) struct Entries<'a, W> {
    /// Shift and width of the chunk.
    pub digits: [u32; 2],
    /// The entry before the first.
    pub first_entry: W,
    /// The openings.
    pub e: &'a [W],
    /// The table of each lane.
    pub table: &'a [W],
}

impl<W: Word> Entries<'_, W> {
    /// Reads the tables.
    #[cfg(not(target_pointer_width = "32"))]
    pub fn planes(self) -> (u64, u64) {
        vector::run(self)
    }

    /// Reads the tables.
    #[cfg(target_pointer_width = "32")]
    #[inline(always)]
    pub fn planes(self) -> (u64, u64) {
        self.planes_one_by_one()
    }

    /// The same for small processors, lane by lane from the last one on: a plane takes its next bit from below, because a
    /// shift by one place is part of another instruction.
    #[cfg(any(test, target_pointer_width = "32"))]
    #[inline(always)]
    fn planes_one_by_one(self) -> (u64, u64) {
        let ([shift, width], first_entry) = (self.digits, self.first_entry);
        let last_digit = (1 << width) - 1;
        let (mut less, mut equal) = (0, 0);
        let halves = self.e.chunks(32).zip(self.table.chunks(32));
        for (half, (e, table)) in halves.enumerate() {
            let (mut below_plane, mut at_plane) = (0u32, 0u32);
            for (&e, table) in e.iter().zip(table).rev() {
                let digit = e.short_right(shift).to_u64() as u32 & last_digit;
                let read = table.left(1).plus(first_entry).short_right(digit).to_u64() as u32;
                below_plane = below_plane << 1 | read & 1;
                at_plane = at_plane << 1 | read >> 1 & 1;
            }
            less |= u64::from(at_plane) << (32 * half);
            equal |= u64::from(below_plane ^ at_plane) << (32 * half);
        }
        (less, equal)
    }
}

#[cfg(not(target_pointer_width = "32"))]
impl<W: Word> Loop for Entries<'_, W> {
    type Output = (u64, u64);

    #[inline(always)]
    fn run(self) -> (u64, u64) {
        let ([shift, width], first_entry) = (self.digits, self.first_entry);
        let (mut less, mut equal) = (0, 0);
        // In halves of 32 lanes, so that a lane's bit comes by a shift of a word.
        let halves = self.e.chunks(32).zip(self.table.chunks(32));
        for (half, (e, table)) in halves.enumerate() {
            let (mut less_plane, mut equal_plane) = (0u32, 0u32);
            for (lane, (&e, table)) in e.iter().zip(table).enumerate() {
                let digit = e.right(shift).low(width).to_u64() as u32;
                let read = table.left(1).plus(first_entry).right(digit).to_u64() as u32;
                let (below, at) = (read & 1, read >> 1 & 1);
                less_plane |= at << lane;
                equal_plane |= (below ^ at) << lane;
            }
            less |= u64::from(less_plane) << (32 * half);
            equal |= u64::from(equal_plane) << (32 * half);
        }
        (less, equal)
    }
}

/// The tables of one chunk and group: in each lane ones in as many low bits as the mask's digit says.
pub(super) struct Tables<'a, W> {
    /// Shift and width of the chunk.
    pub digits: [u32; 2],
    /// The masks.
    pub a: &'a [W],
}

impl<W: Word> Loop for Tables<'_, W> {
    type Output = [W; LANES];

    #[inline(always)]
    fn run(self) -> [W; LANES] {
        let [shift, width] = self.digits;
        let mut tables = [W::ZERO; LANES];
        for (table, a) in tables.iter_mut().zip(self.a) {
            let digit = a.right(shift).low(width).to_u64() as u32;
            *table = mask::<W>(digit);
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::harness::Values;

    fn both_agree<W: Word>(seed: u64, digits: &[[u32; 2]]) {
        let mut values = Values::new(seed);
        for &digits in digits {
            for (first_entry, lanes) in
                [(W::ONE, LANES), (W::ZERO, LANES), (W::ONE, 33), (W::ONE, 7)]
            {
                let e: [W; LANES] = core::array::from_fn(|_| values.word());
                let bits = (1 << digits[1]) - 1;
                let table: [W; LANES] = core::array::from_fn(|_| values.word::<W>().low(bits));
                let entries = || Entries {
                    digits,
                    first_entry,
                    e: &e[..lanes],
                    table: &table[..lanes],
                };
                let (fast, small) = (entries().planes(), entries().planes_one_by_one());
                assert_eq!(fast, small, "{digits:?}, {lanes}");
            }
        }
    }

    #[test]
    fn all_processors_read_the_same_entries() {
        both_agree::<u32>(1, &[[0, 5], [13, 5], [27, 5], [5, 4], [9, 1]]);
        both_agree::<u64>(2, &[[0, 6], [33, 6], [58, 6], [31, 5], [40, 1]]);
    }
}
