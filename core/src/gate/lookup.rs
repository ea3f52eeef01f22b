//! Interpolated lookup: a public function of a secret x in Z_2^(index + rest), by a table over its high `index` bits and
//! linear interpolation over the other bits.
//!
//! x is opened under a mask. The opening's high bits minus the mask's are the index, and the low bits' difference is the
//! remainder r = x - index * 2^rest in (-2^rest, 2^rest), whether the mask's low bits borrow or not. The dealer shares
//! the table rotated by the mask's high bits, and each party reads the entry at the opening's. The dealer knows the
//! mask's part of r, so it deals lines in the opening's low bits: a tangent is value - slope * (that part), slope.
//! One round. Rotated shared tables follow one-time truth tables (Ishai et al., TCC 2013).

use bytemuck::TransparentWrapper;

use crate::{
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::Word,
    prg::Address,
    share::{Masked, Share},
};

use super::{At, Offline, Online, add_masks, deal, dealt_entry, groups, lift::Lift};

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

const MASK: u8 = 0;
const BASE: u8 = 1;
const SLOPE: u8 = 2;

impl Lookup {
    /// Width in bits of the input's ring.
    pub fn from(self) -> u32 {
        self.index + self.rest
    }

    /// Masks of the input.
    fn mask(self) -> Lift {
        Lift {
            from: self.from(),
            to: self.from(),
        }
    }

    /// Dealer traffic for the tables of `rows` x `len` elements.
    pub(super) fn tables_cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(1, 1 << self.index, self.to) * (self.parts() * rows * len) as u64
    }

    /// What the lines of an element are made of: without bits below the index, which the softmax always has, they have no slope.
    fn parts(self) -> usize {
        match cfg!(feature = "private-training") && self.rest == 0 {
            true => 1,
            false => 2,
        }
    }

    /// Cost for `rows` x `len` elements; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.from()) + self.tables_cost(rows, len) + Cost::rounds(1)
    }

    /// The line in u of a mask with the low bits `low`, from value and slope at u = `low`: the tangent there.
    pub fn tangent([value, slope]: [u64; 2], low: u64) -> [u64; 2] {
        [value.minus(slope.times(low)), slope]
    }

    /// Sends the corrections for `rows` x `len` elements. `table` holds what `line` takes for each index; `scratch` is
    /// twice as long.
    ///
    /// `line` takes an entry of the table and a mask's low bits. It returns base and slope of a line modulo 2^to, whose
    /// value at the opening's low bits is the result. The function's argument is that of the index where both are
    /// equal.
    pub fn deal<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
        table: &[[u64; 2]],
        scratch: &mut [[u64; 2]],
        line: impl Fn([u64; 2], u64) -> [u64; 2],
    ) -> Result<(), LinkError> {
        self.deal_opened(cx, at, at.wire(MASK), [rows, len], (table, scratch), line)
    }

    /// Sends the corrections for elements that are opened under the low bits of the masks at `masks`.
    pub(super) fn deal_opened<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        masks: Address,
        [rows, len]: [usize; 2],
        (table, scratch): (&[[u64; 2]], &mut [[u64; 2]]),
        line: impl Fn([u64; 2], u64) -> [u64; 2],
    ) -> Result<(), LinkError> {
        debug_assert_eq!(table.len(), 1 << self.index);
        for group in groups(at, rows, len) {
            let mut lanes = [0u64; LANES];
            let lanes = &mut lanes[..group.lanes];
            self.mask().masks(cx, masks, group.stream, lanes);
            for (lane, mask) in lanes.iter().enumerate() {
                let start = (group.stream + lane as u64) << self.index;
                let rotated = rotate(table, mask.right(self.rest), scratch);
                for entry in rotated.iter_mut() {
                    *entry = line(*entry, mask.low(self.rest));
                }
                for (part, wire) in [BASE, SLOPE].into_iter().take(self.parts()).enumerate() {
                    for (first, lines) in (start..).step_by(LANES).zip(rotated.chunks(LANES)) {
                        let mut values = [0; LANES];
                        for (value, line) in values.iter_mut().zip(lines) {
                            *value = line[part];
                        }
                        let values = &mut values[..lines.len()];
                        deal(cx, at.wire(wire), first, self.to, values)?;
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
        shape: [usize; 2],
        x: &mut [Share<u64>],
    ) -> Result<(), LinkError> {
        let x = &mut Share::peel_slice_mut(x)[..shape[0] * shape[1]];
        self.mask_arguments(cx, at, shape, x);
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut *x), self.from())])?;
        self.finish(cx, at, shape, x)
    }

    /// Masks shares of `rows` x `len` arguments, for an opening at [`Lookup::from`] bits.
    #[inline(always)]
    pub(super) fn mask_arguments<O: Online>(
        self,
        cx: &O,
        at: At,
        shape: [usize; 2],
        x: &mut [u64],
    ) {
        add_masks(cx, (at, MASK), self.from(), shape, x);
    }

    /// Replaces the openings of `rows` x `len` arguments by shares of the function.
    #[inline(always)]
    pub(super) fn finish<O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [u64],
    ) -> Result<(), LinkError> {
        for group in groups(at, rows, len) {
            for (e, element) in x[group.range()].iter_mut().zip(group.stream..) {
                *e = self.value(cx, at, element, *e)?;
            }
        }
        Ok(())
    }

    /// The address of the masks of the arguments.
    pub(super) fn mask_wire(self, at: At) -> Address {
        at.wire(MASK)
    }

    /// This party's share of the function of an element, from its opening `e`, of which the low index + rest bits count.
    /// `element` is its offset in the gate's streams.
    pub(super) fn value<O: Online>(
        self,
        cx: &mut O,
        at: At,
        element: u64,
        e: u64,
    ) -> Result<u64, LinkError> {
        let (index, low) = (e.low(self.from()).right(self.rest), e.low(self.rest));
        let (first, widths) = (element << self.index, [self.index, self.to]);
        let base = dealt_entry(cx, at.wire(BASE), first, widths, index)?;
        if self.parts() == 1 {
            return Ok(base);
        }
        let slope = dealt_entry(cx, at.wire(SLOPE), first, widths, index)?;
        Ok(base.plus(slope.times(low)).low(self.to))
    }
}

/// Rotates a table by a secret number of entries, one power of two after another, so that memory accesses do not depend
/// on the secret. The table's length is a power of two; `scratch` is twice as long.
fn rotate<'s>(table: &[[u64; 2]], by: u64, scratch: &'s mut [[u64; 2]]) -> &'s mut [[u64; 2]] {
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
