//! Masks that are uniform in a narrow ring and shared as integers in a wider one.
//!
//! A mask `a` is the sum in Z_2^from of a random share of each party. The parties also need shares of the integer `a`
//! in Z_2^to. P0's is a word of its stream, whose low bits are its narrow share. The low bits of P1's share are its
//! narrow share too, so the dealer's correction has only the high bits.

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::Word,
    prg::Address,
};

use super::{At, Offline, Online, deal, dealt, groups, opening_masks};

/// A mask of `from` bits, shared in Z_2^to as an integer in [0, 2^from).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lift {
    /// Bits of the ring in which the mask is uniform.
    pub from: u32,
    /// Bits of the ring in which it is shared.
    pub to: u32,
}

impl Lift {
    /// Bits of a correction, per mask: to - from, at least 0.
    pub fn high(self) -> u32 {
        self.to.saturating_sub(self.from)
    }

    /// Dealer traffic for shares in Z_2^to of `rows` x `len` masks.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.high())
    }

    /// Adds the offset and this party's shares of masks to shares of values, for an opening at `from` bits. The values
    /// satisfy the range contract. Streams hold words of `W`, independent of the values' word `V`.
    pub(crate) fn mask_values<W: Word, V: Word, O: Online>(
        self,
        cx: &O,
        wire: Address,
        first: u64,
        values: &mut [V],
    ) {
        let mut mask = [W::ZERO; LANES];
        // The sum is reduced below, so the masks need not be.
        opening_masks(cx, wire, first, W::BITS, &mut mask[..values.len()]);
        let offset = match cx.role() {
            Role::P0 => self.offset(),
            Role::P1 => V::ZERO,
        };
        for (value, &mask) in values.iter_mut().zip(&mask) {
            *value = value.plus(mask.cast()).plus(offset).low(self.from);
        }
    }

    /// As [`Lift::mask_values`], for `rows` x `len` values of a gate. A function of its own, to keep the stack of small processors
    /// small.
    #[inline(never)]
    pub(crate) fn mask_rows<W: Word, V: Word, O: Online>(
        self,
        cx: &O,
        (at, wire): (At, Address),
        [rows, len]: [usize; 2],
        values: &mut [V],
    ) {
        for group in groups(at, rows, len) {
            let values = &mut values[group.range()];
            self.mask_values::<W, V, O>(cx, wire, group.stream, values);
        }
    }

    /// The inverse of [`Lift::mask_values`] after the opening: turns openings into this party's shares in Z_2^from.
    pub(crate) fn unmask<W: Word, V: Word, O: Online>(
        self,
        cx: &O,
        wire: Address,
        first: u64,
        opened: &mut [V],
    ) {
        let mut mask = [W::ZERO; LANES];
        cx.prg().fill(wire, first, &mut mask[..opened.len()]);
        for (value, &mask) in opened.iter_mut().zip(&mask) {
            let public = match cx.role() {
                Role::P0 => value.minus(self.offset()),
                Role::P1 => V::ZERO,
            };
            *value = public.minus(mask.cast()).low(self.from);
        }
    }

    /// This party's shares of the masks in Z_2^to.
    pub(crate) fn wide<W: Word, O: Online>(
        self,
        cx: &mut O,
        wire: Address,
        first: u64,
        out: &mut [W],
    ) -> Result<(), LinkError> {
        match cx.role() {
            Role::P0 => cx.prg().fill_bits(wire, first, self.to, out),
            Role::P1 => {
                let mut high = [W::ZERO; LANES];
                let high = &mut high[..out.len()];
                dealt(cx, wire, first, self.high(), high)?;
                cx.prg().fill_bits(wire, first, self.from, out);
                for (out, high) in out.iter_mut().zip(high) {
                    *out = out.plus(high.left(self.from)).low(self.to);
                }
            }
        }
        Ok(())
    }

    /// The masks, which only the dealer knows: the sums of both parties' shares.
    pub(crate) fn masks<W: Word, D: Offline>(
        self,
        cx: &D,
        wire: Address,
        first: u64,
        out: &mut [W],
    ) {
        let mut p1 = [W::ZERO; LANES];
        let p1 = &mut p1[..out.len()];
        cx.prg(Role::P0).fill(wire, first, out);
        cx.prg(Role::P1).fill(wire, first, p1);
        for (out, &mut p1) in out.iter_mut().zip(p1) {
            *out = out.plus(p1).low(self.from);
        }
    }

    /// Sends the corrections for shares of `masks` in Z_2^to.
    pub(crate) fn deal<W: Word, D: Offline>(
        self,
        cx: &mut D,
        wire: Address,
        first: u64,
        masks: &[W],
    ) -> Result<(), LinkError> {
        if self.high() == 0 {
            return Ok(());
        }
        let mut word = [W::ZERO; LANES];
        let word = &mut word[..masks.len()];
        cx.prg(Role::P0).fill(wire, first, word);
        // P1's share is a minus P0's share; its low bits equal P1's narrow share.
        for (word, &mask) in word.iter_mut().zip(masks) {
            *word = mask.minus(*word).low(self.to).right(self.from);
        }
        super::dealing::send_corrections(cx, self.high(), word)
    }
}

/// One party's shares in Z_2^to of masks and their carries, for one group.
pub(crate) struct Lifted<W> {
    /// Shares of the mask in Z_2^to.
    pub mask: [W; LANES],
    /// Shares of the mask's most significant bit, times 2^from, in Z_2^to.
    pub carry: [W; LANES],
}

impl<W: Word> Lifted<W> {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        Lifted {
            mask: [W::ZERO; LANES],
            carry: [W::ZERO; LANES],
        }
    }
}

impl Lift {
    /// Dealer traffic for masks with carries: the mask and its top bit.
    pub fn lifted_cost(self, rows: usize, len: usize) -> Cost {
        self.cost(rows, len) + Cost::dealt(rows, len, self.high())
    }

    /// Reads a group's [`Lifted`] from `wire` and `carry_wire` into `out`. It takes a buffer because a small processor
    /// needs as long to copy the result as to compute it.
    pub(crate) fn lifted<W: Word, O: Online>(
        self,
        cx: &mut O,
        wire: Address,
        carry_wire: Address,
        first: u64,
        lanes: usize,
        out: &mut Lifted<W>,
    ) -> Result<(), LinkError> {
        let carry = &mut out.carry[..lanes];
        self.wide(cx, wire, first, &mut out.mask[..lanes])?;
        dealt(cx, carry_wire, first, self.high(), carry)?;
        for carry in carry {
            *carry = carry.left(self.from);
        }
        Ok(())
    }

    /// The dealer's part of [`Lift::lifted`].
    pub(crate) fn deal_lifted<W: Word, D: Offline>(
        self,
        cx: &mut D,
        wire: Address,
        carry_wire: Address,
        first: u64,
        masks: &[W],
    ) -> Result<(), LinkError> {
        self.deal(cx, wire, first, masks)?;
        if self.high() == 0 {
            return Ok(());
        }
        let mut top = [W::ZERO; LANES];
        for (top, &mask) in top.iter_mut().zip(masks) {
            *top = mask.right(self.from - 1);
        }
        deal(cx, carry_wire, first, self.high(), &mut top[..masks.len()])
    }

    /// The offset that makes masked values non-negative: 2^(from-2) for values under the range contract. If to <= from
    /// no carry is needed, and 2^(from-1) serves any value in the ring.
    pub(crate) fn offset<W: Word>(self) -> W {
        W::ONE.left(self.offset_bit())
    }

    /// log2 of the offset. After adding the offset this bit is clear exactly in negative values.
    pub(crate) fn offset_bit(self) -> u32 {
        match self.to > self.from {
            true => self.from - 2,
            false => self.from - 1,
        }
    }

    /// All ones if the opening's top bit is clear, so that the mask's carry applies; else zero. As integers,
    /// x + offset = e - a + 2^from * msb(a) * (1 - msb(e)).
    #[inline(always)]
    pub(crate) fn carry_select<W: Word>(self, opened: W) -> W {
        let top = W::ONE.left(self.from - 1);
        W::ZERO.minus(W::from_u64(u64::from(opened.and(top) == W::ZERO)))
    }
}

/// Opened values of one group, as `public - mask` in the integers and so in Z_2^to.
#[derive(Clone, Copy)]
pub(crate) struct Opened<W> {
    /// The opening minus the offset.
    pub public: [W; LANES],
    /// Public; all ones in lanes where the mask's carry applies, else zero.
    pub carry_select: [W; LANES],
    /// Shares of the mask, minus its carry where that applies.
    pub mask: [W; LANES],
}

impl Lift {
    /// The dealer's part of [`Lift::opened`]; writes the group's masks to `masks`.
    pub(crate) fn deal_opened<W: Word, D: Offline>(
        self,
        cx: &mut D,
        [wire, carry_wire]: [Address; 2],
        first: u64,
        masks: &mut [W],
    ) -> Result<(), LinkError> {
        self.masks(cx, wire, first, masks);
        self.deal_lifted(cx, wire, carry_wire, first, masks)
    }

    /// Converts the openings `e` of one group to [`Opened`] values; masks and carries are dealt on these wires.
    pub(crate) fn opened<W: Word, V: Word, O: Online>(
        self,
        cx: &mut O,
        [wire, carry_wire]: [Address; 2],
        first: u64,
        e: &[V],
    ) -> Result<Opened<W>, LinkError> {
        let mut opened = Opened::new();
        self.opened_to(cx, [wire, carry_wire], first, e, &mut opened)?;
        Ok(opened)
    }

    /// As [`Lift::opened`], to a buffer: a result on its way takes stack twice.
    pub(crate) fn opened_to<W: Word, V: Word, O: Online>(
        self,
        cx: &mut O,
        [wire, carry_wire]: [Address; 2],
        first: u64,
        e: &[V],
        opened: &mut Opened<W>,
    ) -> Result<(), LinkError> {
        let mut lifted = Lifted::new();
        self.lifted(cx, wire, carry_wire, first, e.len(), &mut lifted)?;
        opened.mask = lifted.mask;
        for (lane, e) in e.iter().enumerate() {
            let e: W = e.cast();
            opened.public[lane] = e.minus(self.offset());
            opened.carry_select[lane] = self.carry_select(e);
            let carry = opened.carry_select[lane].and(lifted.carry[lane]);
            opened.mask[lane] = opened.mask[lane].minus(carry);
        }
        Ok(())
    }
}

impl<W: Word> Opened<W> {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        Opened {
            public: [W::ZERO; LANES],
            carry_select: [W::ZERO; LANES],
            mask: [W::ZERO; LANES],
        }
    }

    /// This party's share of the value in a lane.
    pub(crate) fn share(&self, role: Role, lane: usize) -> W {
        let public = match role {
            Role::P0 => self.public[lane],
            Role::P1 => W::ZERO,
        };
        public.minus(self.mask[lane])
    }

    /// Copies the first lane to all lanes.
    pub(crate) fn broadcast(&mut self) {
        for lanes in [&mut self.public, &mut self.carry_select, &mut self.mask] {
            *lanes = [lanes[0]; LANES];
        }
    }
}
