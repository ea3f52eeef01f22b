//! Bilinear: matrix product and convolution, forward and both gradients, with average pooling folded
//! in.
//!
//! For openings E = X + A and F = W + B: map(X, W) = map(E, F) - map(E, B) - map(A, F) + map(A, B).
//! P0 takes map(E - A0, F - B0) + C0 = map(E, F) - map(E, B0) - map(A0, F) + map(A0, B0) + C0: one plain
//! product of the shares that it has held since the openings, without a mask in sight. P1 takes
//! C1 - map(E, B1) - map(A1, F). So the dealt C is map(A, B) - map(A0, B0) = map(A0, B1) + map(A1, B).
//! The correction is one word for each *output* element, after pooling. Masks belong to tensors, so a tensor
//! that several products read is opened once.

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
    tensor::{Masks, RowMask, Rows, Whole, mask_parts, negate, row_masks},
};

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
        for (out, &c) in out.iter_mut().zip(&c) {
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

    /// The blocks of `rows` rows: the first row of each, and their number.
    fn blocks(self, rows: usize) -> impl Iterator<Item = [usize; 2]> {
        let block = self.block(rows).max(1);
        (0..rows)
            .step_by(block)
            .map(move |row| [row, block.min(rows - row)])
    }

    /// Words of scratch that a party needs for any of the three products on `rows` samples. P0 with one
    /// sample at a time does with the least.
    pub fn scratch_len(self, role: Role, rows: usize) -> usize {
        let (weights, block) = (self.0.weight_len(), self.block(rows));
        let (input, output) = (self.0.input_len(), self.0.output_len());
        if role == Role::P0 && rows == 1 {
            return self.0.least_scratch_len();
        }
        let products = match role {
            Role::P0 => weights,
            Role::P1 => (weights + block * input)
                .max(2 * weights + block * output)
                .max(block * (input + output)),
        };
        self.0.scratch_len() + products
    }

    /// Words of scratch that the dealer needs.
    pub fn dealer_scratch_len(self, rows: usize) -> usize {
        let (weights, block) = (self.0.weight_len(), self.block(rows));
        let (input, output) = (self.0.input_len(), self.0.output_len());
        let forward = block * (2 * input + output);
        let back = 2 * weights + block * (2 * output + input);
        let gradient = 2 * block * (input + output);
        self.0.scratch_len() + forward.max(back).max(gradient)
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

    /// Sends the corrections of [`Bilinear::forward`], given the masks of the weights.
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
        let (first, scratch) = scratch.split_at_mut(block * input);
        let (second, scratch) = scratch.split_at_mut(block * input);
        let (c, scratch) = scratch.split_at_mut(block * output);
        for [row, count] in self.blocks(span.rows) {
            let parts = [&mut first[..count * input], &mut second[..count * input]];
            let any = mask_parts(cx, x, [row, count], input, parts);
            let c = &mut c[..count * output];
            c.fill(R::ZERO);
            for (any, a, b) in [(any[0], &*first, w.second), (any[1], &*second, w.sum)] {
                if any {
                    self.0.forward(count, &a[..count * input], b, c, scratch);
                }
            }
            let at = (span.first + row as u64) * output as u64;
            deal_words(cx, span.product, at, c)?;
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

    /// Sends the corrections of [`Bilinear::input_gradient`], given the masks of the weights.
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
        let (second_w, scratch) = scratch.split_at_mut(self.0.weight_len());
        let (sum_w, scratch) = scratch.split_at_mut(self.0.weight_len());
        self.0.transpose(w.second, second_w);
        self.0.transpose(w.sum, sum_w);
        let (first, scratch) = scratch.split_at_mut(block * output);
        let (second, scratch) = scratch.split_at_mut(block * output);
        let (c, scratch) = scratch.split_at_mut(block * input);
        for [row, count] in self.blocks(span.rows) {
            let (first, second) = (&mut first[..count * output], &mut second[..count * output]);
            mask_parts(cx, dy, [row, count], output, [&mut *first, &mut *second]);
            let c = &mut c[..count * input];
            c.fill(R::ZERO);
            self.0.input_gradient(count, first, second_w, c, scratch);
            self.0.input_gradient(count, second, sum_w, c, scratch);
            let at = (span.first + row as u64) * input as u64;
            deal_words(cx, span.product, at, c)?;
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

    /// Adds the dealt product of the whole batch to the gradient by the weights.
    pub fn finish_weight_gradient<R: Ring, O: Online>(
        self,
        cx: &mut O,
        product: Address,
        out: &mut [Share<R>],
    ) -> Result<(), LinkError> {
        add_dealt(cx, product, 0, Share::peel_slice_mut(out))
    }

    /// Adds the dealt product of `rows` samples to `sum`, which the dealer sends once for the whole
    /// batch with [`Bilinear::deal_weight_gradient`].
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
        let (first, scratch) = scratch.split_at_mut(block * input);
        let (second, scratch) = scratch.split_at_mut(block * input);
        let (second_g, scratch) = scratch.split_at_mut(block * output);
        let (sum_g, scratch) = scratch.split_at_mut(block * output);
        for [row, count] in self.blocks(rows) {
            let (first, second) = (&mut first[..count * input], &mut second[..count * input]);
            let any = mask_parts(cx, x, [row, count], input, [&mut *first, &mut *second]);
            let (second_g, sum_g) = (
                &mut second_g[..count * output],
                &mut sum_g[..count * output],
            );
            row_masks(cx, dy, [row, count], output, second_g, sum_g);
            for (any, a, g) in [(any[0], first, second_g), (any[1], second, sum_g)] {
                if any {
                    self.0.weight_gradient(count, a, g, sum, scratch);
                }
            }
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

/// Writes P1's part of the masks of `rows` rows of `len` from row `row` on, negated. False when all of it
/// is zero.
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
