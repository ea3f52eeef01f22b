//! Select: the backward pass of ReLU, g = b * dy for the hidden sign bit b of the forward pass.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::{Masked, Public, Share},
};

use super::{
    At, Contract, Offline, Online, groups, load_plane,
    relu::{HiddenSign, Relu, SelectionBuffers, deal_hidden, select_group},
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    /// Ring of the incoming gradient; |dy| < 2^(from-2).
    pub from: u32,
    /// Ring of the output; not wider than the ring in which the ReLU's hiding bit is shared.
    pub to: u32,
}

const MASK: u8 = 0;
const CARRY: u8 = 1;
const HIDE_MASK: u8 = 2;
const HIDE_CARRY: u8 = 3;

/// The ReLU's wire of hiding bits; see [`Relu`].
const RELU_HIDE: u8 = 2;

impl Select {
    /// The gradients that the gate takes.
    pub const fn contract(self) -> Contract {
        Contract { bits: self.from }
    }

    /// Masks of the gradient.
    fn lift(self) -> super::lift::Lift {
        super::lift::Lift {
            from: self.from,
            to: self.to,
        }
    }

    /// `dy` if the bit is set, else zero.
    pub fn ideal<W: Word>(self, bit: bool, dy: W) -> W {
        let dy = crate::num::ring::signed(dy.low(self.from), self.from);
        W::from_u128(if bit { dy as u128 } else { 0 }).low(self.to)
    }

    /// Cost for `rows` x `len` elements; one round.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.from)
            + self.lift().lifted_cost(rows, len)
            + Cost::dealt(rows, len, self.to)
            + Cost::dealt(rows, len, self.lift().high())
            + Cost::rounds(1)
    }

    fn wires(at: At) -> [crate::prg::Address; 4] {
        [MASK, CARRY, HIDE_MASK, HIDE_CARRY].map(|wire| at.wire(wire))
    }

    /// Sends the corrections for `rows` x `len` elements. `relu` is the ReLU and its position.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        relu: (Relu, At),
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        for group in groups(at, rows, len) {
            let (mut a, mut r) = ([W::ZERO; LANES], [W::ZERO; LANES]);
            let (a, r) = (&mut a[..group.lanes], &mut r[..group.lanes]);
            self.lift().masks(cx, at.wire(MASK), group.stream, a);
            relu.0
                .hide()
                .masks(cx, relu.1.wire(RELU_HIDE), group.stream, r);
            deal_hidden(cx, self.lift(), Self::wires(at), group.stream, a, r)?;
        }
        Ok(())
    }

    /// Runs the gate on `rows` x `len` shares in place: from Z_2^from to Z_2^to. `rest`, unless empty, receives shares
    /// of dy - g: dy if the bit is not set, else zero.
    #[inline(never)]
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        (relu, forward, sign): (Relu, At, &HiddenSign<'_, W>),
        [rows, len]: [usize; 2],
        dy: &mut [Share<W>],
        rest: &mut [Share<W>],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let dy = &mut Share::peel_slice_mut(dy)[..rows * len];
        let rest = Share::peel_slice_mut(rest);
        self.lift()
            .mask_rows::<W, W, O>(cx, (at, at.wire(MASK)), [rows, len], dy);
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut *dy), self.from)])?;
        let mut buffers = SelectionBuffers::new();
        for group in groups(at, rows, len) {
            let r = &mut buffers.r[..group.lanes];
            match role {
                Role::P0 => {
                    let wire = forward.wire(RELU_HIDE);
                    relu.hide().wide(cx, wire, group.stream, r)?;
                }
                Role::P1 => r.copy_from_slice(&Share::peel_slice(sign.shares)[group.range()]),
            }
            let m = Public::peel_slice(sign.opened);
            let m = load_plane(&m[group.plane..][..group.plane_bytes()]);
            let e = &mut dy[group.range()];
            let rest = match rest.is_empty() {
                true => &mut [][..],
                false => &mut rest[group.range()],
            };
            let bits = (m, &mut buffers);
            select_group(
                cx,
                self.lift(),
                Self::wires(at),
                group.stream,
                bits,
                e,
                rest,
            )?;
        }
        Ok(())
    }
}
