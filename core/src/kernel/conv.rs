//! Convolution with average pooling folded in, without a patch matrix.
//!
//! Pooling is linear, so the sum over a pool window of a convolution's outputs is a convolution of
//! larger stride over window sums of its *input*. Those window sums (the *box image*) cost a few
//! additions, and the product shrinks by the pool area: 4 times for a 2x2 pool, forward and
//! backward. Nothing about what is opened changes: the sums act on openings and masks alike.
//!
//! Images are stored row by row, channels innermost: `[height][width][channels]`. Weights are
//! `[kernel][kernel][inputs][outputs]`.

use super::product::Product;
use crate::scalar::Scalar;

/// Shape of a convolution followed by a sum over `pool` x `pool` windows (1 for none).
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
    pub kernel: usize,
    /// Step between outputs before pooling.
    pub stride: usize,
    /// Rows and columns of zeros around the input.
    pub padding: usize,
    /// Side of the pool window, whose step equals its side.
    pub pool: usize,
}

impl Conv {
    /// Output rows and columns before pooling.
    pub fn unpooled(&self) -> [usize; 2] {
        let size = |n: usize| (n + 2 * self.padding - self.kernel) / self.stride + 1;
        [size(self.height), size(self.width)]
    }

    /// Output rows and columns.
    pub fn output(&self) -> [usize; 2] {
        self.unpooled().map(|n| n / self.pool)
    }

    /// Values in, per sample.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Values out, per sample.
    pub fn output_len(&self) -> usize {
        self.output()[0] * self.output()[1] * self.outputs
    }

    /// Number of weights.
    pub fn weight_len(&self) -> usize {
        self.kernel * self.kernel * self.inputs * self.outputs
    }

    /// Rows and columns of the box image.
    fn boxed(&self) -> [usize; 2] {
        let reach = self.stride * (self.pool - 1);
        [self.height, self.width].map(|n| n + 2 * self.padding - reach)
    }

    /// Elements of scratch that each kernel needs for its box image.
    pub fn scratch_len(&self) -> usize {
        let [height, width] = self.boxed();
        height * width * self.inputs
    }

    fn pooled_stride(&self) -> usize {
        self.stride * self.pool
    }

    /// Distance in the box image between output rows, output columns and kernel rows.
    fn steps(&self) -> [usize; 3] {
        let row = self.boxed()[1] * self.inputs;
        [
            self.pooled_stride() * row,
            self.pooled_stride() * self.inputs,
            row,
        ]
    }

    /// Pairs each input row (or column) with those of the box image it adds to.
    fn box_range(&self, at: usize, limit: usize) -> impl Iterator<Item = usize> + use<> {
        let (padded, stride) = (at + self.padding, self.stride);
        (0..self.pool)
            .filter_map(move |d| padded.checked_sub(d * stride))
            .filter(move |&target| target < limit)
    }

    /// Fills `boxed` with the window sums of the zero-padded image.
    fn gather<T: Scalar>(&self, image: &[T], boxed: &mut [T]) {
        let [height, width] = self.boxed();
        boxed.fill(T::default());
        for y in 0..self.height {
            for target_y in self.box_range(y, height) {
                for x in 0..self.width {
                    let from = &image[(y * self.width + x) * self.inputs..][..self.inputs];
                    for target_x in self.box_range(x, width) {
                        let to = (target_y * width + target_x) * self.inputs;
                        for (to, &from) in boxed[to..to + self.inputs].iter_mut().zip(from) {
                            *to = to.add(from);
                        }
                    }
                }
            }
        }
    }

    /// The transpose of [`Conv::gather`], added to `image`.
    fn scatter<T: Scalar>(&self, boxed: &[T], image: &mut [T]) {
        let [height, width] = self.boxed();
        for y in 0..self.height {
            for target_y in self.box_range(y, height) {
                for x in 0..self.width {
                    let to = &mut image[(y * self.width + x) * self.inputs..][..self.inputs];
                    for target_x in self.box_range(x, width) {
                        let from = (target_y * width + target_x) * self.inputs;
                        for (to, &from) in to.iter_mut().zip(&boxed[from..from + self.inputs]) {
                            *to = to.add(from);
                        }
                    }
                }
            }
        }
    }

    /// `out += pool(conv(x, w))` for `rows` samples.
    pub fn forward<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        w: &[T],
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let boxed = &mut scratch[..self.scratch_len()];
        let [out_height, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = Product {
            rows: out_width,
            columns: self.outputs,
            outer: self.kernel,
            inner: self.kernel * self.inputs,
            a_row: column_step,
            a_outer: kernel_step,
            a_inner: 1,
            out_row: self.outputs,
        };
        for row in 0..rows {
            self.gather(&x[row * self.input_len()..][..self.input_len()], boxed);
            let out = &mut out[row * self.output_len()..][..self.output_len()];
            for y in 0..out_height {
                let out = &mut out[y * out_width * self.outputs..];
                product.accumulate(out, &boxed[y * row_step..], w);
            }
        }
    }

    /// `dw += ` the gradient of [`Conv::forward`] by its weights, summed over `rows` samples.
    pub fn weight_gradient<T: Scalar>(
        &self,
        rows: usize,
        x: &[T],
        dy: &[T],
        dw: &mut [T],
        scratch: &mut [T],
    ) {
        let boxed = &mut scratch[..self.scratch_len()];
        let [out_height, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = Product {
            rows: self.kernel * self.inputs,
            columns: self.outputs,
            outer: out_height,
            inner: out_width,
            a_row: 1,
            a_outer: row_step,
            a_inner: column_step,
            out_row: self.outputs,
        };
        let kernel_row = self.kernel * self.inputs * self.outputs;
        for row in 0..rows {
            self.gather(&x[row * self.input_len()..][..self.input_len()], boxed);
            let dy = &dy[row * self.output_len()..][..self.output_len()];
            for ky in 0..self.kernel {
                let dw = &mut dw[ky * kernel_row..][..kernel_row];
                product.accumulate(dw, &boxed[ky * kernel_step..], dy);
            }
        }
    }

    /// `dx += ` the gradient of [`Conv::forward`] by its input, for `rows` samples. `wt` holds the
    /// weights as [`Conv::transpose`] arranges them.
    pub fn input_gradient<T: Scalar>(
        &self,
        rows: usize,
        dy: &[T],
        wt: &[T],
        dx: &mut [T],
        scratch: &mut [T],
    ) {
        let boxed = &mut scratch[..self.scratch_len()];
        let [out_height, out_width] = self.output();
        let [row_step, column_step, kernel_step] = self.steps();
        let product = Product {
            rows: out_width,
            columns: self.kernel * self.inputs,
            outer: 1,
            inner: self.outputs,
            a_row: self.outputs,
            a_outer: 0,
            a_inner: 1,
            out_row: column_step,
        };
        let kernel_row = self.kernel * self.inputs * self.outputs;
        for row in 0..rows {
            boxed.fill(T::default());
            let dy = &dy[row * self.output_len()..][..self.output_len()];
            for y in 0..out_height {
                let dy = &dy[y * out_width * self.outputs..];
                for ky in 0..self.kernel {
                    let to = &mut boxed[y * row_step + ky * kernel_step..];
                    product.accumulate(to, dy, &wt[ky * kernel_row..][..kernel_row]);
                }
            }
            self.scatter(boxed, &mut dx[row * self.input_len()..][..self.input_len()]);
        }
    }

    /// Rearranges weights to `[kernel][outputs][kernel][inputs]` for [`Conv::input_gradient`].
    pub fn transpose<T: Scalar>(&self, w: &[T], wt: &mut [T]) {
        let (rows, columns) = (self.kernel * self.inputs, self.outputs);
        let kernel_row = rows * columns;
        for (w, wt) in w
            .chunks_exact(kernel_row)
            .zip(wt.chunks_exact_mut(kernel_row))
        {
            transpose(rows, columns, w, wt);
        }
    }
}

/// `out[columns][rows]` is `matrix[rows][columns]` transposed.
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

    /// The definition, term by term: convolution, then window sums.
    fn terms(conv: &Conv, mut term: impl FnMut(usize, usize, usize)) {
        let [rows, columns] = conv.output();
        for (y, x) in (0..rows * columns).map(|p| (p / columns, p % columns)) {
            for (dy, dx) in (0..conv.pool * conv.pool).map(|d| (d / conv.pool, d % conv.pool)) {
                for (ky, kx) in
                    (0..conv.kernel * conv.kernel).map(|k| (k / conv.kernel, k % conv.kernel))
                {
                    let row = (y * conv.pool + dy) * conv.stride + ky;
                    let column = (x * conv.pool + dx) * conv.stride + kx;
                    let inside = |n: usize, size| n >= conv.padding && n - conv.padding < size;
                    if !inside(row, conv.height) || !inside(column, conv.width) {
                        continue;
                    }
                    for i in 0..conv.inputs {
                        for o in 0..conv.outputs {
                            let pixel = ((row - conv.padding) * conv.width + column - conv.padding)
                                * conv.inputs
                                + i;
                            let weight =
                                ((ky * conv.kernel + kx) * conv.inputs + i) * conv.outputs + o;
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
            for (kernel, padding) in [(1, 0), (3, 1), (3, 0), (5, 2), (2, 1)] {
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
            let (mut y, mut dw, mut dx) = (
                numbers(dy.len(), 11),
                numbers(w.len(), 13),
                numbers(x.len(), 17),
            );
            let (mut y_want, mut dw_want, mut dx_want) = (y.clone(), dw.clone(), dx.clone());
            conv.forward(rows, &x, &w, &mut y, &mut scratch);
            conv.weight_gradient(rows, &x, &dy, &mut dw, &mut scratch);
            conv.input_gradient(rows, &dy, &wt, &mut dx, &mut scratch);
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
