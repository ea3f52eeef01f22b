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

type Left<T> = [[T; DEPTH]; ROWS];
type Right<T> = [[T; QUAD]; DEPTH];

/// Adds the product to `out`; the counterpart of [`Product::accumulate`] after its checks.
pub(super) fn accumulate<T: Scalar>(product: &Product, out: &mut [T], a: &[T], b: &[T]) {
    let steps = product.outer * product.inner;
    if steps < LEAST {
        return in_place(product, out, a, b);
    }
    let mut left: Left<T> = [[T::default(); DEPTH]; ROWS];
    let mut right: Right<T> = [[T::default(); QUAD]; DEPTH];
    let mut step = 0;
    while step < steps {
        let depth = DEPTH.min(steps - step);
        let right = &mut right[..depth];
        let b = &b[step * product.columns..];
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
                gather_right(&b[column..], product.columns, right);
                let columns = QUAD.min(product.columns - column);
                let mut first = row * product.out_row + column;
                for left in &*left {
                    let sums = sums(&left[..depth], right);
                    add(&mut out[first..], sums, columns);
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

/// Computes four sums over a copied block.
#[inline(never)]
fn sums<T: Scalar>(left: &[T], right: &[[T; QUAD]]) -> [T; QUAD] {
    let [mut s0, mut s1, mut s2, mut s3] = [T::default(); QUAD];
    for (&left, &[r0, r1, r2, r3]) in left.iter().zip(right) {
        s0 = s0.multiply_add(left, r0);
        s1 = s1.multiply_add(left, r1);
        s2 = s2.multiply_add(left, r2);
        s3 = s3.multiply_add(left, r3);
    }
    [s0, s1, s2, s3]
}

/// Adds `sums` to the first `columns` elements of `out`.
#[inline(always)]
fn add<T: Scalar>(out: &mut [T], sums: [T; QUAD], columns: usize) {
    match out {
        [o0, o1, o2, o3, ..] if columns == QUAD => {
            *o0 = o0.add(sums[0]);
            *o1 = o1.add(sums[1]);
            *o2 = o2.add(sums[2]);
            *o3 = o3.add(sums[3]);
        }
        _ => {
            for (out, &sum) in out[..columns].iter_mut().zip(&sums) {
                *out = out.add(sum);
            }
        }
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
