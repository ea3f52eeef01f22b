//! How fast the matrix product is. It is printed, and never fails a test.

use std::time::Instant;

use ringlet_core::kernel::product::Product;

#[test]
fn speed_of_the_matrix_product() {
    let (rows, depth, columns) = (25_088, 288, 32);
    let fill = |len: usize| -> Vec<u32> {
        (0..len as u32)
            .map(|i| i.wrapping_mul(2_654_435_761))
            .collect()
    };
    let (a, b) = (fill(rows * depth), fill(depth * columns));
    let mut out = vec![0; rows * columns];
    let product = Product::plain(rows, depth, columns);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        product.accumulate(&mut out, &a, &b);
        best = best.min(start.elapsed().as_secs_f64());
    }
    let speed = (rows * depth * columns) as f64 / best / 1e9;
    println!(
        "u32 matrix product {rows} x {depth} by {depth} x {columns}: {speed:.1} G multiply-accumulates per second on one core"
    );
    // The result is right, whatever the speed: one entry by hand.
    let want = (0..depth).fold(0u32, |sum, k| {
        sum.wrapping_add(a[7 * depth + k].wrapping_mul(b[k * columns + 5]))
    });
    assert_eq!(out[7 * columns + 5], want.wrapping_mul(5));
}
