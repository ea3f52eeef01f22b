//! Bilinear: matrix product and convolution, forward and both gradients, with average pooling folded
//! in.
//!
//! For openings E = X + A and F = W + B, with C = map(A, B) dealt:
//! map(X, W) = map(E, F) - map(E, B) - map(A, F) + C. P0 computes map(E, F - B0) - map(A0, F) + C0 and
//! P1 computes -map(E, B1) - map(A1, F) + C1: two plain products each. The correction is one word for
//! each *output* element, after pooling. Masks belong to tensors, so a tensor that several products
//! read is opened once.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    kernel::linear::Linear,
    link::LinkError,
    prg::Address,
    ring::Ring,
    sharing::{Public, Share},
};

use super::{
    Offline, Online, deal, dealt,
    tensor::{RowMask, Rows, Whole, mask_sum},
};

/// This party's share of an operand from its opening and the party's mask share, in place of the
/// latter: the opening counts for P0 alone.
fn share_of<R: Ring>(role: Role, opened: &[Public<R>], mask: &mut [R]) {
    let public = match role {
        Role::P0 => R::MAX,
        Role::P1 => R::ZERO,
    };
    for (mask, opened) in mask.iter_mut().zip(Public::peel_slice(opened)) {
        *mask = opened.and(public).minus(*mask);
    }
}

fn negate<R: Ring>(words: &mut [R]) {
    for word in words {
        *word = word.negated();
    }
}

/// Adds this party's shares of dealt words, `first` of the stream on.
pub(crate) fn add_dealt<R: Ring, O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    out: &mut [R],
) -> Result<(), LinkError> {
    for (piece, out) in out.chunks_mut(LANES).enumerate() {
        let mut c = [R::ZERO; LANES];
        let at = first + (piece * LANES) as u64;
        dealt(cx, address, at, R::BITS, &mut c[..out.len()])?;
        for (out, c) in out.iter_mut().zip(c) {
            *out = out.plus(c);
        }
    }
    Ok(())
}

/// The dealer's side of [`add_dealt`]; `values` are overwritten.
pub(crate) fn deal_words<R: Ring, D: Offline>(
    cx: &mut D,
    address: Address,
    first: u64,
    values: &mut [R],
) -> Result<(), LinkError> {
    for (piece, values) in values.chunks_mut(LANES).enumerate() {
        deal(cx, address, first + (piece * LANES) as u64, R::BITS, values)?;
    }
    Ok(())
}

/// The rows that a product is made for, and where its dealt part stands.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Stream of the dealt product.
    pub product: Address,
    /// Place in the whole batch of the first row.
    pub first: u64,
    /// Number of rows.
    pub rows: usize,
}

/// The gate for one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bilinear(pub Linear);

impl Bilinear {
    fn block(self, rows: usize) -> usize {
        self.0.block().min(rows)
    }

    /// Words of scratch that a party needs for any of the three products on `rows` samples.
    pub fn scratch_len(self, rows: usize) -> usize {
        let block = self.block(rows);
        let forward = self.0.weight_len() + block * self.0.input_len();
        let input = 2 * self.0.weight_len() + block * self.0.output_len();
        let weight = block * (self.0.input_len() + self.0.output_len());
        self.0.scratch_len() + forward.max(input).max(weight)
    }

    /// Words of scratch that the dealer needs.
    pub fn dealer_scratch_len(self, rows: usize) -> usize {
        let block = self.block(rows);
        let rows = 2 * block * (self.0.input_len() + self.0.output_len());
        self.0.scratch_len() + self.0.weight_len() + rows
    }

    /// Corrections of [`Bilinear::forward`] in a ring of `bits` bits; the tensors pay for openings.
    pub fn forward_cost(self, bits: u32, rows: usize) -> Cost {
        Cost::dealt(1, rows * self.0.output_len(), bits)
    }

    /// Corrections of [`Bilinear::input_gradient`].
    pub fn input_gradient_cost(self, bits: u32, rows: usize) -> Cost {
        Cost::dealt(1, rows * self.0.input_len(), bits)
    }

    /// Corrections of [`Bilinear::weight_gradient`], once for the whole batch.
    pub fn weight_gradient_cost(self, bits: u32) -> Cost {
        Cost::dealt(1, self.0.weight_len(), bits)
    }

    /// Shares of map(x, w) for `rows` samples, at scale 2f in Z_2^L.
    pub fn forward<R: Ring, O: Online>(
        self,
        cx: &mut O,
        span: Span,
        x: Rows<'_, R>,
        w: Whole<'_, R>,
        out: &mut [Share<R>],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let Span {
            product,
            first,
            rows,
        } = span;
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let out = &mut Share::peel_slice_mut(out)[..rows * output];
        out.fill(R::ZERO);
        add_dealt(cx, product, first * output as u64, out)?;
        let (w_share, scratch) = scratch.split_at_mut(self.0.weight_len());
        cx.prg().fill(w.mask, 0, w_share);
        share_of(cx.role(), w.opened, w_share);
        let (left, scratch) = scratch.split_at_mut(self.block(rows) * input);
        let opened = Public::peel_slice(x.opened);
        for row in (0..rows).step_by(self.block(rows)) {
            let count = self.block(rows).min(rows - row);
            let out = &mut out[row * output..][..count * output];
            let e = &opened[row * input..][..count * input];
            self.0.forward(count, e, w_share, out, scratch);
            let left = &mut left[..count * input];
            if x.mask.fill(cx.prg(), cx.role(), [row, count], input, left) {
                negate(left);
                let f = Public::peel_slice(w.opened);
                self.0.forward(count, left, f, out, scratch);
            }
        }
        Ok(())
    }

    /// Sends the corrections of [`Bilinear::forward`], given the masks of the weights.
    pub fn deal_forward<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        span: Span,
        x: RowMask<'_>,
        w: &[R],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let Span {
            product,
            first,
            rows,
        } = span;
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(rows);
        let (a, scratch) = scratch.split_at_mut(block * input);
        let (other, scratch) = scratch.split_at_mut(block * input);
        let (c, scratch) = scratch.split_at_mut(block * output);
        for row in (0..rows).step_by(block) {
            let count = block.min(rows - row);
            let a = &mut a[..count * input];
            mask_sum(cx, x, [row, count], input, a, other);
            let c = &mut c[..count * output];
            c.fill(R::ZERO);
            self.0.forward(count, a, w, c, scratch);
            deal_words(cx, product, (first + row as u64) * output as u64, c)?;
        }
        Ok(())
    }

    /// Shares of the gradient by the input for `rows` samples, at scale 2f in Z_2^L, from the opened
    /// gradient by the output.
    pub fn input_gradient<R: Ring, O: Online>(
        self,
        cx: &mut O,
        span: Span,
        dy: Rows<'_, R>,
        w: Whole<'_, R>,
        out: &mut [Share<R>],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let Span {
            product,
            first,
            rows,
        } = span;
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let out = &mut Share::peel_slice_mut(out)[..rows * input];
        out.fill(R::ZERO);
        add_dealt(cx, product, first * input as u64, out)?;
        let (f, scratch) = scratch.split_at_mut(self.0.weight_len());
        let (w_share, scratch) = scratch.split_at_mut(self.0.weight_len());
        cx.prg().fill(w.mask, 0, f);
        share_of(cx.role(), w.opened, f);
        self.0.transpose(f, w_share);
        self.0.transpose(Public::peel_slice(w.opened), f);
        let (left, scratch) = scratch.split_at_mut(self.block(rows) * output);
        let opened = Public::peel_slice(dy.opened);
        for row in (0..rows).step_by(self.block(rows)) {
            let count = self.block(rows).min(rows - row);
            let out = &mut out[row * input..][..count * input];
            let e = &opened[row * output..][..count * output];
            self.0.input_gradient(count, e, w_share, out, scratch);
            let left = &mut left[..count * output];
            dy.mask
                .fill(cx.prg(), cx.role(), [row, count], output, left);
            negate(left);
            self.0.input_gradient(count, left, f, out, scratch);
        }
        Ok(())
    }

    /// Sends the corrections of [`Bilinear::input_gradient`], given the masks of the weights.
    pub fn deal_input_gradient<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        span: Span,
        dy: RowMask<'_>,
        w: &[R],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let Span {
            product,
            first,
            rows,
        } = span;
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(rows);
        let (wt, scratch) = scratch.split_at_mut(self.0.weight_len());
        self.0.transpose(w, wt);
        let (g, scratch) = scratch.split_at_mut(block * output);
        let (other, scratch) = scratch.split_at_mut(block * output);
        let (c, scratch) = scratch.split_at_mut(block * input);
        for row in (0..rows).step_by(block) {
            let count = block.min(rows - row);
            let g = &mut g[..count * output];
            mask_sum(cx, dy, [row, count], output, g, other);
            let c = &mut c[..count * input];
            c.fill(R::ZERO);
            self.0.input_gradient(count, g, wt, c, scratch);
            deal_words(cx, product, (first + row as u64) * input as u64, c)?;
        }
        Ok(())
    }

    /// Adds shares of the gradient by the weights over `rows` samples to `out`, at scale 2f in Z_2^L,
    /// all but the dealt product, which [`Bilinear::finish_weight_gradient`] adds once.
    pub fn weight_gradient<R: Ring, O: Online>(
        self,
        cx: &O,
        rows: usize,
        x: Rows<'_, R>,
        dy: Rows<'_, R>,
        out: &mut [Share<R>],
        scratch: &mut [R],
    ) {
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(rows);
        let out = Share::peel_slice_mut(out);
        let (left, scratch) = scratch.split_at_mut(block * input);
        let (right, scratch) = scratch.split_at_mut(block * output);
        for row in (0..rows).step_by(block) {
            let count = block.min(rows - row);
            let span = row * output..(row + count) * output;
            let g_share = &mut right[..count * output];
            dy.mask
                .fill(cx.prg(), cx.role(), [row, count], output, g_share);
            share_of(cx.role(), &dy.opened[span.clone()], g_share);
            let e = &Public::peel_slice(x.opened)[row * input..][..count * input];
            self.0.weight_gradient(count, e, g_share, out, scratch);
            let left = &mut left[..count * input];
            if x.mask.fill(cx.prg(), cx.role(), [row, count], input, left) {
                negate(left);
                let g = &Public::peel_slice(dy.opened)[span];
                self.0.weight_gradient(count, left, g, out, scratch);
            }
        }
    }

    /// Adds the dealt product of the whole batch to the gradient by the weights.
    pub fn finish_weight_gradient<R: Ring, O: Online>(
        self,
        cx: &mut O,
        product: Address,
        out: &mut [Share<R>],
    ) -> Result<(), LinkError> {
        add_dealt(cx, product, 0, Share::peel_slice_mut(out))
    }

    /// Adds the product of the masks over `rows` samples to `sum`, which the dealer sends once for
    /// the whole batch with [`Bilinear::deal_weight_gradient`].
    pub fn accumulate_weight_gradient<R: Ring, D: Offline>(
        self,
        cx: &D,
        rows: usize,
        x: RowMask<'_>,
        dy: RowMask<'_>,
        sum: &mut [R],
        scratch: &mut [R],
    ) {
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(rows);
        let (a, scratch) = scratch.split_at_mut(block * input);
        let (g, scratch) = scratch.split_at_mut(block * output);
        let (other, scratch) = scratch.split_at_mut(block * input.max(output));
        for row in (0..rows).step_by(block) {
            let count = block.min(rows - row);
            let (a, g) = (&mut a[..count * input], &mut g[..count * output]);
            mask_sum(cx, x, [row, count], input, a, other);
            mask_sum(cx, dy, [row, count], output, g, other);
            self.0.weight_gradient(count, a, g, sum, scratch);
        }
    }

    /// Sends the corrections of the whole batch's gradient by the weights; `sum` is overwritten.
    pub fn deal_weight_gradient<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        product: Address,
        sum: &mut [R],
    ) -> Result<(), LinkError> {
        deal_words(cx, product, 0, sum)
    }
}
