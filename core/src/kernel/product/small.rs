//! The matrix product for processors with a dozen registers and no vector instructions.
//!
//! Four adjacent sums stay in registers. Their operands are first copied to contiguous blocks, so that the inner
//! loop only increments pointers. The code suits builds that optimise for size: it uses plain loops, and a
//! variable for each sum.

use super::shape::Product;
use crate::num::scalar::Scalar;

/// Adjacent sums of a row of `out` that are computed together.
const QUAD: usize = 4;
/// Rows of `out` that share a copied block of `b`.
const ROWS: usize = 12;
/// Summation steps in a block.
const DEPTH: usize = 72;
/// The fewest summation steps for which copying is faster.
const LEAST: usize = 4;

type LeftBlock<T> = [[T; DEPTH]; ROWS];
type RightBlock<T> = [[T; QUAD]; DEPTH];

/// The right operand.
#[derive(Clone, Copy)]
pub(super) enum Right<'a, T> {
    /// A row for each step of the summation.
    InRows(&'a [T]),
    /// A row for each column.
    Transposed(&'a [T]),
}

/// Adds the product to `out`; the counterpart of [`Product::accumulate`] after its checks.
pub(super) fn accumulate<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: Right<'_, T>) {
    let steps = product.outer * product.inner;
    if let (true, Right::InRows(b)) = (steps < LEAST, b) {
        return in_place(product, out, a, b);
    }
    let mut left: LeftBlock<T> = [[T::default(); DEPTH]; ROWS];
    let mut right: RightBlock<T> = [[T::default(); QUAD]; DEPTH];
    let mut step = 0;
    while step < steps {
        let depth = DEPTH.min(steps - step);
        let right = &mut right[..depth];
        let mut row = 0;
        while row < product.rows {
            let left = &mut left[..ROWS.min(product.rows - row)];
            for (at, left) in left.iter_mut().enumerate() {
                gather_left(
                    product,
                    &a[(row + at) * product.a_row..],
                    step,
                    &mut left[..depth],
                );
            }
            let mut column = 0;
            while column < product.columns {
                let columns = QUAD.min(product.columns - column);
                match b {
                    Right::InRows(b) => {
                        let b = &b[step * product.columns + column..];
                        gather_right(b, product.columns, right);
                    }
                    Right::Transposed(b) => {
                        gather_transposed(&b[column * steps + step..], [columns, steps], right);
                    }
                }
                let mut first = row * product.out_row + column;
                for left in &*left {
                    add_sums(&left[..depth], right, &mut out[first..][..columns]);
                    first += product.out_row;
                }
                column += QUAD;
            }
            row += ROWS;
        }
        step += DEPTH;
    }
}

/// Copies the elements of `a` that a row of `out` reads, from summation step `step` on. `a` starts at the row's first
/// element.
#[inline(never)]
fn gather_left<T: Scalar>(product: &Product, a: &[T], step: usize, left: &mut [T]) {
    let mut outer = step / product.inner;
    let mut inner = step % product.inner;
    let mut rest = left;
    while !rest.is_empty() {
        let run = rest.len().min(product.inner - inner);
        let (to, tail) = rest.split_at_mut(run);
        let from = &a[outer * product.a_outer + inner * product.a_inner..];
        if product.a_inner == 1 {
            for (to, &from) in to.iter_mut().zip(&from[..run]) {
                *to = from;
            }
        } else {
            let mut at = 0;
            for to in to {
                *to = from[at];
                at += product.a_inner;
            }
        }
        rest = tail;
        inner = 0;
        outer += 1;
    }
}

/// Copies the first [`QUAD`] elements of each row of `b`, with rows `stride` elements apart. Pads with zeros after
/// the end of `b`.
#[inline(never)]
fn gather_right<T: Scalar>(b: &[T], stride: usize, right: &mut [[T; QUAD]]) {
    let mut rest = b;
    for to in right {
        if let Some(&[b0, b1, b2, b3]) = rest.first_chunk() {
            *to = [b0, b1, b2, b3];
        } else {
            *to = [T::default(); QUAD];
            to[..rest.len()].copy_from_slice(rest);
        }
        rest = rest.get(stride..).unwrap_or(&[]);
    }
}

/// Copies the first elements of `columns` rows of `b`, with rows `stride` elements apart, to a column each. What other columns
/// hold does not matter.
#[inline(never)]
fn gather_transposed<T: Scalar>(b: &[T], [columns, stride]: [usize; 2], right: &mut [[T; QUAD]]) {
    let row = |column: usize| &b[column.min(columns - 1) * stride..][..right.len()];
    let rows = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
    for (to, (((&b0, &b1), &b2), &b3)) in right.iter_mut().zip(rows) {
        *to = [b0, b1, b2, b3];
    }
}

/// Adds four sums over a copied block to `out`, or as many as it has elements.
#[inline(never)]
fn add_sums<T: Scalar>(left: &[T], right: &[[T; QUAD]], out: &mut [T]) {
    let [mut s0, mut s1, mut s2, mut s3] = match *out {
        [o0, o1, o2, o3] => [o0, o1, o2, o3],
        _ => [T::default(); QUAD],
    };
    for (&left, &[r0, r1, r2, r3]) in left.iter().zip(right) {
        s0 = s0.multiply_add(left, r0);
        s1 = s1.multiply_add(left, r1);
        s2 = s2.multiply_add(left, r2);
        s3 = s3.multiply_add(left, r3);
    }
    if let [o0, o1, o2, o3] = out {
        (*o0, *o1, *o2, *o3) = (s0, s1, s2, s3);
        return;
    }
    for (out, sum) in out.iter_mut().zip([s0, s1, s2, s3]) {
        *out = out.add(sum);
    }
}

/// Adds a product of few summation steps to `out`, without copying.
fn in_place<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    for row in 0..product.rows {
        let out = &mut out[row * product.out_row..][..product.columns];
        let mut b = b;
        for outer in 0..product.outer {
            for inner in 0..product.inner {
                let left =
                    a[row * product.a_row + outer * product.a_outer + inner * product.a_inner];
                for (out, &right) in out.iter_mut().zip(b) {
                    *out = out.multiply_add(left, right);
                }
                b = &b[product.columns..];
            }
        }
    }
}
