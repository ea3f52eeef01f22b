//! Widen: Z_2^from -> Z_2^to for a value under the range contract. Local operations cannot enlarge a ring, so widening
//! costs an opening.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::{Masked, Public, Share},
};

use super::{
    At, Contract, Offline, Online, groups,
    lift::{Lift, Lifted},
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widen {
    /// Ring of the input.
    pub from: u32,
    /// Ring of the output.
    pub to: u32,
}

const MASK: u8 = 0;
const CARRY: u8 = 1;

impl Widen {
    /// The values that the gate takes.
    pub const fn contract(self) -> Contract {
        Contract { bits: self.from }
    }

    /// Masks of the input.
    fn lift(self) -> Lift {
        Lift {
            from: self.from,
            to: self.to,
        }
    }

    /// The signed integer that `x` represents in Z_2^from, as an element of Z_2^to.
    pub fn ideal<W: Word>(self, x: W) -> W {
        W::from_u128(crate::num::ring::signed(x.low(self.from), self.from) as u128).low(self.to)
    }

    /// Cost for `rows` x `len` elements; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.from) + self.lift().lifted_cost(rows, len) + Cost::rounds(1)
    }

    /// Sends the corrections for `rows` x `len` elements.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        for group in groups(at, rows, len) {
            let mut masks = [W::ZERO; LANES];
            let masks = &mut masks[..group.lanes];
            let lift = self.lift();
            lift.masks(cx, at.wire(MASK), group.stream, masks);
            lift.deal_lifted(cx, at.wire(MASK), at.wire(CARRY), group.stream, masks)?;
        }
        Ok(())
    }

    /// Masks the shares in `x`, for an opening at [`Widen::from`] bits.
    pub fn mask<'a, W: Word, O: Online>(
        self,
        cx: &O,
        at: At,
        rows: usize,
        len: usize,
        x: &'a mut [Share<W>],
    ) -> &'a mut [Masked<W>] {
        let x = Share::peel_slice_mut(x);
        for group in groups(at, rows, len) {
            self.mask_group::<W, W, O>(cx, at, group.stream, &mut x[group.range()]);
        }
        Masked::wrap_slice_mut(x)
    }

    /// [`Widen::mask`] for at most [`LANES`] elements at offset `first` of the gate's streams. The streams hold words
    /// of `W`.
    pub(crate) fn mask_group<W: Word, V: Word, O: Online>(
        self,
        cx: &O,
        at: At,
        first: u64,
        x: &mut [V],
    ) {
        self.lift()
            .mask_values::<W, V, O>(cx, at.wire(MASK), first, x);
    }

    /// Turns the openings of `rows` x `len` elements into shares in Z_2^to, in place.
    pub fn finish<'a, W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        len: usize,
        e: &'a mut [Public<W>],
    ) -> Result<&'a mut [Share<W>], LinkError> {
        let e = Public::peel_slice_mut(e);
        for group in groups(at, rows, len) {
            self.finish_group(cx, at, group.stream, &mut e[group.range()])?;
        }
        Ok(Share::wrap_slice_mut(e))
    }

    /// [`Widen::finish`] for at most [`LANES`] elements at offset `first` of the gate's streams.
    pub(crate) fn finish_group<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        e: &mut [W],
    ) -> Result<(), LinkError> {
        let lift = self.lift();
        let role = cx.role();
        let mut lifted = Lifted::new();
        let wires = [at.wire(MASK), at.wire(CARRY)];
        lift.lifted(cx, wires[0], wires[1], first, e.len(), &mut lifted)?;
        for (lane, e) in e.iter_mut().enumerate() {
            let carry = lift.carry_select(*e).and(lifted.carry[lane]);
            let public = match role {
                Role::P0 => e.minus(lift.offset()),
                Role::P1 => W::ZERO,
            };
            *e = public.minus(lifted.mask[lane]).plus(carry).low(self.to);
        }
        Ok(())
    }

    /// Runs the whole gate on `rows` x `len` shares in place: from Z_2^from to Z_2^to. One round.
    #[inline(never)]
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        rows: usize,
        len: usize,
        x: &mut [Share<W>],
    ) -> Result<(), LinkError> {
        let masked = self.mask(cx, at, rows, len, &mut *x);
        cx.open(&mut [Segment::words(masked, self.from)])?;
        let e = Public::wrap_slice_mut(Share::peel_slice_mut(x));
        self.finish(cx, at, rows, len, e)?;
        Ok(())
    }
}
