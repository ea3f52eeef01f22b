//! Masks of whole tensors: of rows, one for each sample, and of weights, which all samples share.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::LANES,
    num::ring::Ring,
    prg::{Address, Prg},
    share::{Held, Masked, Share},
};

use super::{Offline, Online, opening_masks};

/// Where the rows of a tensor's mask stand.
#[derive(Clone, Copy)]
pub enum RowMask<'a> {
    /// A tensor of this iteration: row i of the micro-batch is row `first + i` of the stream.
    Fresh {
        /// The tensor's stream.
        address: Address,
        /// Place in the whole batch of the first row.
        first: u64,
    },
    /// Data that never changes: one mask for each sample, kept for the whole run, from the key of
    /// the sample's owner alone.
    Kept {
        /// The gate that numbers the data's streams.
        gate: u32,
        /// The sample in each row.
        samples: &'a [u32],
        /// Samples below this number belong to P0, the others to P1.
        boundary: u32,
    },
}

impl RowMask<'_> {
    /// Writes `role`'s share of the masks of `rows` rows of `len` from row `row` on. False when all
    /// of it is zero.
    pub(crate) fn fill<R: Ring>(
        &self,
        prg: &Prg,
        role: Role,
        [row, rows]: [usize; 2],
        len: usize,
        out: &mut [R],
    ) -> bool {
        match *self {
            RowMask::Fresh { address, first } => {
                let start = (first + row as u64) * len as u64;
                prg.fill(address, start, &mut out[..rows * len]);
                true
            }
            RowMask::Kept {
                gate,
                samples,
                boundary,
            } => {
                let mut any = false;
                let samples = &samples[row..row + rows];
                for (&sample, out) in samples.iter().zip(out.chunks_exact_mut(len)) {
                    if owner(sample, boundary) == role {
                        prg.fill(data_address(gate, sample), 0, out);
                        any = true;
                    } else {
                        out.fill(R::ZERO);
                    }
                }
                any
            }
        }
    }
}

/// Where the mask of weights stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeMask {
    /// Its stream.
    pub address: Address,
    /// The party that alone has a share of the weights, and so of their mask; none where both have.
    pub owner: Option<Role>,
}

impl WholeMask {
    /// The mask of weights of which both parties have shares.
    pub fn shared(address: Address) -> Self {
        WholeMask {
            address,
            owner: None,
        }
    }

    fn has_part(self, role: Role) -> bool {
        self.owner.is_none_or(|owner| owner == role)
    }

    /// Writes `role`'s share of the mask. False when all of it is zero.
    pub(crate) fn fill<R: Ring>(self, prg: &Prg, role: Role, out: &mut [R]) -> bool {
        if !self.has_part(role) {
            out.fill(R::ZERO);
            return false;
        }
        prg.fill(self.address, 0, out);
        true
    }
}

/// Whose sample it is.
pub fn owner(sample: u32, boundary: u32) -> Role {
    if sample < boundary {
        Role::P0
    } else {
        Role::P1
    }
}

fn data_address(gate: u32, sample: u32) -> Address {
    Address {
        iteration: sample,
        gate,
        wire: 0,
    }
}

/// An opened tensor of one row for each sample.
#[derive(Clone, Copy)]
pub struct Rows<'a, R> {
    /// The tensor, row by row.
    pub held: &'a [Held<R>],
    /// Its mask.
    pub mask: RowMask<'a>,
}

/// An opened tensor that all samples share: weights.
#[derive(Clone, Copy)]
pub struct Whole<'a, R> {
    /// The tensor.
    pub held: &'a [Held<R>],
    /// Its mask.
    pub mask: WholeMask,
}

/// Adds this party's mask to its shares of rows, which are then fit to be opened at L bits.
pub fn mask_rows<'a, R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    rows: usize,
    len: usize,
    x: &'a mut [Share<R>],
) -> &'a mut [Masked<R>] {
    let x = &mut Share::peel_slice_mut(x)[..rows * len];
    for (row, x) in x.chunks_exact_mut(len.max(1)).enumerate() {
        for (piece, x) in x.chunks_mut(LANES).enumerate() {
            let mut a = [R::ZERO; LANES];
            match mask {
                RowMask::Fresh { address, first } => {
                    let start = (first + row as u64) * len as u64 + (piece * LANES) as u64;
                    opening_masks(cx, address, start, R::BITS, &mut a[..x.len()]);
                }
                RowMask::Kept {
                    gate,
                    samples,
                    boundary,
                } => {
                    if owner(samples[row], boundary) == cx.role() {
                        let start = (piece * LANES) as u64;
                        let address = data_address(gate, samples[row]);
                        opening_masks(cx, address, start, R::BITS, &mut a[..x.len()]);
                    }
                }
            }
            for (x, &a) in x.iter_mut().zip(&a) {
                *x = x.plus(a);
            }
        }
    }
    Masked::wrap_slice_mut(x)
}

/// Takes this party's masks off an opening, `len` values of the stream from `start` on: P0 is left with
/// its share.
fn take_off<R: Ring>(prg: &Prg, address: Address, start: u64, opened: &mut [R]) {
    for (piece, opened) in opened.chunks_mut(LANES).enumerate() {
        let mut a = [R::ZERO; LANES];
        let a = &mut a[..opened.len()];
        prg.fill(address, start + (piece * LANES) as u64, a);
        for (opened, &mut a) in opened.iter_mut().zip(a) {
            *opened = opened.minus(a);
        }
    }
}

/// What this party keeps of rows that have been opened.
pub fn hold_rows<'a, R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    rows: usize,
    len: usize,
    opened: &'a mut [R],
) -> &'a [Held<R>] {
    let opened = &mut opened[..rows * len];
    if cx.role() == Role::P0 {
        match mask {
            RowMask::Fresh { address, first } => {
                take_off(cx.prg(), address, first * len as u64, opened);
            }
            RowMask::Kept {
                gate,
                samples,
                boundary,
            } => {
                for (&sample, opened) in samples.iter().zip(opened.chunks_exact_mut(len.max(1))) {
                    if owner(sample, boundary) == Role::P0 {
                        take_off(cx.prg(), data_address(gate, sample), 0, opened);
                    }
                }
            }
        }
    }
    Held::wrap_slice(opened)
}

/// What this party keeps of weights that have been opened.
pub fn hold_whole<'a, R: Ring, O: Online>(
    cx: &O,
    mask: WholeMask,
    opened: &'a mut [R],
) -> &'a [Held<R>] {
    if cx.role() == Role::P0 && mask.has_part(Role::P0) {
        take_off(cx.prg(), mask.address, 0, opened);
    }
    Held::wrap_slice(opened)
}

/// This party's shares of rows that it holds, in place.
pub(crate) fn shares_of_rows<R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    rows: usize,
    len: usize,
    held: &mut [R],
) {
    if cx.role() == Role::P1 {
        let held = &mut held[..rows * len];
        mask.fill(cx.prg(), Role::P1, [0, rows], len, held);
        negate(held);
    }
}

/// This party's shares of weights that it holds, in place.
pub(crate) fn shares_of_whole<R: Ring, O: Online>(cx: &O, mask: WholeMask, held: &mut [R]) {
    if cx.role() == Role::P1 {
        mask.fill(cx.prg(), Role::P1, held);
        negate(held);
    }
}

pub(super) fn negate<R: Ring>(words: &mut [R]) {
    for word in words {
        *word = word.negated();
    }
}

/// Adds this party's mask to its shares of weights, which are then fit to be opened at L bits. Where the other
/// party alone has a share, they stay zero, as [`Segment::owned`] asks.
///
/// [`Segment::owned`]: crate::net::link::Segment::owned
pub fn mask_whole<'a, R: Ring, O: Online>(
    cx: &O,
    mask: WholeMask,
    w: &'a mut [Share<R>],
) -> &'a mut [Masked<R>] {
    let w = Share::peel_slice_mut(w);
    if !mask.has_part(cx.role()) {
        return Masked::wrap_slice_mut(w);
    }
    for (piece, w) in w.chunks_mut(LANES).enumerate() {
        let mut b = [R::ZERO; LANES];
        let first = (piece * LANES) as u64;
        opening_masks(cx, mask.address, first, R::BITS, &mut b[..w.len()]);
        for (w, &b) in w.iter_mut().zip(&b) {
            *w = w.plus(b);
        }
    }
    Masked::wrap_slice_mut(w)
}

/// The masks of a tensor as the dealer knows them.
#[derive(Clone, Copy)]
pub struct Masks<'a, R> {
    /// P1's part.
    pub second: &'a [R],
    /// Both parties' parts together.
    pub sum: &'a [R],
}

/// Writes P1's part of the masks of weights, and the sum of both.
pub fn whole_masks<R: Ring, D: Offline>(cx: &D, mask: WholeMask, second: &mut [R], sum: &mut [R]) {
    mask.fill(cx.prg(Role::P0), Role::P0, sum);
    mask.fill(cx.prg(Role::P1), Role::P1, second);
    add(sum, second);
}

fn add<R: Ring>(to: &mut [R], words: &[R]) {
    for (to, &word) in to.iter_mut().zip(words) {
        *to = to.plus(word);
    }
}

/// Writes both parties' parts of the masks of rows; says of each whether it is not all zero.
pub(crate) fn mask_parts<R: Ring, D: Offline>(
    cx: &D,
    mask: RowMask<'_>,
    rows: [usize; 2],
    len: usize,
    parts: [&mut [R]; 2],
) -> [bool; 2] {
    let [first, second] = parts;
    [
        mask.fill(cx.prg(Role::P0), Role::P0, rows, len, first),
        mask.fill(cx.prg(Role::P1), Role::P1, rows, len, second),
    ]
}

/// Writes P1's part of the masks of rows, and the sum of both.
pub(crate) fn row_masks<R: Ring, D: Offline>(
    cx: &D,
    mask: RowMask<'_>,
    rows: [usize; 2],
    len: usize,
    second: &mut [R],
    sum: &mut [R],
) {
    mask_parts(cx, mask, rows, len, [&mut *sum, &mut *second]);
    add(sum, second);
}
