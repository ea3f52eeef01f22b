//! Convolution with average pooling folded in, without a patch matrix.
//!
//! Pooling is linear. So the sum of a convolution's outputs over a pool window is a convolution of larger
//! stride over window sums of its *input*. These window sums form the *box image*. They cost a few additions
//! and divide the size of the product by the pool area, for example by 4 for a 2x2 pool, in both passes. The
//! openings do not change, because the sums are linear in openings and masks too.
//!
//! Images are row-major with channels innermost, `[height][width][channels]`. Weights are
//! `[kernel rows][kernel columns][inputs][outputs]`. Lengths and distances count elements.

use super::product::Product;
use crate::num::scalar::Scalar;

/// The most columns of a panel: the weights that [`Conv::input_gradient_of_one`] transposes at a time.
const PANEL: usize = 32;

/// Shape of a convolution followed by sums over `pool` x `pool` windows; `pool` is 1 for no pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Input rows.
    pub height: usize,
    /// Input columns.
    pub width: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows and columns of the kernel.
    pub kernel: [u8; 2],
    /// Step between outputs before pooling.
    pub stride: usize,
    /// Rows of zeros above and below the input, and columns of zeros on its left and right.
    pub padding: [u8; 2],
    /// Rows and columns of a pool window, and the step between windows.
    pub pool: usize,
}

impl Conv {
    /// Rows or columns of the kernel, by the axis.
    pub fn kernel_side(&self, axis: usize) -> usize {
        self.kernel[axis].into()
    }

    /// Rows or columns of zeros before and after the input, by the axis.
    pub fn padding_side(&self, axis: usize) -> usize {
        self.padding[axis].into()
    }

    /// Output rows and columns before pooling.
    pub fn unpooled(&self) -> [usize; 2] {
        let size = |side: usize, axis: usize| {
            (side + 2 * self.padding_side(axis) - self.kernel_side(axis)) / self.stride + 1
        };
        [size(self.height, 0), size(self.width, 1)]
    }

    /// Output rows and columns after pooling.
    pub fn output(&self) -> [usize; 2] {
        self.unpooled().map(|n| n / self.pool)
    }

    /// Input values per sample.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Output values per sample.
    pub fn output_len(&self) -> usize {
        self.output()[0] * self.output()[1] * self.outputs
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.kernel_side(0) * self.kernel_side(1) * self.inputs * self.outputs
    }

    /// Rows and columns of the box image.
    fn boxed(&self) -> [usize; 2] {
        let reach = self.stride * (self.pool - 1);
        let side = |side: usize, axis: usize| side + 2 * self.padding_side(axis) - reach;
        [side(self.height, 0), side(self.width, 1)]
    }

    /// Elements of scratch with which each product runs fastest: a whole box image.
    pub fn scratch_len(&self) -> usize {
        let [height, width] = self.boxed();
        height * width * self.inputs
    }

    /// The fewest elements of scratch with which each product of one sample runs: the rows of the box image
    /// that an output row reads, and a panel of transposed weights.
    pub fn min_scratch_len(&self) -> usize {
        self.kernel_side(0) * self.boxed()[1] * self.inputs + self.outputs * self.panel()
    }

    /// Columns of a panel.
    fn panel(&self) -> usize {
        PANEL.min(self.kernel_side(1) * self.inputs)
    }

    /// Step in the box image between outputs after pooling.
    fn pooled_stride(&self) -> usize {
        self.stride * self.pool
    }

    /// Distances in the box image between output rows, output columns and kernel rows, in elements.
    fn steps(&self) -> [usize; 3] {
        let row = self.boxed()[1] * self.inputs;
        [
            self.pooled_stride() * row,
            self.pooled_stride() * self.inputs,
            row,
        ]
    }

    /// Output rows to compute at a time when the box image has `room` elements; at least one.
    fn band(&self, room: usize) -> usize {
        let [row, _, _] = self.steps();
        let extra = (self.kernel_side(0) * self.boxed()[1] * self.inputs).min(room);
        (1 + (room - extra) / row.max(1)).min(self.output()[0])
    }

    /// Splits the output rows into bands that fit `room`: `[first row, number of rows]` each.
    fn bands(&self, room: usize) -> impl Iterator<Item = [usize; 2]> + use<> {
        let (height, band) = (self.output()[0], self.band(room));
        (0..height)
            .step_by(band)
            .map(move |y| [y, band.min(height - y)])
    }

    /// Rows of the box image that a band of output rows reads: `[first row, number of rows]`.
    fn box_rows(&self, [y, count]: [usize; 2]) -> [usize; 2] {
        let stride = self.pooled_stride();
        [y * stride, (count - 1) * stride + self.kernel_side(0)]
    }

    /// Calls `visit(sum, pixel, len)` for `rows` rows of the box image from row `first` on, for each run of elements that are
    /// added to window sums. `sum` and `pixel` are the offsets of the run's first element in the box image, where it counts
    /// from row `first`, and in the input. `columns` are the columns of a window, in the order of the visits.
    fn each_run(
        &self,
        [first, rows]: [usize; 2],
        columns: impl Iterator<Item = usize> + Clone,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        let width = self.boxed()[1];
        for row in 0..rows {
            for dy in 0..self.pool {
                let y = (first + row + dy * self.stride).wrapping_sub(self.padding_side(0));
                if y >= self.height {
                    continue;
                }
                for dx in columns.clone() {
                    // The columns of the box image whose pixels are inside the input.
                    let reach = dx * self.stride;
                    let start = self.padding_side(1).saturating_sub(reach);
                    let end = (self.width + self.padding_side(1))
                        .saturating_sub(reach)
                        .min(width);
                    if start < end {
                        let sum = (row * width + start) * self.inputs;
                        let pixel = y * self.width + start + reach - self.padding_side(1);
                        visit(sum, pixel * self.inputs, (end - start) * self.inputs);
                    }
                }
            }
        }
    }

    /// Computes `rows` (`[first row, number of rows]`) of the box image from the zero-padded `image`.
    fn gather<T: Scalar>(&self, rows: [usize; 2], image: &[T], boxed: &mut [T]) {
        boxed[..rows[1] * self.boxed()[1] * self.inputs].fill(T::default());
        self.each_run(rows, 0..self.pool, |sum, pixel, len| {
            add(&mut boxed[sum..sum + len], &image[pixel..pixel + len]);
        });
    }

    /// The transpose of [`Conv::gather`], added to `image`.
    fn scatter<T: Scalar>(&self, rows: [usize; 2], boxed: &[T], image: &mut [T]) {
        // A pixel's sums are added from left to right.
        self.each_run(rows, (0..self.pool).rev(), |sum, pixel, len| {
            add(&mut image[pixel..pixel + len], &boxed[sum..sum + len]);
        });
    }

    /// `out += pool(conv(x, w))` for `rows` samples. `scratch` has at least the rows of the box image that one
    /// output row reads; [`Conv::scratch_len`] elements are fastest. This holds for the gradients too.
    pub fn forward<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        w: &[T],
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let [_, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = Product {
            rows: out_width,
            columns: self.outputs,
            outer: self.kernel_side(0),
            inner: self.kernel_side(1) * self.inputs,
            a_row: column_step,
            a_outer: kernel_step,
            a_inner: 1,
            out_row: self.outputs,
        };
        for row in 0..rows {
            let x = &x[row * self.input_len()..][..self.input_len()];
            let out = &mut out[row * self.output_len()..][..self.output_len()];
            for [first, count] in self.bands(scratch.len()) {
                self.gather(self.box_rows([first, count]), x, scratch);
                for y in 0..count {
                    let out = &mut out[(first + y) * out_width * self.outputs..];
                    product.accumulate(out, &scratch[y * row_step..], w);
                }
            }
        }
    }

    /// `dw +=` the gradient of [`Conv::forward`] by its weights, summed over `rows` samples.
    pub fn weight_gradient<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        dy: &[T],
        dw: &mut [T],
        scratch: &mut [T],
    ) {
        let [_, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = |count| Product {
            rows: self.kernel_side(1) * self.inputs,
            columns: self.outputs,
            outer: count,
            inner: out_width,
            a_row: 1,
            a_outer: row_step,
            a_inner: column_step,
            out_row: self.outputs,
        };
        let kernel_row = self.kernel_side(1) * self.inputs * self.outputs;
        for row in 0..rows {
            let x = &x[row * self.input_len()..][..self.input_len()];
            let dy = &dy[row * self.output_len()..][..self.output_len()];
            for [first, count] in self.bands(scratch.len()) {
                self.gather(self.box_rows([first, count]), x, scratch);
                let dy = &dy[first * out_width * self.outputs..];
                for ky in 0..self.kernel_side(0) {
                    let dw = &mut dw[ky * kernel_row..][..kernel_row];
                    product(count).accumulate(dw, &scratch[ky * kernel_step..], dy);
                }
            }
        }
    }

    /// `dx +=` the gradient of [`Conv::forward`] by its input, for `rows` samples. `wt` holds the
    /// weights as [`Conv::transpose`] arranges them.
    pub fn input_gradient<T: Scalar>(
        &self,
        rows: usize,
        dy: &[T],
        wt: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        let [_, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = Product {
            rows: out_width,
            columns: self.kernel_side(1) * self.inputs,
            outer: 1,
            inner: self.outputs,
            a_row: self.outputs,
            a_outer: 0,
            a_inner: 1,
            out_row: column_step,
        };
        let kernel_row = self.kernel_side(1) * self.inputs * self.outputs;
        for row in 0..rows {
            let dy = &dy[row * self.output_len()..][..self.output_len()];
            let dx = &mut dx[row * self.input_len()..][..self.input_len()];
            for [first, count] in self.bands(scratch.len()) {
                let box_rows = self.box_rows([first, count]);
                scratch[..box_rows[1] * kernel_step].fill(T::default());
                for y in 0..count {
                    let dy = &dy[(first + y) * out_width * self.outputs..];
                    for ky in 0..self.kernel_side(0) {
                        let to = &mut scratch[y * row_step + ky * kernel_step..];
                        product.accumulate(to, dy, &wt[ky * kernel_row..][..kernel_row]);
                    }
                }
                self.scatter(box_rows, scratch, dx);
            }
        }
    }

    /// As [`Conv::input_gradient`] for one sample, with `w` in its usual order. It reads a panel of the
    /// weights at a time, so `scratch` needs only [`Conv::min_scratch_len`] elements.
    pub fn input_gradient_of_one<T: Scalar>(
        &self,
        dy: &[T],
        w: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        let [_, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let (panel, boxed) = scratch.split_at_mut(self.outputs * self.panel());
        let columns = self.kernel_side(1) * self.inputs;
        for [first, count] in self.bands(boxed.len()) {
            let box_rows = self.box_rows([first, count]);
            boxed[..box_rows[1] * kernel_step].fill(T::default());
            let panels = (0..self.kernel_side(0))
                .flat_map(|ky| (0..columns).step_by(self.panel()).map(move |at| (ky, at)));
            for (ky, column) in panels {
                let width = self.panel().min(columns - column);
                let from = &w[(ky * columns + column) * self.outputs..];
                // Small processors transpose as they multiply.
                if cfg!(not(target_pointer_width = "32")) {
                    transpose(width, self.outputs, from, panel);
                }
                let product = Product {
                    rows: out_width,
                    columns: width,
                    outer: 1,
                    inner: self.outputs,
                    a_row: self.outputs,
                    a_outer: 0,
                    a_inner: 1,
                    out_row: column_step,
                };
                for y in 0..count {
                    let dy = &dy[(first + y) * out_width * self.outputs..];
                    let to = &mut boxed[y * row_step + ky * kernel_step + column..];
                    #[cfg(not(target_pointer_width = "32"))]
                    product.accumulate(to, dy, panel);
                    #[cfg(target_pointer_width = "32")]
                    product.accumulate_transposed(to, dy, from);
                }
            }
            self.scatter(box_rows, boxed, dx);
        }
    }

    /// Writes the weights to `wt` as `[kernel rows][outputs][kernel columns][inputs]`, for [`Conv::input_gradient`].
    pub fn transpose<T: Scalar>(&self, w: &[T], wt: &mut [T]) {
        let (rows, columns) = (self.kernel_side(1) * self.inputs, self.outputs);
        let kernel_row = rows * columns;
        for (w, wt) in w
            .chunks_exact(kernel_row)
            .zip(wt.chunks_exact_mut(kernel_row))
        {
            transpose(rows, columns, w, wt);
        }
    }
}

/// Adds `from` to `to`, which has the same length.
#[inline(always)]
fn add<T: Scalar>(to: &mut [T], from: &[T]) {
    // By four, for compilers that optimise for size.
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut(), from.as_chunks());
    for ([t0, t1, t2, t3], &[f0, f1, f2, f3]) in to.iter_mut().zip(from) {
        *t0 = t0.add(f0);
        *t1 = t1.add(f1);
        *t2 = t2.add(f2);
        *t3 = t3.add(f3);
    }
    for (to, &from) in to_rest.iter_mut().zip(from_rest) {
        *to = to.add(from);
    }
}

/// Transposes `matrix[rows][columns]` into `out[columns][rows]`.
pub fn transpose<T: Scalar>(rows: usize, columns: usize, matrix: &[T], out: &mut [T]) {
    for row in 0..rows {
        for column in 0..columns {
            out[column * rows + row] = matrix[row * columns + column];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::{vec, vec::Vec};

    fn numbers(len: usize, seed: u64) -> Vec<u64> {
        (0..len as u64)
            .map(|i| {
                (i + 1)
                    .wrapping_mul(seed)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    >> 7
            })
            .collect()
    }

    /// Calls `term(pixel, weight, output)` for each product of the definition: convolution, then window sums.
    fn terms(conv: &Conv, mut term: impl FnMut(usize, usize, usize)) {
        let [rows, columns] = conv.output();
        for (y, x) in (0..rows * columns).map(|p| (p / columns, p % columns)) {
            for (dy, dx) in (0..conv.pool * conv.pool).map(|d| (d / conv.pool, d % conv.pool)) {
                let [kernel_rows, kernel_columns] = conv.kernel.map(usize::from);
                let places = 0..kernel_rows * kernel_columns;
                for (ky, kx) in places.map(|k| (k / kernel_columns, k % kernel_columns)) {
                    let row = (y * conv.pool + dy) * conv.stride + ky;
                    let column = (x * conv.pool + dx) * conv.stride + kx;
                    let [above, left] = conv.padding.map(usize::from);
                    let inside = |n: usize, before, size| n >= before && n - before < size;
                    if !inside(row, above, conv.height) || !inside(column, left, conv.width) {
                        continue;
                    }
                    for i in 0..conv.inputs {
                        for o in 0..conv.outputs {
                            let pixel = ((row - above) * conv.width + column - left) * conv.inputs;
                            let pixel = pixel + i;
                            let place = ky * kernel_columns + kx;
                            let weight = (place * conv.inputs + i) * conv.outputs + o;
                            term(pixel, weight, (y * columns + x) * conv.outputs + o);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_product_equals_its_definition() {
        let mut shapes = Vec::new();
        for (height, width) in [(8, 8), (7, 9), (12, 5)] {
            for (kernel, padding) in [
                ([1, 1], [0, 0]),
                ([3, 3], [1, 1]),
                ([3, 3], [0, 0]),
                ([5, 5], [2, 2]),
                ([2, 2], [1, 1]),
                ([1, 5], [0, 2]),
                ([4, 3], [3, 0]),
            ] {
                for stride in [1, 2, 3] {
                    for pool in [1, 2, 3] {
                        for (inputs, outputs) in [(1, 5), (3, 2)] {
                            shapes.push(Conv {
                                height,
                                width,
                                inputs,
                                outputs,
                                kernel,
                                stride,
                                padding,
                                pool,
                            });
                        }
                    }
                }
            }
        }
        for conv in shapes {
            if conv.output().contains(&0) {
                continue;
            }
            let rows = 2;
            let x = numbers(rows * conv.input_len(), 3);
            let w = numbers(conv.weight_len(), 5);
            let dy = numbers(rows * conv.output_len(), 7);
            let mut wt = vec![0; w.len()];
            conv.transpose(&w, &mut wt);
            let mut scratch = vec![99; conv.scratch_len()];
            let mut least = vec![99; conv.min_scratch_len()];
            let (mut y, mut dw, mut dx) = (
                numbers(dy.len(), 11),
                numbers(w.len(), 13),
                numbers(x.len(), 17),
            );
            let (mut y_want, mut dw_want, mut dx_want) = (y.clone(), dw.clone(), dx.clone());
            let [mut y_least, mut dw_least, mut dx_least] = [y.clone(), dw.clone(), dx.clone()];
            conv.forward(rows, &x, &w, &mut y, &mut scratch);
            conv.weight_gradient(rows, &x, &dy, &mut dw, &mut scratch);
            conv.input_gradient(rows, &dy, &wt, &mut dx, &mut scratch);
            // The results with the least scratch are the same.
            conv.forward(rows, &x, &w, &mut y_least, &mut least);
            conv.weight_gradient(rows, &x, &dy, &mut dw_least, &mut least);
            let each = dx_least.chunks_exact_mut(conv.input_len());
            for (dx, dy) in each.zip(dy.chunks_exact(conv.output_len())) {
                conv.input_gradient_of_one(dy, &w, dx, &mut least);
            }
            assert!(y == y_least && dw == dw_least && dx == dx_least, "{conv:?}");
            for row in 0..rows {
                let (x0, y0) = (row * conv.input_len(), row * conv.output_len());
                terms(&conv, |i, k, o| {
                    y_want[y0 + o] = y_want[y0 + o].multiply_add(x[x0 + i], w[k]);
                    dw_want[k] = dw_want[k].multiply_add(x[x0 + i], dy[y0 + o]);
                    dx_want[x0 + i] = dx_want[x0 + i].multiply_add(dy[y0 + o], w[k]);
                });
            }
            assert_eq!(y, y_want, "{conv:?}");
            assert_eq!(dw, dw_want, "{conv:?}");
            assert_eq!(dx, dx_want, "{conv:?}");
        }
    }
}
