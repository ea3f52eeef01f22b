//! Masks that are uniform in a narrow ring and shared as integers in a wider one.
//!
//! A mask `a` in Z_2^from is the sum of both parties' random shares there. P0's share in Z_2^to is a
//! word from its key whose low bits are its narrow share, and P1's has its own narrow share as low
//! bits, so the dealer corrects the high bits alone.

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::LinkError,
    num::ring::Word,
    prg::Address,
};

use super::{Offline, Online, deal, dealt, opening_masks};

/// A mask of `from` bits, shared in Z_2^to as an integer in [0, 2^from).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lift {
    /// Bits of the ring in which the mask is uniform.
    pub from: u32,
    /// Bits of the ring in which it is shared.
    pub to: u32,
}

impl Lift {
    /// Bits that the dealer corrects, per element.
    pub fn high(self) -> u32 {
        self.to.saturating_sub(self.from)
    }

    /// Dealer traffic for `rows` x `len` masks.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        Cost::dealt(rows, len, self.high())
    }

    /// This party's shares of the masks in Z_2^from.
    pub(crate) fn narrow<W: Word, O: Online>(
        self,
        cx: &O,
        wire: Address,
        first: u64,
        out: &mut [W],
    ) {
        opening_masks(cx, wire, first, self.from, out);
    }

    /// Adds the offset and this party's masks to shares of values under the range contract, which
    /// may then be opened at `from` bits. Masks are drawn as words of `W`, whatever the values' own.
    pub(crate) fn conceal<W: Word, V: Word, O: Online>(
        self,
        cx: &O,
        wire: Address,
        first: u64,
        values: &mut [V],
    ) {
        let mut mask = [W::ZERO; LANES];
        self.narrow(cx, wire, first, &mut mask[..values.len()]);
        let offset = match cx.role() {
            Role::P0 => self.offset(),
            Role::P1 => V::ZERO,
        };
        for (value, &mask) in values.iter_mut().zip(&mask) {
            *value = value.plus(mask.cast()).plus(offset).low(self.from);
        }
    }

    /// The inverse of [`Lift::conceal`], once the values are public: this party's shares again.
    pub(crate) fn uncover<W: Word, V: Word, O: Online>(
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

    /// The masks themselves, as the dealer knows them.
    pub(crate) fn masks<W: Word, D: Offline>(
        self,
        cx: &D,
        wire: Address,
        first: u64,
        out: &mut [W],
    ) {
        let mut own = [W::ZERO; LANES];
        let own = &mut own[..out.len()];
        cx.prg(Role::P0).fill(wire, first, out);
        cx.prg(Role::P1).fill(wire, first, own);
        for (out, &mut own) in out.iter_mut().zip(own) {
            *out = out.plus(own).low(self.from);
        }
    }

    /// Sends the corrections that make `masks` shared in Z_2^to.
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
        // P1's share is a minus P0's; its low bits are what P1 drew itself.
        for (word, &mask) in word.iter_mut().zip(masks) {
            *word = mask.minus(*word).low(self.to).right(self.from);
        }
        super::dealing::send_corrections(cx, self.high(), word)
    }
}

/// A value in Z_2^from with its mask, shared in Z_2^to once the masked value is public: the parts
/// that both parties hold, for one group of lanes.
pub(crate) struct Lifted<W> {
    /// Shares of the mask in Z_2^to.
    pub mask: [W; LANES],
    /// Shares of the mask's most significant bit, times 2^from, in Z_2^to.
    pub carry: [W; LANES],
}

impl<W: Word> Lifted<W> {
    /// Room for a group's parts.
    pub(crate) fn new() -> Self {
        Lifted {
            mask: [W::ZERO; LANES],
            carry: [W::ZERO; LANES],
        }
    }
}

impl Lift {
    /// Dealer traffic for masks that are opened against: the mask and its top bit.
    pub fn lifted_cost(self, rows: usize, len: usize) -> Cost {
        self.cost(rows, len) + Cost::dealt(rows, len, self.high())
    }

    /// Reads a group's [`Lifted`] from `wire` and `carry_wire` into `out`; it is not returned, since a copy
    /// takes a small processor as long as the lanes themselves.
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

    /// The dealer's side of [`Lift::lifted`].
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

    /// What is added so that a value under the range contract is non-negative: 2^(from-2). Where nothing is
    /// lifted there is no carry to be told from the top bit, and 2^(from-1) makes any value so.
    pub(crate) fn offset<W: Word>(self) -> W {
        W::ONE.left(self.offset_bit())
    }

    /// The bit that the offset sets, which is then clear in negative values alone.
    pub(crate) fn offset_bit(self) -> u32 {
        match self.to > self.from {
            true => self.from - 2,
            false => self.from - 1,
        }
    }

    /// All ones when the opening has no top bit, and the mask's carry therefore counts; else zero.
    #[inline(always)]
    pub(crate) fn counts<W: Word>(self, opened: W) -> W {
        let top = W::ONE.left(self.from - 1);
        W::ZERO.minus(W::from_u64(u64::from(opened.and(top) == W::ZERO)))
    }
}

/// A value whose opening is public, taken apart for one group of lanes: as integers, and so in Z_2^to,
/// it is `public - mask`.
#[derive(Clone, Copy)]
pub(crate) struct Opened<W> {
    /// The opening less the offset.
    pub public: [W; LANES],
    /// All ones where the mask's carry counts; public.
    pub counts: [W; LANES],
    /// Shares of the mask, its carry taken off where that counts.
    pub mask: [W; LANES],
}

impl Lift {
    /// The dealer's side of [`Lift::opened`]; leaves the masks of the group in `masks`.
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

    /// Takes apart the openings `e` of one group, with masks and carries from these wires.
    pub(crate) fn opened<W: Word, V: Word, O: Online>(
        self,
        cx: &mut O,
        [wire, carry_wire]: [Address; 2],
        first: u64,
        e: &[V],
    ) -> Result<Opened<W>, LinkError> {
        let mut lifted = Lifted::new();
        self.lifted(cx, wire, carry_wire, first, e.len(), &mut lifted)?;
        let mut opened = Opened {
            public: [W::ZERO; LANES],
            counts: [W::ZERO; LANES],
            mask: lifted.mask,
        };
        for (lane, e) in e.iter().enumerate() {
            let e: W = e.cast();
            opened.public[lane] = e.minus(self.offset());
            opened.counts[lane] = self.counts(e);
            let carry = opened.counts[lane].and(lifted.carry[lane]);
            opened.mask[lane] = opened.mask[lane].minus(carry);
        }
        Ok(opened)
    }
}

impl<W: Word> Opened<W> {
    /// This party's share of the value in a lane.
    pub(crate) fn share(&self, role: Role, lane: usize) -> W {
        let public = match role {
            Role::P0 => self.public[lane],
            Role::P1 => W::ZERO,
        };
        public.minus(self.mask[lane])
    }

    /// The first lane's value in every lane.
    pub(crate) fn spread(&self) -> Self {
        Opened {
            public: [self.public[0]; LANES],
            counts: [self.counts[0]; LANES],
            mask: [self.mask[0]; LANES],
        }
    }
}
