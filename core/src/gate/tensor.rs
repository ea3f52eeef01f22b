//! Masks and openings of whole tensors: rows, one per sample, and weights, which all samples share. All words are in
//! Z_2^L.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::LANES,
    num::ring::Ring,
    prg::{Address, Prg},
    share::{Held, Masked, Share},
};

#[cfg(test)]
use super::reuse;
use super::{Offline, Online, opening_masks};

/// The streams of the mask of a tensor of rows.
#[derive(Clone, Copy)]
pub enum RowMask<'a> {
    /// A tensor of this iteration. Both parties have shares of the mask. Row i of the micro-batch uses row `first + i`
    /// of the stream.
    Fresh {
        /// The tensor's stream.
        address: Address,
        /// Index in the batch of the first row.
        first: u64,
    },
    /// Data, which does not change: each sample keeps its mask for the whole run. Only the sample's owner has a share of
    /// the mask; the other party's share is zero.
    Kept {
        /// Gate number of the data's streams; the sample's number takes the place of the iteration.
        gate: u32,
        /// The sample's number in each row.
        samples: &'a [u32],
        /// P0 owns the samples below this number, P1 the others.
        boundary: u32,
    },
}

impl RowMask<'_> {
    /// Writes `role`'s share of the masks of `rows` rows of `len` words, from row `row` on. Returns false if all of it
    /// is zero.
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

/// The stream of the mask of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeMask {
    /// The mask's stream.
    pub address: Address,
    /// The only party with a share of the weights and of their mask, or `None` if both parties have one.
    pub owner: Option<Role>,
}

impl WholeMask {
    /// The mask of weights that both parties share.
    pub fn shared(address: Address) -> Self {
        WholeMask {
            address,
            owner: None,
        }
    }

    /// Whether `role` has a share of the mask.
    fn has_share(self, role: Role) -> bool {
        self.owner.is_none_or(|owner| owner == role)
    }

    /// Writes `role`'s share of the mask. Returns false if all of it is zero.
    pub(crate) fn fill<R: Ring>(self, prg: &Prg, role: Role, out: &mut [R]) -> bool {
        if !self.has_share(role) {
            out.fill(R::ZERO);
            return false;
        }
        prg.fill(self.address, 0, out);
        true
    }
}

/// The owner of a sample.
pub fn owner(sample: u32, boundary: u32) -> Role {
    if sample < boundary {
        Role::P0
    } else {
        Role::P1
    }
}

/// The stream of a sample's mask.
fn data_address(gate: u32, sample: u32) -> Address {
    Address {
        iteration: sample,
        gate,
        wire: 0,
    }
}

/// An opened tensor of rows, one per sample.
#[derive(Clone, Copy)]
pub struct Rows<'a, R> {
    /// What this party stores of the opening, row by row.
    pub held: &'a [Held<R>],
    /// The tensor's mask.
    pub mask: RowMask<'a>,
}

/// An opened tensor that all samples share: weights.
#[derive(Clone, Copy)]
pub struct Whole<'a, R> {
    /// What this party stores of the opening.
    pub held: &'a [Held<R>],
    /// The tensor's mask.
    pub mask: WholeMask,
}

/// Adds this party's shares of the mask to its shares of `rows` x `len` values, for an opening at L bits.
pub fn mask_rows<'a, R: Ring, O: Online>(
    cx: &O,
    mask: RowMask<'_>,
    rows: usize,
    len: usize,
    x: &'a mut [Share<R>],
) -> &'a mut [Masked<R>] {
    let x = &mut Share::peel_slice_mut(x)[..rows * len];
    let mut a = [R::ZERO; LANES];
    for (row, x) in x.chunks_exact_mut(len.max(1)).enumerate() {
        for (piece, x) in x.chunks_mut(LANES).enumerate() {
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
                    // The other party's share is zero.
                    if owner(samples[row], boundary) != cx.role() {
                        continue;
                    }
                    let start = (piece * LANES) as u64;
                    let address = data_address(gate, samples[row]);
                    // Each epoch masks the sample again, to the same values.
                    #[cfg(test)]
                    reuse::use_for_same(address, start, &*x);
                    cx.prg().fill(address, start, &mut a[..x.len()]);
                }
            }
            for (x, &a) in x.iter_mut().zip(&a) {
                *x = x.plus(a);
            }
        }
    }
    Masked::wrap_slice_mut(x)
}

/// Subtracts this party's shares of the mask, from word `start` of the stream on, from an opening. For P0 the result
/// is its share of the tensor.
fn subtract_mask<R: Ring>(prg: &Prg, address: Address, start: u64, opened: &mut [R]) {
    let mut a = [R::ZERO; LANES];
    for (piece, opened) in opened.chunks_mut(LANES).enumerate() {
        let a = &mut a[..opened.len()];
        prg.fill(address, start + (piece * LANES) as u64, a);
        for (opened, &mut a) in opened.iter_mut().zip(a) {
            *opened = opened.minus(a);
        }
    }
}

/// Turns an opening of rows, in place, into what this party stores of it (see [`Held`]).
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
                subtract_mask(cx.prg(), address, first * len as u64, opened);
            }
            RowMask::Kept {
                gate,
                samples,
                boundary,
            } => {
                for (&sample, opened) in samples.iter().zip(opened.chunks_exact_mut(len.max(1))) {
                    if owner(sample, boundary) == Role::P0 {
                        subtract_mask(cx.prg(), data_address(gate, sample), 0, opened);
                    }
                }
            }
        }
    }
    Held::wrap_slice(opened)
}

/// Turns an opening of weights, in place, into what this party stores of it (see [`Held`]).
pub fn hold_whole<'a, R: Ring, O: Online>(
    cx: &O,
    mask: WholeMask,
    opened: &'a mut [R],
) -> &'a [Held<R>] {
    if cx.role() == Role::P0 && mask.has_share(Role::P0) {
        subtract_mask(cx.prg(), mask.address, 0, opened);
    }
    Held::wrap_slice(opened)
}

/// Turns stored rows into this party's shares of them, in place: P0 stores its share, and P1's is minus its mask.
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

/// As [`shares_of_rows`], for weights.
pub(crate) fn shares_of_whole<R: Ring, O: Online>(cx: &O, mask: WholeMask, held: &mut [R]) {
    if cx.role() == Role::P1 {
        mask.fill(cx.prg(), Role::P1, held);
        negate(held);
    }
}

/// Negates each word.
pub(super) fn negate<R: Ring>(words: &mut [R]) {
    for word in words {
        *word = word.negated();
    }
}

/// Adds this party's share of the mask to its shares of weights, for an opening at L bits. If only the other party has
/// a share, they stay zero, as [`Segment::owned`] requires.
///
/// [`Segment::owned`]: crate::net::link::Segment::owned
pub fn mask_whole<'a, R: Ring, O: Online>(
    cx: &O,
    mask: WholeMask,
    w: &'a mut [Share<R>],
) -> &'a mut [Masked<R>] {
    let w = Share::peel_slice_mut(w);
    if !mask.has_share(cx.role()) {
        return Masked::wrap_slice_mut(w);
    }
    let mut b = [R::ZERO; LANES];
    for (piece, w) in w.chunks_mut(LANES).enumerate() {
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
    /// P1's share.
    pub second: &'a [R],
    /// The mask: the sum of both shares.
    pub sum: &'a [R],
}

/// Writes P1's share of the mask of weights to `p1`, and the sum of both shares to `sum`.
pub fn whole_masks<R: Ring, D: Offline>(cx: &D, mask: WholeMask, p1: &mut [R], sum: &mut [R]) {
    mask.fill(cx.prg(Role::P0), Role::P0, sum);
    mask.fill(cx.prg(Role::P1), Role::P1, p1);
    add(sum, p1);
}

/// Adds `words` to `to`.
fn add<R: Ring>(to: &mut [R], words: &[R]) {
    for (to, &word) in to.iter_mut().zip(words) {
        *to = to.plus(word);
    }
}

/// Writes both parties' shares of the masks of rows to `shares`. Returns for each party whether its share is not all
/// zero.
pub(crate) fn mask_shares<R: Ring, D: Offline>(
    cx: &D,
    mask: RowMask<'_>,
    rows: [usize; 2],
    len: usize,
    shares: [&mut [R]; 2],
) -> [bool; 2] {
    let [p0, p1] = shares;
    [
        mask.fill(cx.prg(Role::P0), Role::P0, rows, len, p0),
        mask.fill(cx.prg(Role::P1), Role::P1, rows, len, p1),
    ]
}

/// Writes P1's shares of the masks of rows to `p1`, and the sums of both shares to `sum`.
pub(crate) fn row_masks<R: Ring, D: Offline>(
    cx: &D,
    mask: RowMask<'_>,
    rows: [usize; 2],
    len: usize,
    p1: &mut [R],
    sum: &mut [R],
) {
    mask_shares(cx, mask, rows, len, [&mut *sum, &mut *p1]);
    add(sum, p1);
}
