//! Max pooling: both passes against the ideal function, and measured traffic against the cost.

extern crate std;

use std::{vec, vec::Vec};

use super::*;
use crate::{
    Role,
    gate::{
        harness::{Values, run},
        tests::{AT, BACK, reconstruct, shares_of},
    },
    share::Public,
};

pub(in crate::gate) fn windows(
    height: usize,
    width: usize,
    window: usize,
    stride: usize,
) -> Windows {
    Windows {
        height,
        width,
        channels: 2,
        window: [window; 2],
        stride,
    }
}

/// Checks both passes on `images` with |x| < 2^(from-2) and on random gradients in Z_2^back.
pub(in crate::gate) fn check_both_passes<W: Ring>(
    windows: Windows,
    [from, back, to]: [u32; 3],
    images: &[i64],
    seed: u64,
) {
    let gate = MaxPool::new::<W>(windows, from, back, to);
    let (image_len, out_len) = (windows.input_len(), windows.output_len());
    let rows = images.len() / image_len;
    let images = &images[..rows * image_len];
    let mut values = Values::new(seed);
    let x = values.share::<W>(images, from);
    let limit = 1i64 << (back - 2);
    let gradient: Vec<i64> = (0..rows * out_len)
        .map(|_| (values.word::<u64>() % (2 * limit as u64)) as i64 - limit)
        .collect();
    let dy = values.share::<W>(&gradient, back);
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            gate.deal_forward::<W, _>(cx, AT, rows)?;
            gate.deal_backward::<W, _>(cx, BACK, AT, rows)
        },
        |cx| {
            let role = cx.role();
            let mut opened = vec![0; gate.sign_len(rows)];
            let hide = if role == Role::P1 {
                gate.hide_len(rows)
            } else {
                0
            };
            let mut shares = vec![W::ZERO; hide];
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut opened),
                shares: Share::wrap_slice_mut(&mut shares),
            };
            let mut scratch = vec![W::ZERO; gate.scratch_len::<W>(rows)];
            let mut values = shares_of(role, &x);
            let pooled = Share::wrap_slice_mut(&mut values);
            gate.forward(cx, AT, rows, pooled, &mut sign, &mut scratch)?;
            let mut gradient = shares_of(role, &dy);
            gradient.resize(rows * image_len, W::ZERO);
            let shares = Share::wrap_slice_mut(&mut gradient);
            let forward = (AT, &mut sign);
            gate.backward(cx, BACK, forward, rows, shares, &mut scratch)?;
            values.truncate(rows * out_len);
            Ok((values, gradient))
        },
    );
    let [(y0, g0), (y1, g1)] = outputs;
    let (y, g) = (reconstruct(&[y0, y1], from), reconstruct(&[g0, g1], to));
    for row in 0..rows {
        let image = &images[row * image_len..][..image_len];
        let mut want = vec![0; out_len];
        gate.ideal(image, &mut want);
        let got = &y[row * out_len..][..out_len];
        assert!(
            got.iter().zip(&want).all(|(&a, &b)| a == b.into()),
            "{windows:?}"
        );
        // The gradient goes to a window's largest value; among equal ones, to any.
        let mut planes = vec![0i64; windows.positions() * out_len];
        windows.gather(image, &mut planes);
        let (mut certain, mut tied) = (vec![0i128; image_len], vec![false; image_len]);
        let (mut total, mut want_total) = (0, 0);
        let pixels: Vec<u32> = (0..image_len as u32).collect();
        let mut origins = vec![0; planes.len()];
        windows.gather(&pixels, &mut origins);
        for (out, &largest) in want.iter().enumerate() {
            let dy = i128::from(gradient[row * out_len + out]);
            want_total += dy;
            let candidates = (0..windows.positions()).map(|position| position * out_len + out);
            let winners: Vec<usize> = candidates
                .filter(|&at| planes[at] == largest)
                .map(|at| origins[at] as usize)
                .collect();
            match winners[..] {
                [only] => certain[only] += dy,
                _ => winners.iter().for_each(|&pixel| tied[pixel] = true),
            }
        }
        for (pixel, &got) in g[row * image_len..][..image_len].iter().enumerate() {
            total += got;
            if !tied[pixel] {
                assert_eq!(got, certain[pixel], "{windows:?} {pixel}");
            }
        }
        assert_eq!(total, want_total, "{windows:?}");
    }
    assert_eq!(cost, gate.forward_cost(rows) + gate.backward_cost(rows));
}

#[test]
fn every_pair_of_values_at_a_small_width() {
    // Windows of 2 by 2 with all pairs of values at two positions, and the smallest value at the others.
    let limit = 1i64 << 4;
    let mut images = Vec::new();
    for p in -limit..limit {
        for q in -limit..limit {
            for positions in [[0, 1], [0, 2], [1, 2], [3, 0]] {
                let mut image = [-limit; 4];
                image[positions[0]] = p;
                image[positions[1]] = q;
                images.extend(image.iter().flat_map(|&value| [value, -1 - value]));
            }
        }
    }
    check_both_passes::<u32>(windows(2, 2, 2, 2), [6, 6, 12], &images, 1);
    check_both_passes::<u32>(windows(2, 2, 2, 1), [6, 5, 6], &images, 2);
}

#[test]
fn any_window_and_stride() {
    let mut values = Values::new(9);
    for (windows, rows) in [
        (windows(6, 6, 2, 2), 3),
        (windows(7, 5, 2, 2), 2),
        (windows(7, 7, 3, 2), 2),
        (windows(6, 7, 3, 3), 2),
        (windows(5, 5, 3, 1), 1),
        (windows(5, 5, 5, 1), 2),
        (windows(4, 4, 2, 3), 2),
        (
            Windows {
                window: [1, 5],
                ..windows(2, 6, 1, 1)
            },
            2,
        ),
    ] {
        let images: Vec<i64> = (0..rows * windows.input_len())
            .map(|_| (values.word::<u64>() >> 45) as i64 - (1 << 18))
            .collect();
        check_both_passes::<u32>(windows, [20, 20, 32], &images, 3);
        check_both_passes::<u32>(windows, [20, 18, 32], &images, 4);
        check_both_passes::<u64>(windows, [51, 51, 64], &images, 5);
    }
}

/// The largest difference is that of the ends of the range contract, which still fits the ring.
#[test]
fn the_ends_of_the_range() {
    let limit = 1i64 << 18;
    let ends = [-limit, limit - 1, 0, -1];
    let images: Vec<i64> = (0..256)
        .flat_map(|i| (0..8).map(move |place| ends[i >> (place % 4 * 2) & 3]))
        .collect();
    check_both_passes::<u32>(windows(2, 2, 2, 2), [20, 20, 32], &images, 6);
}
