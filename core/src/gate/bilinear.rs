//! Bilinear: matrix product and convolution, forward and both gradients, with average pooling folded in. The triples are
//! Beaver's (CRYPTO 1991), with one dealt value per *output* element, after pooling.
//!
//! For openings E = X + A and F = W + B: map(X, W) = map(E, F) - map(E, B) - map(A, F) + map(A, B).
//!
//! - P0 computes map(E - A0, F - B0) + C0 = map(E, F) - map(E, B0) - map(A0, F) + map(A0, B0) + C0. This is one product
//!   of the stored shares E - A0 and F - B0, and needs no masks.
//! - P1 computes C1 - map(E, B1) - map(A1, F).
//! - So the dealt value is C = map(A, B) - map(A0, B0) = map(A0, B1) + map(A1, B).
//!
//! A mask belongs to a tensor, so a tensor is opened once for all products that read it.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    kernel::linear::Linear,
    net::link::LinkError,
    num::ring::Ring,
    prg::{Address, Prg},
    share::{Held, Share},
};

use super::{
    Offline, Online, deal, dealt,
    tensor::{Masks, RowMask, Rows, Whole, mask_shares, negate, row_masks},
};

/// Adds this party's shares of dealt words to `out`; `first` is the offset in the stream.
pub(crate) fn add_dealt<R: Ring, O: Online>(
    cx: &mut O,
    address: Address,
    first: u64,
    out: &mut [R],
) -> Result<(), LinkError> {
    let mut c = [R::ZERO; LANES];
    for (piece, out) in out.chunks_mut(LANES).enumerate() {
        let at = first + (piece * LANES) as u64;
        dealt(cx, address, at, R::BITS, &mut c[..out.len()])?;
        for (out, &c) in out.iter_mut().zip(&c) {
            *out = out.plus(c);
        }
    }
    Ok(())
}

/// The dealer's part of [`add_dealt`]: sends corrections for `values`, and overwrites them.
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

/// The rows of a product, and the stream of its dealt values.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Stream of the dealt values C.
    pub product: Address,
    /// Index in the batch of the first row.
    pub first: u64,
    /// Number of rows.
    pub rows: usize,
}

/// The gate for one bilinear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bilinear(pub Linear);

impl Bilinear {
    /// Rows to multiply at a time.
    fn block(self, rows: usize) -> usize {
        self.0.block().min(rows)
    }

    /// Splits `rows` rows into blocks: `[first row, number of rows]` each.
    fn blocks(self, rows: usize) -> impl Iterator<Item = [usize; 2]> {
        let block = self.block(rows).max(1);
        (0..rows)
            .step_by(block)
            .map(move |row| [row, block.min(rows - row)])
    }

    /// Scratch that a party needs for any of the three products on `rows` samples, in words. For P0 with one sample it is
    /// the least that the kernels need.
    pub fn scratch_len(self, role: Role, rows: usize) -> usize {
        let (weights, block) = (self.0.weight_len(), self.block(rows));
        let (input, output) = (self.0.input_len(), self.0.output_len());
        if role == Role::P0 && rows == 1 {
            return self.0.min_scratch_len();
        }
        let products = match role {
            Role::P0 => weights,
            Role::P1 => (weights + block * input)
                .max(2 * weights + block * output)
                .max(block * (input + output)),
        };
        self.0.scratch_len() + products
    }

    /// Scratch that the dealer needs for any of the three products on `rows` samples, in words.
    pub fn dealer_scratch_len(self, rows: usize) -> usize {
        let (weights, block) = (self.0.weight_len(), self.block(rows));
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let forward = block * (2 * input + output);
        let back = 2 * weights + block * (2 * output + input);
        let gradient = 2 * block * (input + output);
        self.0.scratch_len() + forward.max(back).max(gradient)
    }

    /// Cost of [`Bilinear::forward`] in a ring of `bits` bits: corrections only, without the openings of the tensors.
    pub fn forward_cost(self, bits: u32, rows: usize) -> Cost {
        Cost::dealt(1, rows * self.0.output_len(), bits)
    }

    /// Cost of [`Bilinear::input_gradient`]: corrections only.
    pub fn input_gradient_cost(self, bits: u32, rows: usize) -> Cost {
        Cost::dealt(1, rows * self.0.input_len(), bits)
    }

    /// Cost of the gradient by the weights: corrections only, once per batch.
    pub fn weight_gradient_cost(self, bits: u32) -> Cost {
        Cost::dealt(1, self.0.weight_len(), bits)
    }

    /// Writes shares of map(x, w) to `out`, at scale 2f in Z_2^L, for the rows of `span`.
    pub fn forward<R: Ring, O: Online>(
        self,
        cx: &mut O,
        span: Span,
        x: Rows<'_, R>,
        w: Whole<'_, R>,
        out: &mut [Share<R>],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let (input, output, rows) = (self.0.input_len(), self.0.output_len(), span.rows);
        let out = &mut Share::peel_slice_mut(out)[..rows * output];
        out.fill(R::ZERO);
        add_dealt(cx, span.product, span.first * output as u64, out)?;
        let (e, f) = (Held::peel_slice(x.held), Held::peel_slice(w.held));
        if cx.role() == Role::P0 {
            self.0.forward(rows, e, f, out, scratch);
            return Ok(());
        }
        let (b, scratch) = scratch.split_at_mut(self.0.weight_len());
        let masked = w.mask.fill(cx.prg(), Role::P1, b);
        negate(b);
        let (a, scratch) = scratch.split_at_mut(self.block(rows) * input);
        for [row, count] in self.blocks(rows) {
            let out = &mut out[row * output..][..count * output];
            if masked {
                let e = &e[row * input..][..count * input];
                self.0.forward(count, e, b, out, scratch);
            }
            let a = &mut a[..count * input];
            if negated_masks(cx.prg(), x.mask, [row, count], input, a) {
                self.0.forward(count, a, f, out, scratch);
            }
        }
        Ok(())
    }

    /// Sends the corrections of [`Bilinear::forward`]. `w` holds the masks of the weights.
    pub fn deal_forward<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        span: Span,
        x: RowMask<'_>,
        w: Masks<'_, R>,
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(span.rows);
        let (a0, scratch) = scratch.split_at_mut(block * input);
        let (a1, scratch) = scratch.split_at_mut(block * input);
        let (c, scratch) = scratch.split_at_mut(block * output);
        for [row, count] in self.blocks(span.rows) {
            let shares = [&mut a0[..count * input], &mut a1[..count * input]];
            let any = mask_shares(cx, x, [row, count], input, shares);
            let c = &mut c[..count * output];
            c.fill(R::ZERO);
            for (any, a, b) in [(any[0], &*a0, w.second), (any[1], &*a1, w.sum)] {
                if any {
                    self.0.forward(count, &a[..count * input], b, c, scratch);
                }
            }
            let at = (span.first + row as u64) * output as u64;
            deal_words(cx, span.product, at, c)?;
        }
        Ok(())
    }

    /// Writes shares of the gradient by the input to `out`, at scale 2f in Z_2^L, for the rows of `span`. `dy` is the
    /// opened gradient by the output.
    pub fn input_gradient<R: Ring, O: Online>(
        self,
        cx: &mut O,
        span: Span,
        dy: Rows<'_, R>,
        w: Whole<'_, R>,
        out: &mut [Share<R>],
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let (input, output, rows) = (self.0.input_len(), self.0.output_len(), span.rows);
        let out = &mut Share::peel_slice_mut(out)[..rows * input];
        out.fill(R::ZERO);
        add_dealt(cx, span.product, span.first * input as u64, out)?;
        let e = Held::peel_slice(dy.held);
        if cx.role() == Role::P0 && rows == 1 {
            let w = Held::peel_slice(w.held);
            self.0.input_gradient_of_one(e, w, out, scratch);
            return Ok(());
        }
        let (f, scratch) = scratch.split_at_mut(self.0.weight_len());
        if cx.role() == Role::P0 {
            self.0.transpose(Held::peel_slice(w.held), f);
            self.0.input_gradient(rows, e, f, out, scratch);
            return Ok(());
        }
        let (b, scratch) = scratch.split_at_mut(self.0.weight_len());
        w.mask.fill(cx.prg(), Role::P1, f);
        negate(f);
        self.0.transpose(f, b);
        self.0.transpose(Held::peel_slice(w.held), f);
        let (a, scratch) = scratch.split_at_mut(self.block(rows) * output);
        for [row, count] in self.blocks(rows) {
            let out = &mut out[row * input..][..count * input];
            let e = &e[row * output..][..count * output];
            self.0.input_gradient(count, e, b, out, scratch);
            let a = &mut a[..count * output];
            if negated_masks(cx.prg(), dy.mask, [row, count], output, a) {
                self.0.input_gradient(count, a, f, out, scratch);
            }
        }
        Ok(())
    }

    /// Sends the corrections of [`Bilinear::input_gradient`]. `w` holds the masks of the weights.
    pub fn deal_input_gradient<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        span: Span,
        dy: RowMask<'_>,
        w: Masks<'_, R>,
        scratch: &mut [R],
    ) -> Result<(), LinkError> {
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let block = self.block(span.rows);
        let (w1, scratch) = scratch.split_at_mut(self.0.weight_len());
        let (w_sum, scratch) = scratch.split_at_mut(self.0.weight_len());
        self.0.transpose(w.second, w1);
        self.0.transpose(w.sum, w_sum);
        let (a0, scratch) = scratch.split_at_mut(block * output);
        let (a1, scratch) = scratch.split_at_mut(block * output);
        let (c, scratch) = scratch.split_at_mut(block * input);
        for [row, count] in self.blocks(span.rows) {
            let (a0, a1) = (&mut a0[..count * output], &mut a1[..count * output]);
            mask_shares(cx, dy, [row, count], output, [&mut *a0, &mut *a1]);
            let c = &mut c[..count * input];
            c.fill(R::ZERO);
            self.0.input_gradient(count, a0, w1, c, scratch);
            self.0.input_gradient(count, a1, w_sum, c, scratch);
            let at = (span.first + row as u64) * input as u64;
            deal_words(cx, span.product, at, c)?;
        }
        Ok(())
    }

    /// Adds this party's local part of the gradient by the weights over `rows` samples to `out`, at scale 2f in Z_2^L.
    /// [`Bilinear::finish_weight_gradient`] adds the dealt part, once per batch.
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
        let out = Share::peel_slice_mut(out);
        let (e, f) = (Held::peel_slice(x.held), Held::peel_slice(dy.held));
        if cx.role() == Role::P0 {
            self.0.weight_gradient(rows, e, f, out, scratch);
            return;
        }
        let block = self.block(rows);
        let (a, scratch) = scratch.split_at_mut(block * input);
        let (b, scratch) = scratch.split_at_mut(block * output);
        for [row, count] in self.blocks(rows) {
            let e = &e[row * input..][..count * input];
            let f = &f[row * output..][..count * output];
            let (a, b) = (&mut a[..count * input], &mut b[..count * output]);
            if negated_masks(cx.prg(), dy.mask, [row, count], output, b) {
                self.0.weight_gradient(count, e, b, out, scratch);
            }
            if negated_masks(cx.prg(), x.mask, [row, count], input, a) {
                self.0.weight_gradient(count, a, f, out, scratch);
            }
        }
    }

    /// Adds shares of the batch's dealt values to the gradient by the weights.
    pub fn finish_weight_gradient<R: Ring, O: Online>(
        self,
        cx: &mut O,
        product: Address,
        out: &mut [Share<R>],
    ) -> Result<(), LinkError> {
        add_dealt(cx, product, 0, Share::peel_slice_mut(out))
    }

    /// Adds the dealt values of `rows` samples to `sum`. The dealer sends the batch's sum with
    /// [`Bilinear::deal_weight_gradient`].
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
        let (a0, scratch) = scratch.split_at_mut(block * input);
        let (a1, scratch) = scratch.split_at_mut(block * input);
        let (g1, scratch) = scratch.split_at_mut(block * output);
        let (g_sum, scratch) = scratch.split_at_mut(block * output);
        for [row, count] in self.blocks(rows) {
            let (a0, a1) = (&mut a0[..count * input], &mut a1[..count * input]);
            let any = mask_shares(cx, x, [row, count], input, [&mut *a0, &mut *a1]);
            let (g1, g_sum) = (&mut g1[..count * output], &mut g_sum[..count * output]);
            row_masks(cx, dy, [row, count], output, g1, g_sum);
            for (any, a, g) in [(any[0], a0, g1), (any[1], a1, g_sum)] {
                if any {
                    self.0.weight_gradient(count, a, g, sum, scratch);
                }
            }
        }
    }

    /// Sends the corrections of the batch's gradient by the weights; overwrites `sum`.
    pub fn deal_weight_gradient<R: Ring, D: Offline>(
        self,
        cx: &mut D,
        product: Address,
        sum: &mut [R],
    ) -> Result<(), LinkError> {
        deal_words(cx, product, 0, sum)
    }
}

/// Writes P1's share of the masks of rows (`[first row, number of rows]`), negated. Returns false if all of it is zero.
fn negated_masks<R: Ring>(
    prg: &Prg,
    mask: RowMask<'_>,
    rows: [usize; 2],
    len: usize,
    out: &mut [R],
) -> bool {
    let any = mask.fill(prg, Role::P1, rows, len, out);
    if any {
        negate(out);
    }
    any
}
