//! The value of a row at a secret index: shares of logits and of a label -> shares of the label's logit.
//!
//! The values are opened under masks for another reason. The index is opened under a mask of its own in the same round. For
//! each opening of the index the dealer shares the mask of the value that it then stands for, and once the position of that
//! value relative to the opening: a vector with a single 1, whose product with the opened values is the value plus its mask.

use crate::{
    cost::{Cost, LANES},
    gate::{At, Offline, Online, deal, dealt, dealt_entry, groups, lift::Lift, opening_masks},
    net::link::LinkError,
    num::ring::Word,
};

/// The gate's public sizes. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct LabelValue {
    /// Ring of the values.
    pub bits: u32,
    /// Values of a row, 2 to [`MAX_LABELS`].
    pub len: usize,
}

const INDEX: u8 = 0;
const POSITION: u8 = 1;
const MASK: u8 = 2;

/// The most values of a row.
pub(in crate::gate) const MAX_LABELS: usize = 128;

/// The most entries of a table: one for each opening of an index.
const MAX_ENTRIES: usize = MAX_LABELS.next_power_of_two();

impl LabelValue {
    /// Bits of the ring of indices.
    pub fn index_bits(self) -> u32 {
        self.len.next_power_of_two().trailing_zeros()
    }

    fn index_mask(self) -> Lift {
        Lift {
            from: self.index_bits(),
            to: self.index_bits(),
        }
    }

    /// Cost for `rows` rows, without the opening of the values and without its round.
    pub fn cost(self, rows: usize) -> Cost {
        let tables = Cost::dealt(1, 1 << self.index_bits(), self.bits) * (2 * rows) as u64;
        Cost::opening(rows, self.index_bits()) + tables
    }

    /// Sends the corrections for `rows` rows. `masks` writes the masks of the values of the row at a position.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        masks: impl Fn(&D, At, &mut [u64]),
    ) -> Result<(), LinkError> {
        let (bits, entries) = (self.index_bits(), 1usize << self.index_bits());
        for (row, group) in groups(at, rows, 1).enumerate() {
            let row_at = At {
                row: at.row + row as u64,
                ..at
            };
            let mut of_values = [0u64; MAX_ENTRIES];
            masks(cx, row_at, &mut of_values[..self.len]);
            let mut index_mask = [0u64];
            let wire = at.wire(INDEX);
            self.index_mask()
                .masks(cx, wire, group.stream, &mut index_mask);
            // The index is the opening minus the mask.
            let index = |opened: u64| opened.minus(index_mask[0]).low(bits);
            let first = group.stream << bits;
            let (mut position, mut mask) = ([0u64; MAX_ENTRIES], [0u64; MAX_ENTRIES]);
            for opened in 0..entries {
                position[opened] = is_equal(index(0), opened as u64);
                for (value, &of_value) in of_values[..entries].iter().enumerate() {
                    let is_meant = is_equal(index(opened as u64), value as u64);
                    mask[opened] = mask[opened].plus(of_value.times(is_meant));
                }
            }
            for (wire, table) in [(POSITION, &mut position), (MASK, &mut mask)] {
                let pieces = table[..entries].chunks_mut(LANES);
                for (piece, first) in pieces.zip((first..).step_by(LANES)) {
                    deal(cx, at.wire(wire), first, self.bits, piece)?;
                }
            }
        }
        Ok(())
    }

    /// Masks shares of the indices of `rows` rows, for an opening at [`LabelValue::index_bits`].
    pub fn mask<O: Online>(self, cx: &O, at: At, rows: usize, indices: &mut [u64]) {
        let bits = self.index_bits();
        for group in groups(at, rows, 1) {
            let mut mask = [0u64];
            opening_masks(cx, at.wire(INDEX), group.stream, bits, &mut mask);
            for index in &mut indices[group.range()] {
                *index = index.plus(mask[0]).low(bits);
            }
        }
    }

    /// Replaces the openings of indices by shares of the values in Z_2^bits, from the openings of all values.
    pub fn finish<O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        opened: &[u64],
        indices: &mut [u64],
    ) -> Result<(), LinkError> {
        let (bits, entries) = (self.index_bits(), 1usize << self.index_bits());
        let samples = opened.chunks_exact(self.len);
        for (group, values) in groups(at, rows, 1).zip(samples) {
            for index in &mut indices[group.range()] {
                let (opened_index, first) = (*index as usize, group.stream << bits);
                let mut value = 0u64;
                let mut position = [0u64; LANES];
                for start in (0..entries).step_by(LANES) {
                    let position = &mut position[..LANES.min(entries - start)];
                    let offset = first + start as u64;
                    dealt(cx, at.wire(POSITION), offset, self.bits, position)?;
                    for (lane, share) in position.iter().enumerate() {
                        // The opening shifts the positions by a public number.
                        let of = (start + lane + opened_index) % entries;
                        let opened = values.get(of).copied().unwrap_or(0);
                        value = value.plus(share.times(opened));
                    }
                }
                let widths = [bits, self.bits];
                let mask = dealt_entry(cx, at.wire(MASK), first, widths, *index)?;
                *index = value.minus(mask).low(self.bits);
            }
        }
        Ok(())
    }
}

/// 1 if two secrets are equal, else 0, without a secret-dependent branch.
pub(super) fn is_equal(a: u64, b: u64) -> u64 {
    let difference = a ^ b;
    // The top bit of the difference or of its negation is set unless the difference is zero.
    1 ^ (difference | difference.wrapping_neg()) >> 63
}
