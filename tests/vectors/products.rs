//! Matrix products, against their definition.

use ringlet_core::{kernel::product::Product, num::Ring};

use crate::streams::stream;

/// Checks products of sizes about the edges of tiles, with plain and transposed strides.
fn check_all<R: Ring>() {
    let mut random = stream([9; 32], u64::from(R::BITS), 0);
    let mut word = || u64::from_le_bytes(core::array::from_fn(|_| random.next().unwrap()));
    let mut words = |count: usize| -> Vec<R> { (0..count).map(|_| R::from_u64(word())).collect() };
    for (rows, depth) in [(1, 3), (4, 1), (7, 5), (9, 16)] {
        for columns in [1, 3, 4, 7, 15, 16, 17, 20, 33] {
            for product in [
                Product::plain(rows, depth, columns),
                Product::transposed(rows, depth, columns),
            ] {
                let (a, b) = (words(rows * depth), words(depth * columns));
                let mut out = words(rows * columns);
                let mut want = out.clone();
                for (at, want) in want.iter_mut().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    for k in 0..depth {
                        let left = a[row * product.a_row + k * product.a_inner];
                        *want = want.plus(left.times(b[k * columns + column]));
                    }
                }
                product.accumulate(&mut out, &a, &b);
                assert!(out == want, "{product:?}");
            }
        }
    }
}

#[test]
fn products_are_their_sums() {
    check_all::<u32>();
    check_all::<u64>();
}
