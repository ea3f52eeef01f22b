//! Exact ReLU by lookup: x in Z_2^n -> max(x, 0) in Z_2^L, and the hidden sign for the backward pass.
//!
//! The sign of x is bit n-2 of e xor bit n-2 of the mask a xor a borrow, the comparison `[e < a]` of the low n-2 bits.
//! The dealer knows a, and e is public, so the comparison is by lookup. The low bits are split into chunks. For each
//! chunk a_j of the mask the dealer shares the unary table `T[v] = [v < a_j]`, and `[v = a_j]` is
//! `T[v-1] xor T[v]`. One multi-input AND combines the chunks. Bits are processed as planes of 64 lanes.

mod and_inputs;
mod borrow;
mod chunks;
mod selection;
mod signs;
mod tables;

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::{Ring, Word},
    share::{Public, Share},
};

use super::{
    At, Contract, Offline, Online, deal, dealt, groups, lift::Lift, load_plane, plane_len,
};
use chunks::Chunks;
pub(super) use selection::SelectionBuffers;
use selection::{HiddenPlane, Selection};
pub(crate) use signs::SignOpening;

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu {
    /// Ring of the input; |x| < 2^(from-2), or any x if the output is in the same ring.
    pub from: u32,
    /// Ring of the output.
    pub to: u32,
    /// Ring in which the hiding bit r is shared.
    hide: u32,
    chunks: Chunks,
}

const MASK: u8 = 0;
const CARRY: u8 = 1;
const HIDE: u8 = 2;
const HIDE_MASK: u8 = 3;
const HIDE_CARRY: u8 = 4;
const AND_MASK: u8 = 5;
const SIGN: u8 = 6;
const AND_PRODUCT: u8 = 7;
const TABLE: u8 = 8;
/// The most chunks: enough for 60 bits in chunks of 6. A comparison over the whole of the widest narrow ring has 55 bits.
const MAX_CHUNKS: u32 = 10;

/// The hidden signs b of a ReLU, which the parties store for its backward pass: the public bits m = b xor r, and P1's
/// shares of the random hiding bits r. P0 draws its shares of r again.
pub struct HiddenSign<'a, W> {
    /// Bit planes of the masked sign.
    pub opened: &'a mut [Public<u8>],
    /// One share of r per element at P1; empty at P0.
    pub shares: &'a mut [Share<W>],
}

impl Relu {
    /// The values that the gate takes, and whose differences it takes if it is made for differences.
    pub const fn contract(self) -> Contract {
        Contract { bits: self.from }
    }

    /// The gate from Z_2^from to Z_2^to, with comparison in chunks of [`Ring::CHUNK`] bits.
    pub fn new<R: Ring>(from: u32, to: u32) -> Self {
        Relu::with_chunks(from, to, R::CHUNK)
    }

    /// As [`Relu::new`], with chunks of at most `most` bits.
    pub fn with_chunks(from: u32, to: u32, most: u32) -> Self {
        Relu::over(from, to, to, most)
    }

    /// The gate for any x in Z_2^from, such as a difference of two values under the range contract, with the output in
    /// the same ring. Hiding bits are shared in Z_2^hide.
    pub fn of_differences<R: Ring>(from: u32, hide: u32) -> Self {
        Relu::of_differences_in_chunks(from, hide, R::CHUNK)
    }

    /// As [`Relu::of_differences`], with chunks of at most `most` bits.
    pub(super) fn of_differences_in_chunks(from: u32, hide: u32, most: u32) -> Self {
        Relu::over(from, from, hide, most)
    }

    /// The widest narrow ring of differences that the gate takes with comparison in chunks of [`Ring::CHUNK`] bits.
    pub(super) const fn most_bits<R: Ring>() -> u32 {
        MAX_CHUNKS * R::CHUNK + 1
    }

    /// The gate with all widths given.
    fn over(from: u32, to: u32, hide: u32, most: u32) -> Self {
        let mask = Lift { from, to };
        let chunks = Chunks::new(mask.offset_bit(), most);
        debug_assert!(chunks.count <= MAX_CHUNKS);
        Relu {
            from,
            to,
            hide,
            chunks,
        }
    }

    /// Number of low bits that are compared.
    fn compared(self) -> u32 {
        self.mask().offset_bit()
    }

    /// Masks of the input.
    pub(super) fn mask(self) -> Lift {
        Lift {
            from: self.from,
            to: self.to,
        }
    }

    /// The stream address of the input's masks.
    pub(super) fn mask_wire(self, at: At) -> crate::prg::Address {
        at.wire(MASK)
    }

    /// The stream address of the hiding bits' masks.
    pub(super) fn hide_wire(self, at: At) -> crate::prg::Address {
        at.wire(HIDE)
    }

    /// The random bits r that hide the signs, as masks of one bit.
    pub(super) fn hide(self) -> Lift {
        Lift {
            from: 1,
            to: self.hide,
        }
    }

    /// max(x, 0), for x in [-2^(from-2), 2^(from-2)), or any difference x in Z_2^from.
    pub fn ideal<W: Word>(self, x: W) -> W {
        let x = crate::num::ring::signed(x.low(self.from), self.from);
        W::from_u128(x.max(0) as u128).low(self.to)
    }

    /// Cost for `rows` x `len` elements.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        self.sign_cost(rows, len)
            + self.mask().lifted_cost(rows, len)
            + Cost::dealt(rows, len, self.to)
            + Cost::dealt(rows, len, self.mask().high())
    }

    /// Scratch that a party needs for `rows` x `len` elements, in bytes.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        rows * plane_len(len) * (self.chunks.opened() + 1)
    }

    /// Sends the corrections for `rows` x `len` elements.
    pub fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        self.deal_comparison::<W, D>(cx, at, rows, len, self.input_masks(at))?;
        for group in groups(at, rows, len) {
            let (mut a, mut r) = ([W::ZERO; LANES], [W::ZERO; LANES]);
            let (a, r) = (&mut a[..group.lanes], &mut r[..group.lanes]);
            self.mask().masks(cx, at.wire(MASK), group.stream, a);
            self.hide().masks(cx, at.wire(HIDE), group.stream, r);
            self.hide().deal(cx, at.wire(HIDE), group.stream, r)?;
            deal_hidden(
                cx,
                self.mask(),
                [MASK, CARRY, HIDE_MASK, HIDE_CARRY].map(|wire| at.wire(wire)),
                group.stream,
                a,
                r,
            )?;
        }
        Ok(())
    }

    /// Runs the gate on `rows` x `len` shares in place: from Z_2^from to Z_2^to. Writes the hidden signs to `sign`.
    /// `scratch` has at least [`Relu::scratch_len`] bytes.
    #[inline(never)]
    pub fn run<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [Share<W>],
        sign: &mut HiddenSign<'_, W>,
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let e = &mut Share::peel_slice_mut(x)[..rows * len];
        let hidden = &mut Public::peel_slice_mut(sign.opened)[..rows * plane_len(len)];
        self.hide_signs(cx, at, [rows, len], e, hidden, scratch)?;

        let shares = Share::peel_slice_mut(sign.shares);
        let mut buffers = SelectionBuffers::new();
        for group in groups(at, rows, len) {
            let r = &mut buffers.r[..group.lanes];
            self.hiding_bits(cx, at, group.stream, r)?;
            if role == Role::P1 && !shares.is_empty() {
                shares[group.range()].copy_from_slice(r);
            }
            let plane = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            let wires = [MASK, CARRY, HIDE_MASK, HIDE_CARRY].map(|wire| at.wire(wire));
            select_group(
                cx,
                self.mask(),
                wires,
                group.stream,
                (plane, &mut buffers),
                &mut e[group.range()],
                &mut [],
            )?;
        }
        Ok(())
    }
}

/// Sends the corrections that [`select_group`] reads, for masks `a` and hiding bits `r`. Wires: mask, carry, r times
/// mask, r times carry. Shares of `r` are dealt separately.
pub(super) fn deal_hidden<W: Word, D: Offline>(
    cx: &mut D,
    lift: Lift,
    [mask_wire, carry_wire, hide_mask, hide_carry]: [crate::prg::Address; 4],
    first: u64,
    a: &[W],
    r: &[W],
) -> Result<(), LinkError> {
    lift.deal_lifted(cx, mask_wire, carry_wire, first, a)?;
    let mut product = [W::ZERO; LANES];
    let product = &mut product[..a.len()];
    for ((product, &a), &r) in product.iter_mut().zip(a).zip(r) {
        *product = r.times(a);
    }
    deal(cx, hide_mask, first, lift.to, product)?;
    if lift.high() == 0 {
        return Ok(());
    }
    for ((product, &a), &r) in product.iter_mut().zip(a).zip(r) {
        *product = r.times(a.right(lift.from - 1));
    }
    deal(cx, hide_carry, first, lift.high(), product)
}

/// Computes shares of y = b * x for hidden bits b = m xor r and openings `e` of x, as a linear combination of dealt shares
/// with public coefficients. The public plane m comes with the buffers, which hold r. Replaces `e` by the shares of y, and `rest`, unless empty, by those of x - y.
pub(super) fn select_group<W: Word, O: Online>(
    cx: &mut O,
    lift: Lift,
    [mask_wire, carry_wire, hide_mask, hide_carry]: [crate::prg::Address; 4],
    first: u64,
    (m, buffers): (u64, &mut SelectionBuffers<W>),
    e: &mut [W],
    rest: &mut [W],
) -> Result<(), LinkError> {
    let lanes = e.len();
    let SelectionBuffers { r, lifted, hidden } = buffers;
    lift.lifted(cx, mask_wire, carry_wire, first, lanes, lifted)?;
    let [ra, rc] = hidden;
    dealt(cx, hide_mask, first, lift.to, &mut ra[..lanes])?;
    dealt(cx, hide_carry, first, lift.high(), &mut rc[..lanes])?;
    let public_select = match cx.role() {
        Role::P0 => W::MAX,
        Role::P1 => W::ZERO,
    };
    // Store x in `rest`, and subtract y below.
    for (lane, (rest, e)) in rest.iter_mut().zip(&*e).enumerate() {
        let carry = lift.carry_select(*e).and(lifted.carry[lane]);
        let public = e.minus(lift.offset()).and(public_select);
        *rest = public.minus(lifted.mask[lane]).plus(carry);
    }
    let selection = Selection {
        lift,
        public_select,
        bit: HiddenPlane { m, r },
        lifted,
        hidden: [ra, rc],
    };
    selection.select(e);
    for (rest, &y) in rest.iter_mut().zip(&*e) {
        *rest = rest.minus(y).low(lift.to);
    }
    Ok(())
}
