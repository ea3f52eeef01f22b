//! Interpolated lookup: a public function of a secret x in Z_2^(index + rest), by a table over its high
//! `index` bits and a straight line over the rest.
//!
//! The index is the free step down of x, so it is opened at `index` bits; the dealer shares the table
//! rotated by the index mask, and each party reads one entry at the public place. The remainder
//! r = x - index * 2^rest then lies in (-2^rest, 2^rest) whichever way the step down rounded, and
//! y = value + slope * r follows from one more opening, because the table also holds the products of
//! the slope with r's mask.

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
    /// Bits of the remainder.
    pub rest: u32,
    /// Ring of the output.
    pub to: u32,
}

const INDEX: u8 = 0;
const REST: u8 = 1;
const BASE: u8 = 2;
const SLOPE: u8 = 3;
const CARRY: u8 = 4;
const PLACE: u8 = 5;

/// Words of scratch for each element.
const COLUMNS: usize = 4;

impl Lookup {
    /// Ring of the input.
    pub fn from(self) -> u32 {
        self.index + self.rest
    }

    /// The remainder's ring: its magnitude, its sign, and room for the offset.
    fn remainder(self) -> Lift {
        Lift {
            from: self.rest + 2,
            to: self.to,
        }
    }

    /// Bits of each column of the table: value less slope times mask, slope, slope times the mask's
    /// top bit, and the place itself modulo the remainder's ring.
    fn columns(self) -> [(u8, u32); 4] {
        [
            (BASE, self.to),
            (SLOPE, self.to),
            (CARRY, self.remainder().high()),
            (PLACE, 2),
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

    /// Words of scratch that a party needs for `rows` x `len` elements.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        rows * len * COLUMNS
    }

    /// Sends the corrections. `table` holds the value and the slope at each index, modulo 2^to;
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
            let (mut turns, mut masks) = ([0u64; LANES], [0u64; LANES]);
            index.masks(cx, at.wire(INDEX), group.stream, &mut turns[..group.lanes]);
            let remainder = self.remainder();
            remainder.masks(cx, at.wire(REST), group.stream, &mut masks[..group.lanes]);
            for lane in 0..group.lanes {
                let start = (group.stream + lane as u64) << self.index;
                let top = masks[lane].right(remainder.from - 1);
                let turned = turn(table, turns[lane], scratch);
                for (wire, bits) in self.columns() {
                    let mut entry = 0u64;
                    while entry < 1 << self.index {
                        let count = (1usize << self.index).min(LANES);
                        let mut values = [0; LANES];
                        for value in &mut values[..count] {
                            let place = entry.minus(turns[lane]).low(self.index);
                            let [at_place, slope] = turned[entry as usize];
                            *value = match wire {
                                BASE => at_place.minus(slope.times(masks[lane])),
                                SLOPE => slope,
                                CARRY => slope.times(top),
                                _ => place,
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
        let (place, columns) = scratch.split_at_mut(rows * len);
        let columns = &mut columns[..rows * len * 3];
        for group in groups(at, rows, len) {
            let mut mask = [0u64; LANES];
            let wire = at.wire(INDEX);
            let lanes = &mut mask[..group.lanes];
            opening_masks(cx, wire, group.stream, self.index, lanes);
            for ((place, &x), mask) in place[group.range()]
                .iter_mut()
                .zip(&x[group.range()])
                .zip(mask)
            {
                *place = truncate(role, x, self.from(), self.rest)
                    .plus(mask)
                    .low(self.index);
            }
        }
        cx.open(&mut [Segment::words(
            Masked::wrap_slice_mut(&mut *place),
            self.index,
        )])?;

        let remainder = self.remainder();
        for group in groups(at, rows, len) {
            for (lane, at_lane) in group.range().enumerate() {
                let start = (group.stream + lane as u64) << self.index;
                let mut entry = [0; COLUMNS];
                for (entry, (wire, bits)) in entry.iter_mut().zip(self.columns()) {
                    *entry = self.read(cx, at, wire, bits, start, place[at_lane])?;
                }
                columns[at_lane * 3..][..3].copy_from_slice(&entry[..3]);
                // x - place * 2^rest.
                x[at_lane] = x[at_lane].minus(entry[3].left(self.rest));
            }
            let x = &mut x[group.range()];
            remainder.conceal::<u64, u64, O>(cx, at.wire(REST), group.stream, x);
        }
        cx.open(&mut [Segment::words(
            Masked::wrap_slice_mut(&mut *x),
            remainder.from,
        )])?;

        for (e, column) in x.iter_mut().zip(columns.chunks_exact(3)) {
            let carry = remainder
                .counts::<u64>(*e)
                .and(column[2].left(remainder.from));
            let public = e.minus(remainder.offset());
            *e = column[0]
                .plus(column[1].times(public))
                .plus(carry)
                .low(self.to);
        }
        Ok(())
    }

    /// This party's share of the entry at the public `place`. P1 lets the others pass by.
    fn read<O: Online>(
        self,
        cx: &mut O,
        at: At,
        wire: u8,
        bits: u32,
        start: u64,
        place: u64,
    ) -> Result<u64, LinkError> {
        let mut values = [0u64; LANES];
        if cx.role() == Role::P0 {
            dealt(cx, at.wire(wire), start + place, bits, &mut values[..1])?;
            return Ok(values[0]);
        }
        let (mut entry, mut found) = (0, 0);
        while entry < 1 << self.index {
            let count = (1usize << self.index).min(LANES);
            dealt(cx, at.wire(wire), start + entry, bits, &mut values[..count])?;
            if let Some(&value) = place
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

/// The table turned by a secret number of places, a power of two at a time, so that which entries are
/// touched when does not depend on the secret. The table's length is a power of two.
fn turn<'s>(table: &[[u64; 2]], by: u64, scratch: &'s mut [[u64; 2]]) -> &'s [[u64; 2]] {
    let (mut from, mut to) = scratch.split_at_mut(table.len());
    to = &mut to[..table.len()];
    from.copy_from_slice(table);
    for bit in 0..table.len().trailing_zeros() {
        let wanted = 0u64.minus(by.right(bit).and(1));
        for (place, to) in to.iter_mut().enumerate() {
            let here = from[place];
            let there = from[place.wrapping_sub(1 << bit) & (table.len() - 1)];
            *to = [0, 1].map(|i| here[i] ^ (here[i] ^ there[i]) & wanted);
        }
        core::mem::swap(&mut from, &mut to);
    }
    from
}
