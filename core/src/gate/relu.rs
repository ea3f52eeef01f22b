//! Exact ReLU by lookup: x in Z_2^n -> max(x, 0) in Z_2^L, and the hidden sign for the way back.
//!
//! The comparison that yields the sign is against the mask's low bits, which the dealer knows, so it
//! is a table lookup at the public opening: the low n-2 bits are cut in chunks, the dealer shares each
//! chunk's unary table `T[v] = [v < a_j]`, and equality is a difference of neighbours. One multi-input
//! AND joins the chunks. Bits are worked on 64 elements at a time, as planes.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    link::{LinkError, Segment},
    ring::{Ring, Word, mask},
    sharing::{Masked, Public, Share},
};

use super::{
    At, Offline, Online, deal, deal_bits, deal_plane, dealt, dealt_plane, dealt_planes, groups,
    lift::{Lift, Lifted},
    load_plane, opening_masks, plane_len, store_plane,
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu {
    /// Ring of the input; |x| < 2^(from-2), unless the output is in the same ring.
    pub from: u32,
    /// Ring of the output.
    pub to: u32,
    /// Ring of the shares of the bit that hides the sign.
    hide: u32,
    chunks: Chunks,
}

/// How the compared bits are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunks {
    /// Number of chunks.
    count: u32,
    /// Bits of a short chunk, and how many of the low chunks have one bit more.
    bits: u32,
    longer: u32,
}

impl Chunks {
    fn new(compared: u32, most: u32) -> Self {
        let count = compared.div_ceil(most).max(1);
        Chunks {
            count,
            bits: compared / count,
            longer: compared % count,
        }
    }

    fn width(self, chunk: u32) -> u32 {
        self.bits + u32::from(chunk < self.longer)
    }

    fn shift(self, chunk: u32) -> u32 {
        chunk * self.bits + chunk.min(self.longer)
    }

    /// Bits opened by the joining AND: [equal] of every chunk but the lowest, [less] of every chunk
    /// but the highest.
    fn opened(self) -> usize {
        2 * (self.count as usize - 1)
    }

    /// Products of AND masks that the dealer shares: every set of two or more [equal] masks, and
    /// each [less] mask with every non-empty set of the [equal] masks above it.
    fn products(self) -> usize {
        let above = self.count - 1;
        let equal_sets = (1usize << above) - 1 - above as usize;
        let less_sets: usize = (1..=above).map(|n| (1usize << n) - 1).sum();
        equal_sets + less_sets
    }
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
/// Chunks that have a table wire of their own: enough for 60 bits by the wider tables, of which a comparison over the
/// whole of the widest narrow ring takes 55.
const MAX_CHUNKS: u32 = 10;

/// What the parties keep of a ReLU for its backward pass: the masked sign m = sign xor r, one bit for
/// each element, public; and P1's shares of r in Z_2^to (P0 produces its own again).
pub struct HiddenSign<'a, W> {
    /// Bit planes of the masked sign.
    pub opened: &'a mut [Public<u8>],
    /// P1: one share for each element. P0: empty.
    pub shares: &'a mut [Share<W>],
}

impl Relu {
    /// The gate from Z_2^from to Z_2^to, with words of `W` comparing chunks of its table width.
    pub fn new<R: Ring>(from: u32, to: u32) -> Self {
        Relu::with_chunks(from, to, R::CHUNK)
    }

    /// As [`Relu::new`], with chunks of at most `most` bits.
    pub fn with_chunks(from: u32, to: u32, most: u32) -> Self {
        Relu::over(from, to, to, most)
    }

    /// The positive part of any x in Z_2^from, a difference of two values under the range contract, in the same ring.
    /// The sign stays hidden by bits that are shared in Z_2^hide.
    pub fn of_differences<R: Ring>(from: u32, hide: u32) -> Self {
        Relu::of_differences_in_chunks(from, hide, R::CHUNK)
    }

    /// As [`Relu::of_differences`], with chunks of at most `most` bits.
    pub(super) fn of_differences_in_chunks(from: u32, hide: u32, most: u32) -> Self {
        Relu::over(from, from, hide, most)
    }

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

    /// Bits below the sign, which are compared.
    fn compared(self) -> u32 {
        self.mask().offset_bit()
    }

    pub(super) fn mask(self) -> Lift {
        Lift {
            from: self.from,
            to: self.to,
        }
    }

    /// The random bit that hides the sign.
    pub(super) fn hide(self) -> Lift {
        Lift {
            from: 1,
            to: self.hide,
        }
    }

    /// max(x, 0), for x in [-2^(from-2), 2^(from-2)), or any difference x in Z_2^from.
    pub fn ideal<W: Word>(self, x: W) -> W {
        let x = crate::ring::signed(x.low(self.from), self.from);
        W::from_u128(x.max(0) as u128).low(self.to)
    }

    /// Cost for `rows` x `len` elements.
    pub fn cost(self, rows: usize, len: usize) -> Cost {
        self.sign_cost(rows, len)
            + self.mask().lifted_cost(rows, len)
            + Cost::dealt(rows, len, self.to)
            + Cost::dealt(rows, len, self.mask().high())
    }

    /// Cost of the hidden signs alone. Three rounds: the masked input, the AND, the masked sign.
    pub(super) fn sign_cost(self, rows: usize, len: usize) -> Cost {
        let tables: Cost = (0..self.chunks.count)
            .map(|chunk| Cost::dealt(rows, len, (1 << self.chunks.width(chunk)) - 1))
            .sum();
        let planes = Cost::dealt(rows, len, 1) * (1 + self.chunks.products() as u64);
        Cost::opening(rows * len, self.from)
            + Cost::planes(rows, len, self.chunks.opened())
            + Cost::planes(rows, len, 1)
            + tables
            + planes
            + self.hide().cost(rows, len)
            + Cost::rounds(if self.chunks.count > 1 { 3 } else { 2 })
    }

    /// Bytes of scratch that a party needs for `rows` x `len` elements.
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
        self.deal_comparison::<W, D>(cx, at, rows, len)?;
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

    /// Sends the corrections for the signs of `rows` x `len` elements, as long as nobody asks for shares of what hides
    /// them.
    fn deal_comparison<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        for group in groups(at, rows, len) {
            let mut a = [W::ZERO; LANES];
            let a = &mut a[..group.lanes];
            self.mask().masks(cx, at.wire(MASK), group.stream, a);
            for chunk in 0..self.chunks.count {
                let (shift, width) = (self.chunks.shift(chunk), self.chunks.width(chunk));
                let mut table = [W::ZERO; LANES];
                for (table, a) in table.iter_mut().zip(a.iter()) {
                    let digit = a.right(shift).low(width).to_u64() as u32;
                    *table = mask::<W>(digit);
                }
                let wire = at.wire(TABLE + chunk as u8);
                let bits = (1 << width) - 1;
                deal_bits(cx, wire, group.stream, bits, &mut table[..group.lanes])?;
            }
            let sign = plane_of(a, |a| a.right(self.compared()));
            deal_plane(cx, at.wire(SIGN), group.stream, group.lanes, sign)?;
        }
        for group in groups(at, rows, len) {
            self.deal_products(cx, at, group.stream, group.lanes)?;
        }
        Ok(())
    }

    /// Sends the corrections for [`Relu::hide_signs`] and [`Relu::hiding`].
    pub(super) fn deal_signs<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        self.deal_comparison::<W, D>(cx, at, rows, len)?;
        for group in groups(at, rows, len) {
            let mut r = [W::ZERO; LANES];
            let r = &mut r[..group.lanes];
            self.hide().masks(cx, at.wire(HIDE), group.stream, r);
            self.hide().deal(cx, at.wire(HIDE), group.stream, r)?;
        }
        Ok(())
    }

    /// Sends shares of the products of AND masks, for one group.
    fn deal_products<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        first: u64,
        lanes: usize,
    ) -> Result<(), LinkError> {
        let opened = self.chunks.opened();
        let mut masks = [0u64; 2 * MAX_CHUNKS as usize];
        let mut other = [0u64; 2 * MAX_CHUNKS as usize];
        let start = first / LANES as u64 * opened as u64;
        cx.prg(Role::P0)
            .fill(at.wire(AND_MASK), start, &mut masks[..opened]);
        cx.prg(Role::P1)
            .fill(at.wire(AND_MASK), start, &mut other[..opened]);
        for (mask, other) in masks.iter_mut().zip(other) {
            *mask ^= other;
        }
        let (equal, less) = masks[..opened].split_at(opened / 2);
        let mut next = first / LANES as u64 * self.chunks.products() as u64;
        self.each_product(|set, below| {
            let mut product = below.map_or(u64::MAX, |below| less[below]);
            for (index, equal) in equal.iter().enumerate() {
                if set >> index & 1 == 1 {
                    product &= equal;
                }
            }
            next += 1;
            deal_plane(cx, at.wire(AND_PRODUCT), next - 1, lanes, product)
        })
    }

    /// Visits the dealt products in order: sets of [equal] masks (bit i for the i-th chunk from the
    /// top), alone or with the [less] mask of the chunk `below` steps under the top one's neighbour.
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

    /// Runs the gate on `rows` x `len` shares in place: from Z_2^from to Z_2^to. `scratch` holds at
    /// least [`Relu::scratch_len`] bytes.
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
        for group in groups(at, rows, len) {
            let mut r = [W::ZERO; LANES];
            self.hiding(cx, at, group.stream, &mut r[..group.lanes])?;
            if role == Role::P1 && !shares.is_empty() {
                shares[group.range()].copy_from_slice(&r[..group.lanes]);
            }
            let plane = load_plane(&hidden[group.plane..][..group.plane_bytes()]);
            let wires = [MASK, CARRY, HIDE_MASK, HIDE_CARRY].map(|wire| at.wire(wire));
            select_group(
                cx,
                self.mask(),
                wires,
                group.stream,
                HiddenPlane { m: plane, r: &r },
                &mut e[group.range()],
                &mut [],
            )?;
        }
        Ok(())
    }

    /// Opens `rows` x `len` shares under their masks, in place, and their signs under the bits that hide them: bit planes
    /// in `hidden`.
    #[inline(never)]
    pub(super) fn hide_signs<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [W],
        hidden: &mut [u8],
        scratch: &mut [u8],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        for group in groups(at, rows, len) {
            let x = &mut x[group.range()];
            self.mask()
                .conceal::<W, W, O>(cx, at.wire(MASK), group.stream, x);
        }
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut *x), self.from)])?;
        let e = x;

        let opened = self.chunks.opened();
        let (planes, top) = scratch.split_at_mut(rows * plane_len(len) * opened);
        for group in groups(at, rows, len) {
            let (less, equal) = self.look_up(cx, at, group.stream, &e[group.range()])?;
            let mut sign = dealt_plane(cx, at.wire(SIGN), group.stream, group.lanes)?;
            if role == Role::P0 {
                sign ^= plane_of(&e[group.range()], |e| e.right(self.compared()));
            }
            let highest = self.chunks.count as usize - 1;
            let size = group.plane_bytes();
            store_plane(sign ^ less[highest], &mut top[group.plane..][..size]);
            let mut masks = [0u64; 2 * MAX_CHUNKS as usize];
            let start = group.stream / LANES as u64 * opened as u64;
            let and_masks = &mut masks[..opened];
            opening_masks(cx, at.wire(AND_MASK), start, u64::BITS, and_masks);
            let to = &mut planes[group.plane * opened..];
            for i in 0..highest {
                // From the top: [equal] of chunk `highest - i`, [less] of the one below it.
                let equal = equal[highest - i] ^ masks[i];
                let less = less[highest - i - 1] ^ masks[highest + i];
                store_plane(equal, &mut to[i * size..][..size]);
                store_plane(less, &mut to[(highest + i) * size..][..size]);
            }
        }
        if opened > 0 {
            let planes = &mut planes[..rows * plane_len(len) * opened];
            let values = (rows * len * opened) as u64;
            cx.open::<W>(&mut [Segment::planes(Masked::wrap_slice_mut(planes), values)])?;
        }

        for group in groups(at, rows, len) {
            let size = group.plane_bytes();
            let bits = &planes[group.plane * opened..][..size * opened];
            let mut sign = load_plane(&top[group.plane..][..size]);
            sign ^= self.join(cx, at, group.stream, group.lanes, bits)?;
            let mut r = [W::ZERO; LANES];
            self.hide()
                .narrow(cx, at.wire(HIDE), group.stream, &mut r[..group.lanes]);
            sign ^= plane_of(&r[..group.lanes], |r| r);
            store_plane(sign, &mut hidden[group.plane..][..size]);
        }
        cx.open::<W>(&mut [Segment::planes(
            Masked::wrap_slice_mut(&mut *hidden),
            (rows * len) as u64,
        )])?;
        Ok(())
    }

    /// This party's shares of the bits that hide the signs of one group of lanes, in the ring that they are shared in.
    pub(super) fn hiding<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        out: &mut [W],
    ) -> Result<(), LinkError> {
        self.hide().wide(cx, at.wire(HIDE), first, out)
    }

    /// Reads each chunk's table at the public digit: planes of [digit < a_j] and [digit = a_j], the
    /// lowest chunk first, as exclusive-or shares.
    #[inline(never)]
    fn look_up<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        e: &[W],
    ) -> Result<Looked, LinkError> {
        let (mut less, mut equal) = ([0u64; MAX_CHUNKS as usize], [0u64; MAX_CHUNKS as usize]);
        // Below the first entry every digit is less: a public one, which P0 holds.
        let floor = match cx.role() {
            Role::P0 => W::ONE,
            Role::P1 => W::ZERO,
        };
        for chunk in 0..self.chunks.count {
            let (shift, width) = (self.chunks.shift(chunk), self.chunks.width(chunk));
            let mut table = [W::ZERO; LANES];
            let table = &mut table[..e.len()];
            let bits = (1 << width) - 1;
            dealt(cx, at.wire(TABLE + chunk as u8), first, bits, table)?;
            let (less, equal) = (&mut less[chunk as usize], &mut equal[chunk as usize]);
            // By halves, since small processors have no 64-bit shifts.
            for (half, (e, table)) in e.chunks(32).zip(table.chunks(32)).enumerate() {
                let (mut less_plane, mut equal_plane) = (0u32, 0u32);
                for (lane, (&e, table)) in e.iter().zip(table).enumerate() {
                    let digit = e.right(shift).low(width).to_u64() as u32;
                    let read = table.left(1).plus(floor).right(digit).to_u64() as u32;
                    let (below, at) = (read & 1, read >> 1 & 1);
                    less_plane |= at << lane;
                    equal_plane |= (below ^ at) << lane;
                }
                *less |= u64::from(less_plane) << (32 * half);
                *equal |= u64::from(equal_plane) << (32 * half);
            }
        }
        Ok((less, equal))
    }

    /// This party's share of `less[1] & equal[0] ^ less[2] & equal[0] & equal[1] ^ ...`, chunks counted
    /// from the top, from the opened bits and the dealt products of their masks.
    #[inline(never)]
    fn join<O: Online>(
        self,
        cx: &mut O,
        at: At,
        first: u64,
        lanes: usize,
        bytes: &[u8],
    ) -> Result<u64, LinkError> {
        let above = self.chunks.count as usize - 1;
        if above == 0 {
            return Ok(0);
        }
        let size = lanes.div_ceil(8);
        let mut opened = [0u64; 2 * MAX_CHUNKS as usize];
        for (plane, bytes) in opened.iter_mut().zip(bytes.chunks(size)) {
            *plane = load_plane(bytes);
        }
        let (equal, less) = opened[..2 * above].split_at(above);
        let mut masks = [0u64; 2 * MAX_CHUNKS as usize];
        let start = first / LANES as u64 * 2 * above as u64;
        cx.prg()
            .fill(at.wire(AND_MASK), start, &mut masks[..2 * above]);
        let (equal_masks, less_masks) = masks[..2 * above].split_at(above);

        // For the j-th [less] and a set S of the [equal]s above it, the public factor is the product
        // of the opened [equal]s outside S; it multiplies the shared product of the masks in S, times
        // the opened [less], and the shared product of the masks in S and of the [less] mask.
        let outside = |set: usize, count: usize| {
            (0..count)
                .filter(|i| set >> i & 1 == 0)
                .fold(u64::MAX, |product, i| product & equal[i])
        };
        let public = match cx.role() {
            Role::P0 => u64::MAX,
            Role::P1 => 0,
        };
        let mut share = 0;
        for below in 0..above {
            let all = outside(0, below + 1);
            share ^= all & (less[below] & public ^ less_masks[below]);
            for (i, equal_mask) in equal_masks[..=below].iter().enumerate() {
                share ^= outside(1 << i, below + 1) & less[below] & equal_mask;
            }
        }
        let products = self.chunks.products();
        let start = first / LANES as u64 * products as u64;
        // A stream's block holds eight planes, so they are taken several at a time.
        let mut planes = [0u64; 16];
        let mut visited = 0;
        self.each_product(|set, below| {
            let place = visited % planes.len();
            if place == 0 {
                let planes = &mut planes[..(products - visited).min(16)];
                let from = start + visited as u64;
                dealt_planes(cx, at.wire(AND_PRODUCT), from, lanes, planes)?;
            }
            let product = planes[place];
            visited += 1;
            match below {
                Some(below) => share ^= outside(set, below + 1) & product,
                None => {
                    let deepest = usize::BITS as usize - 1 - set.leading_zeros() as usize;
                    for (below, less) in less.iter().enumerate().skip(deepest) {
                        share ^= outside(set, below + 1) & less & product;
                    }
                }
            }
            Ok(())
        })?;
        Ok(share)
    }
}

type Looked = ([u64; MAX_CHUNKS as usize], [u64; MAX_CHUNKS as usize]);

/// Gathers the lowest bit of `bit(word)` for each lane.
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

/// Sends what [`select_group`] needs beside the shares of the hiding bit `r`, for the masks `a`.
/// Wires: mask, carry, r times mask, r times carry.
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

/// Hidden bits b = m xor r of one group of lanes: the public plane m, and this party's shares of r.
#[derive(Clone, Copy)]
pub(super) struct HiddenPlane<'a, W> {
    pub m: u64,
    pub r: &'a [W; LANES],
}

/// y = b * x for a hidden bit b, from the opening `e` of x: a public combination of dealt shares. `e` is replaced by the share of y, and `rest`,
/// which may be empty, by that of x - y.
pub(super) fn select_group<W: Word, O: Online>(
    cx: &mut O,
    lift: Lift,
    [mask_wire, carry_wire, hide_mask, hide_carry]: [crate::prg::Address; 4],
    first: u64,
    bit: HiddenPlane<'_, W>,
    e: &mut [W],
    rest: &mut [W],
) -> Result<(), LinkError> {
    let lanes = e.len();
    let mut lifted = Lifted::new();
    lift.lifted(cx, mask_wire, carry_wire, first, lanes, &mut lifted)?;
    let (mut ra, mut rc) = ([W::ZERO; LANES], [W::ZERO; LANES]);
    dealt(cx, hide_mask, first, lift.to, &mut ra[..lanes])?;
    dealt(cx, hide_carry, first, lift.high(), &mut rc[..lanes])?;
    let holds_public = match cx.role() {
        Role::P0 => W::MAX,
        Role::P1 => W::ZERO,
    };
    // The rest is x until y is known.
    for (lane, (rest, e)) in rest.iter_mut().zip(&*e).enumerate() {
        let carry = lift.counts(*e).and(lifted.carry[lane]);
        let public = e.minus(lift.offset()).and(holds_public);
        *rest = public.minus(lifted.mask[lane]).plus(carry);
    }
    let HiddenPlane { mut m, r } = bit;
    for (lane, e) in e.iter_mut().enumerate() {
        let counts: W = lift.counts(*e);
        let public = e.minus(lift.offset());
        // x, and r * x.
        let x = public
            .and(holds_public)
            .minus(lifted.mask[lane])
            .plus(counts.and(lifted.carry[lane]));
        let rx = r[lane]
            .times(public)
            .minus(ra[lane])
            .plus(counts.and(rc[lane].left(lift.from)));
        // m = 0: b = r. m = 1: b = 1 - r. All of m's bits are public.
        let set = W::ZERO.minus(W::from_u64(m & 1));
        m >>= 1;
        let y = rx.xor(set).minus(set).plus(x.and(set));
        *e = y.low(lift.to);
    }
    for (rest, &y) in rest.iter_mut().zip(&*e) {
        *rest = rest.minus(y).low(lift.to);
    }
    Ok(())
}
