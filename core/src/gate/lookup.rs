//! Interpolated lookup: a public function of a secret x in Z_2^(index + rest), by a table over its high `index` bits and
//! linear interpolation over the other bits.
//!
//! The index is x truncated by `rest` bits, opened at `index` bits under a mask. The dealer shares the table rotated by
//! this mask, and each party reads the entry at the public opening. The remainder r = x - index * 2^rest is in
//! (-2^rest, 2^rest), whether the truncation rounded up or down. A second opening gives y = value + slope * r, because
//! the table also holds the products of the slope with r's mask. Rotated shared tables follow one-time truth tables
//! (Ishai et al., TCC 2013).

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::{Masked, Share, truncate},
};

use super::{At, Offline, Online, deal, dealt, groups, lift::Lift, opening_masks};

/// The gate's public widths, in bits. Words are `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Bits of the table's index.
    pub index: u32,
    /// Bits below the index.
    pub rest: u32,
    /// Ring of the output.
    pub to: u32,
}

const INDEX: u8 = 0;
const REST: u8 = 1;
const BASE: u8 = 2;
const SLOPE: u8 = 3;
const CARRY: u8 = 4;
const POSITION: u8 = 5;

/// Words of scratch for each element.
const COLUMNS: usize = 4;

impl Lookup {
    /// Width in bits of the input's ring.
    pub fn from(self) -> u32 {
        self.index + self.rest
    }

    /// Masks of the remainder. Its ring has bits for the magnitude, the sign, and the offset.
    fn remainder(self) -> Lift {
        Lift {
            from: self.rest + 2,
            to: self.to,
        }
    }

    /// Wire and width in bits of each column of the table: value - slope * mask, slope, slope * top bit of the mask, and
    /// the index modulo 4. Two bits suffice because the remainder's ring has `rest` + 2 bits.
    fn columns(self) -> [(u8, u32); 4] {
        [
            (BASE, self.to),
            (SLOPE, self.to),
            (CARRY, self.remainder().high()),
            (POSITION, 2),
        ]
    }

    /// Cost for `rows` x `len` elements; two rounds.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        let entry: Cost = self
            .columns()
            .iter()
            .map(|&(_, bits)| Cost::dealt(1, 1 << self.index, bits))
            .sum();
        Cost::opening(rows * len, self.index)
            + Cost::opening(rows * len, self.remainder().from)
            + entry * (rows * len) as u64
            + Cost::rounds(2)
    }

    /// Scratch that a party needs for `rows` x `len` elements, in words.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        rows * len * COLUMNS
    }

    /// Sends the corrections for `rows` x `len` elements. `table` holds value and slope for each index, modulo 2^to.
    /// `scratch` is twice as long.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
        table: &[[u64; 2]],
        scratch: &mut [[u64; 2]],
    ) -> Result<(), LinkError> {
        debug_assert_eq!(table.len(), 1 << self.index);
        let index = Lift {
            from: self.index,
            to: self.index,
        };
        for group in groups(at, rows, len) {
            let (mut rotations, mut masks) = ([0u64; LANES], [0u64; LANES]);
            index.masks(
                cx,
                at.wire(INDEX),
                group.stream,
                &mut rotations[..group.lanes],
            );
            let remainder = self.remainder();
            remainder.masks(cx, at.wire(REST), group.stream, &mut masks[..group.lanes]);
            for lane in 0..group.lanes {
                let start = (group.stream + lane as u64) << self.index;
                let top = masks[lane].right(remainder.from - 1);
                let rotated = rotate(table, rotations[lane], scratch);
                for (wire, bits) in self.columns() {
                    let mut entry = 0u64;
                    while entry < 1 << self.index {
                        let count = (1usize << self.index).min(LANES);
                        let mut values = [0; LANES];
                        for value in &mut values[..count] {
                            let index = entry.minus(rotations[lane]).low(self.index);
                            let [function, slope] = rotated[entry as usize];
                            *value = match wire {
                                BASE => function.minus(slope.times(masks[lane])),
                                SLOPE => slope,
                                CARRY => slope.times(top),
                                _ => index,
                            };
                            entry += 1;
                        }
                        let first = start + entry - count as u64;
                        deal(cx, at.wire(wire), first, bits, &mut values[..count])?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Replaces `rows` x `len` shares in Z_2^(index + rest) by shares of the function in Z_2^to.
    #[inline(never)]
    pub fn run<O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [Share<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let x = &mut Share::peel_slice_mut(x)[..rows * len];
        let (index, columns) = scratch.split_at_mut(rows * len);
        let columns = &mut columns[..rows * len * 3];
        for group in groups(at, rows, len) {
            let mut mask = [0u64; LANES];
            let wire = at.wire(INDEX);
            let lanes = &mut mask[..group.lanes];
            opening_masks(cx, wire, group.stream, self.index, lanes);
            for ((index, &x), mask) in index[group.range()]
                .iter_mut()
                .zip(&x[group.range()])
                .zip(mask)
            {
                *index = truncate(role, x, self.from(), self.rest)
                    .plus(mask)
                    .low(self.index);
            }
        }
        cx.open(&mut [Segment::words(
            Masked::wrap_slice_mut(&mut *index),
            self.index,
        )])?;

        let remainder = self.remainder();
        for group in groups(at, rows, len) {
            for (lane, element) in group.range().enumerate() {
                let start = (group.stream + lane as u64) << self.index;
                let mut entry = [0; COLUMNS];
                for (entry, (wire, bits)) in entry.iter_mut().zip(self.columns()) {
                    *entry = self.read(cx, at, wire, bits, start, index[element])?;
                }
                columns[element * 3..][..3].copy_from_slice(&entry[..3]);
                // x - index * 2^rest.
                x[element] = x[element].minus(entry[3].left(self.rest));
            }
            let x = &mut x[group.range()];
            remainder.mask_values::<u64, u64, O>(cx, at.wire(REST), group.stream, x);
        }
        cx.open(&mut [Segment::words(
            Masked::wrap_slice_mut(&mut *x),
            remainder.from,
        )])?;

        for (e, column) in x.iter_mut().zip(columns.chunks_exact(3)) {
            let carry = remainder
                .carry_select::<u64>(*e)
                .and(column[2].left(remainder.from));
            let public = e.minus(remainder.offset());
            *e = column[0]
                .plus(column[1].times(public))
                .plus(carry)
                .low(self.to);
        }
        Ok(())
    }

    /// This party's share of the table entry at the public `opened` index. P1 receives the whole table and keeps this
    /// entry.
    fn read<O: Online>(
        self,
        cx: &mut O,
        at: At,
        wire: u8,
        bits: u32,
        start: u64,
        opened: u64,
    ) -> Result<u64, LinkError> {
        let mut values = [0u64; LANES];
        if cx.role() == Role::P0 {
            dealt(cx, at.wire(wire), start + opened, bits, &mut values[..1])?;
            return Ok(values[0]);
        }
        let (mut entry, mut found) = (0, 0);
        while entry < 1 << self.index {
            let count = (1usize << self.index).min(LANES);
            dealt(cx, at.wire(wire), start + entry, bits, &mut values[..count])?;
            if let Some(&value) = opened
                .checked_sub(entry)
                .and_then(|lane| values[..count].get(lane as usize))
            {
                found = value;
            }
            entry += count as u64;
        }
        Ok(found)
    }
}

/// Rotates a table by a secret number of entries, one power of two after another, so that memory accesses do not depend
/// on the secret. The table's length is a power of two; `scratch` is twice as long.
fn rotate<'s>(table: &[[u64; 2]], by: u64, scratch: &'s mut [[u64; 2]]) -> &'s [[u64; 2]] {
    let (mut from, mut to) = scratch.split_at_mut(table.len());
    to = &mut to[..table.len()];
    from.copy_from_slice(table);
    for bit in 0..table.len().trailing_zeros() {
        let selected = 0u64.minus(by.right(bit).and(1));
        for (index, to) in to.iter_mut().enumerate() {
            let kept = from[index];
            let moved = from[index.wrapping_sub(1 << bit) & (table.len() - 1)];
            *to = [0, 1].map(|i| kept[i] ^ (kept[i] ^ moved[i]) & selected);
        }
        core::mem::swap(&mut from, &mut to);
    }
    from
}
