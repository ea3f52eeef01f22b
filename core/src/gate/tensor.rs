//! Masks of whole tensors: of rows, one for each sample, and of weights, which all samples share.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::LANES,
    prg::{Address, Prg},
    ring::Ring,
    sharing::{Masked, Public, Share},
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
    /// The opening, row by row.
    pub opened: &'a [Public<R>],
    /// Its mask.
    pub mask: RowMask<'a>,
}

/// An opened tensor that all samples share: weights.
#[derive(Clone, Copy)]
pub struct Whole<'a, R> {
    /// The opening.
    pub opened: &'a [Public<R>],
    /// Its mask.
    pub mask: Address,
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
            for (x, a) in x.iter_mut().zip(a) {
                *x = x.plus(a);
            }
        }
    }
    Masked::wrap_slice_mut(x)
}

/// The inverse of [`mask_rows`], once the rows are opened: this party's shares again.
pub(crate) fn unmask_rows<R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    rows: usize,
    len: usize,
    opened: &mut [R],
) {
    for (row, opened) in opened.chunks_exact_mut(len.max(1)).take(rows).enumerate() {
        for (piece, opened) in opened.chunks_mut(LANES).enumerate() {
            let mut a = [R::ZERO; LANES];
            let a = &mut a[..opened.len()];
            if let RowMask::Fresh { address, first } = mask {
                let start = (first + row as u64) * len as u64 + (piece * LANES) as u64;
                cx.prg().fill(address, start, a);
            }
            for (opened, &mut a) in opened.iter_mut().zip(a) {
                let public = match cx.role() {
                    Role::P0 => *opened,
                    Role::P1 => R::ZERO,
                };
                *opened = public.minus(a);
            }
        }
    }
}

/// Adds this party's mask to its shares of weights, which are then fit to be opened at L bits.
pub fn mask_whole<'a, R: Ring, O: Online>(
    cx: &O,
    mask: Address,
    w: &'a mut [Share<R>],
) -> &'a mut [Masked<R>] {
    let w = Share::peel_slice_mut(w);
    for (piece, w) in w.chunks_mut(LANES).enumerate() {
        let mut b = [R::ZERO; LANES];
        let first = (piece * LANES) as u64;
        opening_masks(cx, mask, first, R::BITS, &mut b[..w.len()]);
        for (w, b) in w.iter_mut().zip(b) {
            *w = w.plus(b);
        }
    }
    Masked::wrap_slice_mut(w)
}

/// The masks of weights, as the dealer knows them.
pub fn whole_masks<R: Ring, D: Offline>(cx: &D, mask: Address, out: &mut [R]) {
    cx.prg(Role::P0).fill(mask, 0, out);
    for (piece, out) in out.chunks_mut(LANES).enumerate() {
        let mut other = [R::ZERO; LANES];
        let other = &mut other[..out.len()];
        cx.prg(Role::P1).fill(mask, (piece * LANES) as u64, other);
        for (out, &mut other) in out.iter_mut().zip(other) {
            *out = out.plus(other);
        }
    }
}

/// The masks of rows, as the dealer knows them.
pub(crate) fn mask_sum<R: Ring, D: Offline>(
    cx: &D,
    mask: RowMask<'_>,
    [row, rows]: [usize; 2],
    len: usize,
    out: &mut [R],
    other: &mut [R],
) {
    let other = &mut other[..out.len()];
    mask.fill(cx.prg(Role::P0), Role::P0, [row, rows], len, out);
    if mask.fill(cx.prg(Role::P1), Role::P1, [row, rows], len, other) {
        for (out, &mut other) in out.iter_mut().zip(other) {
            *out = out.plus(other);
        }
    }
}
