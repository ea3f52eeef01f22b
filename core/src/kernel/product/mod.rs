//! The matrix product that all bilinear kernels use.

mod shape;
#[cfg(any(test, target_pointer_width = "32"))]
mod small;

use crate::num::scalar::Scalar;

pub use shape::Product;

impl Product {
    /// Adds the product to `out`.
    ///
    /// # Panics
    /// If a slice is shorter than the strides require, which is an error in the calling code.
    pub fn accumulate<T: Scalar>(&self, out: &mut [T], a: &[T], b: &[T]) {
        if self.rows == 0 || self.columns == 0 || self.outer == 0 || self.inner == 0 {
            return;
        }
        let reach = (self.rows - 1) * self.a_row
            + (self.outer - 1) * self.a_outer
            + (self.inner - 1) * self.a_inner;
        assert!(reach < a.len() && self.outer * self.inner * self.columns <= b.len());
        assert!((self.rows - 1) * self.out_row + self.columns <= out.len());
        dispatch(self, out, a, b);
    }

    /// As [`Product::accumulate`], with `b` transposed: a row for each column of `out`.
    #[cfg(any(test, target_pointer_width = "32"))]
    pub fn accumulate_transposed<T: Scalar>(&self, out: &mut [T], a: &[T], b: &[T]) {
        small::accumulate(self, out, a, small::Right::Transposed(b));
    }
}

/// Runs the loop compiled for the widest vector instructions of this processor.
#[cfg(target_arch = "x86_64")]
fn dispatch<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    cpufeatures::new!(avx512, "avx512f", "avx512bw", "avx512dq", "avx512vl");
    cpufeatures::new!(avx2, "avx2", "fma");

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn with_avx512<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
        blocked::<T, 8, 32>(product, out, a, b);
    }

    #[target_feature(enable = "avx2,fma")]
    fn with_avx2<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
        blocked::<T, 4, 16>(product, out, a, b);
    }

    if avx512::get() {
        // SAFETY: `get` has just found that the processor and the operating system support these features.
        unsafe { with_avx512(product, out, a, b) }
    } else if avx2::get() {
        // SAFETY: `get` has just found that the processor and the operating system support these features.
        unsafe { with_avx2(product, out, a, b) }
    } else {
        blocked::<T, 4, 8>(product, out, a, b);
    }
}

#[cfg(any(test, target_pointer_width = "32"))]
fn on_small_processors<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    small::accumulate(product, out, a, small::Right::InRows(b));
}

#[cfg(target_pointer_width = "32")]
use on_small_processors as dispatch;

/// Words of 32 bits in tiles whose sums fill half of the vector registers. NEON has no product of 64-bit words: their sums are in
/// the other registers, which are fewer.
#[cfg(neon)]
fn dispatch<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    match size_of::<T>() {
        4 => blocked::<T, 4, 16>(product, out, a, b),
        _ => blocked::<T, 4, 4>(product, out, a, b),
    }
}

#[cfg(not(any(target_arch = "x86_64", neon, target_pointer_width = "32")))]
fn dispatch<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    blocked::<T, 4, 4>(product, out, a, b);
}

/// Computes `out` in tiles of `ROWS` x `COLUMNS`, with smaller tiles at the edges.
#[cfg(any(test, not(target_pointer_width = "32")))]
#[inline(always)]
fn blocked<T: Scalar, const ROWS: usize, const COLUMNS: usize>(
    product: &Product,
    out: &mut [T],
    a: &[T],
    b: &[T],
) {
    let mut column = 0;
    while column + COLUMNS <= product.columns {
        stripe::<T, ROWS, COLUMNS>(product, out, a, b, column);
        column += COLUMNS;
    }
    while column + 4 <= product.columns {
        stripe::<T, ROWS, 4>(product, out, a, b, column);
        column += 4;
    }
    while column < product.columns {
        stripe::<T, ROWS, 1>(product, out, a, b, column);
        column += 1;
    }
}

/// Computes `COLUMNS` columns of `out` from `column` on.
#[cfg(any(test, not(target_pointer_width = "32")))]
#[inline(always)]
fn stripe<T: Scalar, const ROWS: usize, const COLUMNS: usize>(
    product: &Product,
    out: &mut [T],
    a: &[T],
    b: &[T],
    column: usize,
) {
    let mut row = 0;
    while row + ROWS <= product.rows {
        tile::<T, ROWS, COLUMNS>(product, out, a, b, row, column);
        row += ROWS;
    }
    if ROWS > 4 && row + 4 <= product.rows {
        tile::<T, 4, COLUMNS>(product, out, a, b, row, column);
        row += 4;
    }
    if ROWS > 2 && row + 2 <= product.rows {
        tile::<T, 2, COLUMNS>(product, out, a, b, row, column);
        row += 2;
    }
    while row < product.rows {
        tile::<T, 1, COLUMNS>(product, out, a, b, row, column);
        row += 1;
    }
}

/// Computes one tile, whose sums stay in registers during the summation.
#[cfg(any(test, not(target_pointer_width = "32")))]
#[inline(always)]
fn tile<T: Scalar, const ROWS: usize, const COLUMNS: usize>(
    product: &Product,
    out: &mut [T],
    a: &[T],
    b: &[T],
    row: usize,
    column: usize,
) {
    let mut sums = [[T::default(); COLUMNS]; ROWS];
    let span = (ROWS - 1) * product.a_row + (product.inner - 1) * product.a_inner + 1;
    for outer in 0..product.outer {
        let a_first = row * product.a_row + outer * product.a_outer;
        let a = &a[a_first..a_first + span];
        let b_first = outer * product.inner * product.columns;
        let b = &b[b_first..b_first + product.inner * product.columns];
        for (inner, b_row) in b.chunks_exact(product.columns).enumerate() {
            let Some(b_row) = b_row[column..].first_chunk::<COLUMNS>() else {
                return;
            };
            for (i, sum) in sums.iter_mut().enumerate() {
                let left = a[i * product.a_row + inner * product.a_inner];
                for (sum, &right) in sum.iter_mut().zip(b_row) {
                    *sum = sum.multiply_add(left, right);
                }
            }
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        let first = (row + i) * product.out_row + column;
        for (out, &sum) in out[first..first + COLUMNS].iter_mut().zip(sum) {
            *out = out.add(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::{vec, vec::Vec};

    /// The product by a right operand that is transposed first.
    fn from_transposed(product: &Product, out: &mut [u32], a: &[u32], b: &[u32]) {
        let (steps, columns) = (product.outer * product.inner, product.columns);
        let transposed: Vec<u32> = (0..steps * columns)
            .map(|at| b[at % steps * columns + at / steps])
            .collect();
        product.accumulate_transposed(out, a, &transposed);
    }

    /// Checks the tile shapes of all processors, not only of the one that runs the test.
    #[test]
    fn all_tile_shapes_give_the_same_sums() {
        let fill = |len: usize, seed: u32| -> Vec<u32> {
            (0..len as u32)
                .map(|i| (i + 1).wrapping_mul(seed).wrapping_mul(0x9E37_79B9))
                .collect()
        };
        for (rows, depth, columns) in [
            (1, 1, 1),
            (7, 5, 3),
            (9, 13, 33),
            (16, 8, 64),
            (23, 4, 70),
            (3, 200, 6),
        ] {
            for product in [
                Product::plain(rows, depth, columns),
                Product::transposed(rows, depth, columns),
            ] {
                let (a, b) = (fill(rows * depth, 3), fill(depth * columns, 5));
                let start = fill(rows * columns, 7);
                let mut want = start.clone();
                for (index, want) in want.iter_mut().enumerate() {
                    for k in 0..depth {
                        let left = a[index / columns * product.a_row + k * product.a_inner];
                        *want = want.multiply_add(left, b[k * columns + index % columns]);
                    }
                }
                for run in [
                    blocked::<u32, 8, 32>,
                    blocked::<u32, 4, 16>,
                    blocked::<u32, 4, 8>,
                    blocked::<u32, 4, 4>,
                    on_small_processors::<u32>,
                    from_transposed,
                    dispatch::<u32>,
                ] {
                    let mut out = start.clone();
                    run(&product, &mut out, &a, &b);
                    assert!(out == want, "{product:?}");
                }
                let mut untouched = vec![1];
                Product::plain(0, depth, columns).accumulate(&mut untouched, &a, &b);
                assert_eq!(untouched, [1]);
            }
        }
    }
}
