//! Max pooling against the largest values themselves, there and back, and its traffic against its cost.

extern crate std;

use std::{vec, vec::Vec};

use super::*;
use crate::{
    Role,
    gate::{
        harness::{Values, run},
        tests::{AT, BACK, join, mine},
    },
    share::Public,
};

fn windows(height: usize, width: usize, window: usize, stride: usize) -> Windows {
    Windows {
        height,
        width,
        channels: 2,
        window: [window; 2],
        stride,
    }
}

/// Pools `images` of values below 2^(from-2) in magnitude, and takes gradients in Z_2^back to Z_2^to.
fn both_ways<W: Ring>(windows: Windows, [from, back, to]: [u32; 3], images: &[i64], seed: u64) {
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
    let (made, cost) = run(
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
            let mut values = mine(role, &x);
            let pooled = Share::wrap_slice_mut(&mut values);
            gate.forward(cx, AT, rows, pooled, &mut sign, &mut scratch)?;
            let mut gradient = mine(role, &dy);
            gradient.resize(rows * image_len, W::ZERO);
            let shares = Share::wrap_slice_mut(&mut gradient);
            let forward = (AT, &mut sign);
            gate.backward(cx, BACK, forward, rows, shares, &mut scratch)?;
            values.truncate(rows * out_len);
            Ok((values, gradient))
        },
    );
    let [(y0, g0), (y1, g1)] = made;
    let (y, g) = (join(&[y0, y1], from), join(&[g0, g1], to));
    for row in 0..rows {
        let image = &images[row * image_len..][..image_len];
        let mut want = vec![0; out_len];
        gate.ideal(image, &mut want);
        let got = &y[row * out_len..][..out_len];
        assert!(
            got.iter().zip(&want).all(|(&a, &b)| a == b.into()),
            "{windows:?}"
        );
        // A place that is the largest of a window gets its gradient, or one of the places that are.
        let mut planes = vec![0i64; windows.places() * out_len];
        windows.gather(image, &mut planes);
        let (mut certain, mut most) = (vec![0i128; image_len], vec![false; image_len]);
        let (mut taken, mut given) = (0, 0);
        let places: Vec<u32> = (0..image_len as u32).collect();
        let mut origins = vec![0; planes.len()];
        windows.gather(&places, &mut origins);
        for (out, &largest) in want.iter().enumerate() {
            let dy = i128::from(gradient[row * out_len + out]);
            given += dy;
            let at = (0..windows.places()).map(|place| place * out_len + out);
            let winners: Vec<usize> = at
                .filter(|&at| planes[at] == largest)
                .map(|at| origins[at] as usize)
                .collect();
            match winners[..] {
                [only] => certain[only] += dy,
                _ => winners.iter().for_each(|&place| most[place] = true),
            }
        }
        for (place, &got) in g[row * image_len..][..image_len].iter().enumerate() {
            taken += got;
            if !most[place] {
                assert_eq!(got, certain[place], "{windows:?} {place}");
            }
        }
        assert_eq!(taken, given, "{windows:?}");
    }
    assert_eq!(cost, gate.forward_cost(rows) + gate.backward_cost(rows));
}

#[test]
fn every_pair_of_values_at_a_small_width() {
    // Two rows of values: windows of 2 by 2 over all pairs, the others the smallest value.
    let limit = 1i64 << 4;
    let mut images = Vec::new();
    for p in -limit..limit {
        for q in -limit..limit {
            for places in [[0, 1], [0, 2], [1, 2], [3, 0]] {
                let mut image = [-limit; 4];
                image[places[0]] = p;
                image[places[1]] = q;
                images.extend(image.iter().flat_map(|&value| [value, -1 - value]));
            }
        }
    }
    both_ways::<u32>(windows(2, 2, 2, 2), [6, 6, 12], &images, 1);
    both_ways::<u32>(windows(2, 2, 2, 1), [6, 5, 6], &images, 2);
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
        both_ways::<u32>(windows, [20, 20, 32], &images, 3);
        both_ways::<u32>(windows, [20, 18, 32], &images, 4);
        both_ways::<u64>(windows, [51, 51, 64], &images, 5);
    }
}

/// The tournament keeps to the range of the ring: the largest difference is that of its ends.
#[test]
fn the_ends_of_the_range() {
    let limit = 1i64 << 18;
    let ends = [-limit, limit - 1, 0, -1];
    let images: Vec<i64> = (0..256)
        .flat_map(|i| (0..8).map(move |place| ends[i >> (place % 4 * 2) & 3]))
        .collect();
    both_ways::<u32>(windows(2, 2, 2, 2), [20, 20, 32], &images, 6);
}
