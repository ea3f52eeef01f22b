//! The comparison of a ReLU, and its hidden signs.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    kernel::vector,
    net::link::{LinkError, Segment},
    num::ring::Word,
    share::Masked,
};

use super::{
    AND_MASK, AND_PRODUCT, HIDE, MAX_CHUNKS, Relu, SIGN, TABLE,
    and_inputs::{AndInputs, AndPlanes, MAX_OPENED},
    tables::{Entries, Tables},
};
use crate::gate::{
    At, Group, Offline, Online, PLANES, deal_bits, deal_planes, dealt, dealt_plane, dealt_planes,
    groups, load_plane, opening_masks, plane_len, store_plane,
};

/// What [`Relu::hide_opened_signs`] reads and opens.
pub(crate) struct SignOpening<'a, W> {
    /// The openings of the values.
    pub e: &'a [W],
    /// Receives the opened bits, sign xor hiding bit, as bit planes.
    pub hidden: &'a mut [u8],
    /// Masked values that are opened in the last round too.
    pub beside: Option<Segment<'a, W>>,
    /// Whether one round opens all. Then `hidden` lacks the borrow below the highest chunk, which [`Relu::add_borrows`] gives,
    /// and nothing is opened beside.
    pub at_once: bool,
}

impl Relu {
    /// Cost of the hidden signs without the output. Three rounds: opening of the masked input, of the AND's inputs, and
    /// of the masked sign. Two rounds if there is one chunk, which needs no AND.
    pub(crate) fn sign_cost(self, rows: usize, len: usize) -> Cost {
        Cost::opening(rows * len, self.from) + Cost::rounds(1) + self.opened_sign_cost(rows, len)
    }

    /// Cost of [`Relu::hide_opened_signs`] and [`Relu::hiding_bits`].
    pub(crate) fn opened_sign_cost(self, rows: usize, len: usize) -> Cost {
        self.opened_chunks_cost(rows, len)
            + Cost::dealt_planes(rows, len, self.chunks.products())
            + Cost::rounds(if self.chunks.count > 1 { 2 } else { 1 })
    }

    /// Cost of all tables, hiding bits and openings, without a round and without what joins the chunks.
    pub(super) fn opened_chunks_cost(self, rows: usize, len: usize) -> Cost {
        let tables: Cost = (0..self.chunks.count)
            .map(|chunk| Cost::dealt(rows, len, (1 << self.chunks.width(chunk)) - 1))
            .sum();
        Cost::planes(rows, len, self.chunks.opened())
            + Cost::planes(rows, len, 1)
            + tables
            + Cost::dealt(rows, len, 1)
            + self.hide().cost(rows, len)
    }

    /// The masks of the input of one group.
    pub(crate) fn input_masks<W: Word, D: Offline>(self, at: At) -> impl Fn(&D, &Group, &mut [W]) {
        move |cx, group, a| self.mask().masks(cx, self.mask_wire(at), group.stream, a)
    }

    /// Sends the corrections for [`Relu::hide_opened_signs`] on `rows` x `len` elements. `masks` writes a group's masks.
    pub(crate) fn deal_comparison<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
        masks: impl Fn(&D, &Group, &mut [W]),
    ) -> Result<(), LinkError> {
        self.deal_tables(cx, at, rows, len, masks)?;
        for group in groups(at, rows, len) {
            self.deal_products(cx, at, group.stream, group.lanes)?;
        }
        Ok(())
    }

    /// Sends the corrections for the chunks' tables and the signs of the masks.
    pub(super) fn deal_tables<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
        masks: impl Fn(&D, &Group, &mut [W]),
    ) -> Result<(), LinkError> {
        for group in groups(at, rows, len) {
            let mut a = [W::ZERO; LANES];
            let a = &mut a[..group.lanes];
            masks(cx, &group, a);
            for chunk in 0..self.chunks.count {
                let (shift, width) = (self.chunks.shift(chunk), self.chunks.width(chunk));
                let digits = [shift, width];
                let mut table = vector::run(Tables { digits, a });
                let wire = at.wire(TABLE + chunk as u8);
                let bits = (1 << width) - 1;
                deal_bits(cx, wire, group.stream, bits, &mut table[..group.lanes])?;
            }
            let sign = plane_of(a, |a| a.right(self.compared()));
            deal_planes(cx, at.wire(SIGN), group.number(), group.lanes, &mut [sign])?;
        }
        Ok(())
    }

    /// Sends the corrections for [`Relu::hide_signs`] and [`Relu::hiding_bits`] on `rows` x `len` elements.
    pub(crate) fn deal_signs<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        self.deal_opened_signs::<W, D>(cx, at, rows, len, self.input_masks(at))
    }

    /// Sends the corrections for [`Relu::hide_opened_signs`] and [`Relu::hiding_bits`] on `rows` x `len` elements.
    /// `masks` writes the masks of a group's openings.
    pub(crate) fn deal_opened_signs<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
        masks: impl Fn(&D, &Group, &mut [W]),
    ) -> Result<(), LinkError> {
        self.deal_comparison(cx, at, rows, len, masks)?;
        for group in groups(at, rows, len) {
            let mut r = [W::ZERO; LANES];
            let r = &mut r[..group.lanes];
            self.hide().masks(cx, at.wire(HIDE), group.stream, r);
            self.hide().deal(cx, at.wire(HIDE), group.stream, r)?;
        }
        Ok(())
    }

    /// Sends the corrections for the products of the AND's masks, for one group.
    fn deal_products<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        first: u64,
        lanes: usize,
    ) -> Result<(), LinkError> {
        let opened = self.chunks.opened();
        let masks = self.and_masks(cx, at, first);
        let (equal, less) = masks[..opened].split_at(opened / 2);
        let mut next = first / LANES as u64 * self.chunks.products() as u64;
        let (mut planes, mut held) = ([0u64; PLANES], 0);
        self.each_product(|set, below| {
            let mut product = below.map_or(u64::MAX, |below| less[below]);
            for (index, equal) in equal.iter().enumerate() {
                if set >> index & 1 == 1 {
                    product &= equal;
                }
            }
            planes[held] = product;
            held += 1;
            if held == PLANES {
                deal_planes(cx, at.wire(AND_PRODUCT), next, lanes, &mut planes)?;
                next += PLANES as u64;
                held = 0;
            }
            Ok(())
        })?;
        match held {
            0 => Ok(()),
            _ => deal_planes(cx, at.wire(AND_PRODUCT), next, lanes, &mut planes[..held]),
        }
    }

    /// The masks of the AND's inputs of one group, as planes.
    pub(super) fn and_masks<D: Offline>(self, cx: &D, at: At, first: u64) -> AndPlanes {
        let opened = self.chunks.opened();
        let (mut masks, mut other) = ([0u64; MAX_OPENED], [0u64; MAX_OPENED]);
        let start = first / LANES as u64 * opened as u64;
        cx.prg(Role::P0)
            .fill(at.wire(AND_MASK), start, &mut masks[..opened]);
        cx.prg(Role::P1)
            .fill(at.wire(AND_MASK), start, &mut other[..opened]);
        for (mask, other) in masks.iter_mut().zip(other) {
            *mask ^= other;
        }
        masks
    }

    /// Calls `visit(set, below)` for each dealt product, in their order in the stream. Bit i of `set` selects the mask of
    /// `equal[i]`, and `below`, if any, the mask of `less[below]` (see [`AndInputs`]).
    fn each_product<E>(
        self,
        mut visit: impl FnMut(usize, Option<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let above = self.chunks.count as usize - 1;
        for set in 1..1usize << above {
            if set.count_ones() > 1 {
                visit(set, None)?;
            }
        }
        for below in 0..above {
            for set in 1..1usize << (below + 1) {
                visit(set, Some(below))?;
            }
        }
        Ok(())
    }

    /// Opens `rows` x `len` values in place. Writes the opened bits (sign xor hiding bit) to `hidden`, as bit planes.
    /// `scratch` has at least [`Relu::scratch_len`] bytes.
    #[inline(never)]
    pub(crate) fn hide_signs<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [W],
        hidden: &mut [u8],
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        self.open_input(cx, at, [rows, len], x)?;
        let signs = SignOpening {
            e: x,
            hidden,
            beside: None,
            at_once: false,
        };
        self.hide_opened_signs(cx, at, [rows, len], signs, scratch)
    }

    /// Masks and opens `rows` x `len` values in place. One round.
    pub(crate) fn open_input<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [W],
    ) -> Result<(), LinkError> {
        self.mask()
            .mask_rows::<W, W, O>(cx, (at, self.mask_wire(at)), [rows, len], x);
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(x), self.from)])
    }

    /// The opening of the difference of two opened values, whose mask is the difference of theirs.
    pub(crate) fn difference<W: Word>(self, minuend: W, subtrahend: W) -> W {
        let difference = minuend.minus(subtrahend).plus(self.mask().offset());
        difference.low(self.from)
    }

    /// As [`Relu::hide_signs`], for `rows` x `len` values that are open.
    #[inline(never)]
    pub(crate) fn hide_opened_signs<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        opening: SignOpening<'_, W>,
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let SignOpening {
            e,
            hidden,
            mut beside,
            at_once,
        } = opening;
        let opened = self.chunks.opened();
        // Look up the chunks, and open the inputs of the AND. `sign_rest` holds the other terms of the sign.
        let (planes, sign_rest) = scratch.split_at_mut(rows * plane_len(len) * opened);
        let (mut less, mut equal) = ([0; MAX_CHUNKS as usize], [0; MAX_CHUNKS as usize]);
        let mut words = [W::ZERO; LANES];
        for group in groups(at, rows, len) {
            let digits = (&e[group.range()], &mut words);
            self.look_up(cx, at, group.stream, digits, [&mut less, &mut equal])?;
            let mut sign = dealt_plane(cx, at.wire(SIGN), group.number(), group.lanes)?;
            if role == Role::P0 {
                sign ^= plane_of(&e[group.range()], |e| e.right(self.compared()));
            }
            let highest = self.chunks.count as usize - 1;
            let size = group.plane_bytes();
            store_plane(sign ^ less[highest], &mut sign_rest[group.plane..][..size]);
            let inputs = &mut planes[group.plane * opened..];
            self.mask_inputs(cx, at, &group, [&less, &equal], inputs);
        }
        let values = (rows * len * opened) as u64;
        let mut opened_inputs = None;
        if opened > 0 && !at_once {
            let inputs = Masked::wrap_slice_mut(&mut *planes);
            cx.open::<W>(&mut [Segment::planes(inputs, values)])?;
            opened_inputs = Some(&*planes);
        }

        // Combine the chunks, add the hiding bits, and open the masked signs.
        for group in groups(at, rows, len) {
            let size = group.plane_bytes();
            let mut sign = load_plane(&sign_rest[group.plane..][..size]);
            if let Some(planes) = opened_inputs {
                let bits = &planes[group.plane * opened..][..size * opened];
                sign ^= self.and_chunks(cx, at, group.stream, group.lanes, bits)?;
            }
            let r = &mut words[..group.lanes];
            // The plane is of the words' lowest bits, so the masks need not be reduced.
            opening_masks(cx, at.wire(HIDE), group.stream, W::BITS, r);
            sign ^= plane_of(r, |r| r);
            store_plane(sign, &mut hidden[group.plane..][..size]);
        }
        let signs = Segment::planes(Masked::wrap_slice_mut(hidden), (rows * len) as u64);
        if opened > 0 && at_once {
            beside = Some(Segment::planes(Masked::wrap_slice_mut(planes), values));
        }
        match beside {
            Some(beside) => cx.open(&mut [signs, beside]),
            None => cx.open::<W>(&mut [signs]),
        }
    }

    /// Writes this party's masked shares of the AND's inputs of one group to `to`, from those of the planes that
    /// [`Relu::look_up`] writes.
    #[inline(never)]
    fn mask_inputs<O: Online>(
        self,
        cx: &O,
        at: At,
        group: &Group,
        [less, equal]: [&ChunkPlanes; 2],
        to: &mut [u8],
    ) {
        let (opened, size) = (self.chunks.opened(), group.plane_bytes());
        let mut masks: AndPlanes = [0; MAX_OPENED];
        let masks = &mut masks[..opened];
        let start = group.number() * opened as u64;
        opening_masks(cx, at.wire(AND_MASK), start, u64::BITS, masks);
        let highest = opened / 2;
        for i in 0..highest {
            // Chunks from the highest down: [equal] of chunk `highest - i`, [less] of the next lower one.
            let equal = equal[highest - i] ^ masks[i];
            let less = less[highest - i - 1] ^ masks[highest + i];
            store_plane(equal, &mut to[i * size..][..size]);
            store_plane(less, &mut to[(highest + i) * size..][..size]);
        }
    }

    /// This party's shares of the hiding bits r of one group, in the ring in which they are shared.
    pub(crate) fn hiding_bits<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        out: &mut [W],
    ) -> Result<(), LinkError> {
        self.hide().wide(cx, at.wire(HIDE), first, out)
    }

    /// Reads each chunk's table at the openings' digits. Writes exclusive-or shares of the planes [digit < a_j] and
    /// [digit = a_j], lowest chunk first. The tables pass through `table`.
    #[inline(never)]
    fn look_up<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        (e, table): (&[W], &mut [W; LANES]),
        [less, equal]: [&mut ChunkPlanes; 2],
    ) -> Result<(), LinkError> {
        // The entry before the first is T[-1] = 1, a public constant, whose share is 1 at P0.
        let first_entry = match cx.role() {
            Role::P0 => W::ONE,
            Role::P1 => W::ZERO,
        };
        let table = &mut table[..e.len()];
        for chunk in 0..self.chunks.count {
            let (shift, width) = (self.chunks.shift(chunk), self.chunks.width(chunk));
            let bits = (1 << width) - 1;
            dealt(cx, at.wire(TABLE + chunk as u8), first, bits, table)?;
            let entries = Entries {
                digits: [shift, width],
                first_entry,
                e,
                table,
            };
            (less[chunk as usize], equal[chunk as usize]) = entries.planes();
        }
        Ok(())
    }

    /// This party's share of the borrow's part below the highest chunk,
    /// `less[0] & equal[0] ^ less[1] & equal[0] & equal[1] ^ ...` (see [`AndInputs`]), for one group. `bytes` holds the
    /// opened inputs of the AND.
    #[inline(never)]
    fn and_chunks<O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        lanes: usize,
        bytes: &[u8],
    ) -> Result<u64, LinkError> {
        let above = self.chunks.count as usize - 1;
        let size = lanes.div_ceil(8);
        let mut opened = [0u64; MAX_OPENED];
        for (plane, bytes) in opened.iter_mut().zip(bytes.chunks(size)) {
            *plane = load_plane(bytes);
        }
        let mut masks = [0u64; MAX_OPENED];
        let start = first / LANES as u64 * 2 * above as u64;
        cx.prg()
            .fill(at.wire(AND_MASK), start, &mut masks[..2 * above]);
        let opened = AndInputs::new(&opened[..2 * above]);
        let share = opened.single_mask_terms(cx.role(), AndInputs::new(&masks[..2 * above]));
        self.add_product_terms(cx, at, first, lanes, opened, share)
    }

    /// Adds to `share` the terms of the AND with two or more masks: the dealt products of masks, times the opened inputs
    /// without these masks.
    #[inline(always)]
    fn add_product_terms<O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        lanes: usize,
        opened: AndInputs<'_>,
        mut share: u64,
    ) -> Result<u64, LinkError> {
        let products = self.chunks.products();
        let start = first / LANES as u64 * products as u64;
        // A block of the stream holds eight planes, so read several at a time.
        let mut planes = [0u64; PLANES];
        let mut visited = 0;
        self.each_product(|set, below| {
            let index = visited % planes.len();
            if index == 0 {
                let planes = &mut planes[..(products - visited).min(PLANES)];
                let from = start + visited as u64;
                dealt_planes(cx, at.wire(AND_PRODUCT), from, lanes, planes)?;
            }
            let product = planes[index];
            visited += 1;
            match below {
                Some(below) => share ^= opened.equal_outside(set, below + 1) & product,
                None => {
                    let lowest = usize::BITS as usize - 1 - set.leading_zeros() as usize;
                    for (below, less) in opened.less.iter().enumerate().skip(lowest) {
                        share ^= opened.equal_outside(set, below + 1) & less & product;
                    }
                }
            }
            Ok(())
        })?;
        Ok(share)
    }
}

/// A plane per chunk.
type ChunkPlanes = [u64; MAX_CHUNKS as usize];

/// The plane of the lowest bits of `bit(word)`.
fn plane_of<W: Word>(words: &[W], bit: impl Fn(W) -> W) -> u64 {
    let mut plane = 0;
    for (half, words) in words.chunks(32).enumerate() {
        let mut bits = 0u32;
        for (lane, &word) in words.iter().enumerate() {
            bits |= (bit(word).to_u64() as u32 & 1) << lane;
        }
        plane |= u64::from(bits) << (32 * half);
    }
    plane
}
