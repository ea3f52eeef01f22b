//! Tests of the losses that a softmax sums.

extern crate std;

use std::{vec, vec::Vec};

use bytemuck::TransparentWrapper;

use super::{
    Labels, MAX_CLASSES, Softmax,
    tests::{logit_samples, most},
};
use crate::{
    gate::{
        At, Online,
        harness::{Values, run},
        maximum::{Beside, Maximum},
        reuse,
        tests::{AT, reconstruct, shares_of},
    },
    num::{
        fixed_point::Format,
        ring::{Ring, signed},
    },
    share::Share,
};

/// Reads every value of every row at its index, and beside it the maxima.
fn check_labels(gate: Maximum, values: &[i64], seed: u64) {
    let rows = values.len() / gate.len;
    let labels_at = At { gate: 9, ..AT };
    // Each row once for each of its indices.
    let (mut repeated, mut indices) = (Vec::new(), Vec::new());
    for row in values.chunks_exact(gate.len) {
        for index in 0..gate.len as i64 {
            repeated.extend_from_slice(row);
            indices.push(index);
        }
    }
    let rows = rows * gate.len;
    let mut shared = Values::new(seed);
    let values = shared.share::<u64>(&repeated, gate.bits);
    // One party knows the index.
    let owner: Vec<usize> = (0..rows).map(|row| row % 2).collect();
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            reuse::start();
            let dealt = gate
                .deal_labels(cx, [AT, labels_at], rows)
                .and_then(|()| gate.deal(cx, AT, rows, false));
            reuse::stop();
            dealt
        },
        |cx| {
            let mut maxima = vec![0; gate.maxima_len(rows)];
            let mut scratch = vec![0; gate.scratch_len(rows)];
            let values = shares_of(cx.role(), &values);
            let is_owner = |row: usize| u64::from(owner[row] == cx.role().index());
            let mut labels: Vec<u64> = (0..rows)
                .map(|row| indices[row] as u64 * is_owner(row))
                .collect();
            reuse::start();
            let beside = Beside::Labels((labels_at, &mut labels[..]));
            let ran = gate.run(cx, AT, rows, &values, (&mut maxima, beside), &mut scratch);
            reuse::stop();
            ran?;
            Ok([labels, maxima[..rows].to_vec()].concat())
        },
    );
    let read = reconstruct(&outputs, gate.bits);
    for (row, values) in repeated.chunks_exact(gate.len).enumerate() {
        let want = values[indices[row] as usize];
        assert_eq!(read[row], want.into(), "{gate:?} {values:?}");
        let highest = values.iter().copied().max().map(i128::from);
        assert_eq!(Some(read[rows + row]), highest);
    }
    assert_eq!(cost, gate.cost(rows) + gate.label().cost(rows));
}

#[test]
fn the_value_at_a_secret_index_is_exact() {
    for (bits, len) in [(3, 2), (5, 2), (3, 3), (3, 4), (3, 5)] {
        let count = 1usize << (bits - 1);
        let row = |row: usize| {
            (0..len as u32).map(move |at| (row / count.pow(at) % count) as i64 - (1 << (bits - 2)))
        };
        let rows: Vec<i64> = (0..count.pow(len as u32)).flat_map(row).collect();
        check_labels(Maximum { bits, len }, &rows, bits.into());
    }
    for (bits, len) in [(20, 10), (23, 17), (44, 64), (56, 65), (24, MAX_CLASSES)] {
        let mut values = Values::new(len as u64);
        let limit = 1i64 << (bits - 2);
        let rows: Vec<i64> = (0..2 * len)
            .map(|_| (values.word::<u64>() % (2 * limit as u64)) as i64 - limit)
            .collect();
        check_labels(Maximum { bits, len }, &rows, 3);
    }
}

/// The sum of the losses of samples under labels.
fn loss_sum<R: Ring>(softmax: Softmax, samples: &[Vec<f64>], labels: &[usize]) -> f64 {
    let rows = samples.len();
    let unit = libm::scalbn(1.0, softmax.logit_fraction() as i32);
    let z: Vec<i64> = samples
        .iter()
        .flatten()
        .map(|z| (z * unit) as i64)
        .collect();
    let shares = Values::new(8).share::<R>(&z, softmax.format.narrow());
    let (sums, cost) = run(
        11,
        1 << 20,
        |cx| {
            let mut memory = vec![[0; 2]; softmax.table_len()];
            reuse::start();
            let dealt = softmax.deal::<R, _>(cx, AT, rows, &mut softmax.tables(&mut memory));
            reuse::stop();
            dealt
        },
        |cx| {
            let mut p = shares_of(cx.role(), &shares);
            let mut scratch = vec![0; softmax.scratch_len(rows)];
            let is_owner = |row: usize| row % 2 == cx.role().index();
            let mut own: Vec<u64> = (0..rows)
                .map(|row| labels[row] as u64 * u64::from(is_owner(row)))
                .collect();
            let mut sum = 0;
            reuse::start();
            let given = Labels {
                labels: &mut own,
                weights: &mut [],
                sum: &mut sum,
            };
            let logits = Share::wrap_slice_mut(&mut p);
            let ran = softmax.run::<R, _>(cx, AT, rows, logits, given, &mut scratch);
            reuse::stop();
            ran.map(|()| sum)
        },
    );
    assert_eq!(cost, softmax.cost(rows));
    assert_eq!(
        cost.rounds,
        Softmax {
            loss_bits: 0,
            weighted: false,
            ..softmax
        }
        .cost(rows)
        .rounds
    );
    let bits = softmax.loss_bits;
    let sum = signed(
        sums[0].wrapping_add(sums[1]) & (u64::MAX >> (64 - bits)),
        bits,
    );
    sum as f64 / libm::scalbn(1.0, softmax.loss_fraction() as i32)
}

/// The cross entropy of a sample whose logits are rounded as those of the gate.
fn ideal(softmax: Softmax, sample: &[f64], label: usize) -> f64 {
    let unit = libm::scalbn(1.0, softmax.logit_fraction() as i32);
    let z: Vec<f64> = sample.iter().map(|z| (z * unit).trunc() / unit).collect();
    let highest = z.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = z.iter().map(|z| libm::exp(z - highest)).sum();
    libm::log(sum) - (z[label] - highest)
}

fn softmax(format: Format, headroom: u32, classes: usize) -> Softmax {
    Softmax {
        format,
        headroom,
        classes,
        exponent: 0,
        loss_bits: 56,
        weighted: false,
    }
}

/// Checks the loss of single samples over the whole contract.
fn check_losses<R: Ring>(softmax: Softmax, count: usize) {
    let samples = logit_samples(softmax.classes, most(softmax), count);
    for (index, sample) in samples.iter().enumerate() {
        let label = index * 7 % softmax.classes;
        let want = ideal(softmax, sample, label);
        let got = loss_sum::<R>(softmax, core::slice::from_ref(sample), &[label]);
        // The errors of the exponentials and of the logarithm's line, and the truncation of the sum.
        let limit = libm::scalbn(1.0, -9) + libm::scalbn(1.0, -11) + libm::scalbn(1.0, -11);
        assert!(
            (got - want).abs() <= limit,
            "{softmax:?} {sample:?} {label}: {got} {want}"
        );
    }
}

#[test]
fn losses_are_right_over_the_whole_contract() {
    for classes in [2, 3, 10, 17, 100] {
        check_losses::<u32>(softmax(Format::new::<u32>(12).unwrap(), 0, classes), 30);
    }
    check_losses::<u32>(softmax(Format::new::<u32>(9).unwrap(), 0, 10), 30);
    check_losses::<u32>(softmax(Format::new::<u32>(14).unwrap(), 6, 10), 30);
    check_losses::<u64>(softmax(Format::new::<u64>(20).unwrap(), 0, 10), 30);
    check_losses::<u64>(softmax(Format::direct(12).unwrap(), 0, 10), 30);
}

#[test]
fn the_mean_of_losses_has_no_bias() {
    const ROWS: usize = 2000;
    let softmax = softmax(Format::new::<u32>(12).unwrap(), 0, 3);
    for z in [[0.0, -0.0625, -3.0], [1.0, 0.9, 1.1], [5.0, -1.0, 1.0]] {
        let samples = vec![z.to_vec(); ROWS];
        let labels: Vec<usize> = (0..ROWS).map(|row| row % 3).collect();
        let want: f64 = (0..3).map(|label| ideal(softmax, &z, label)).sum::<f64>() / 3.0;
        let labelled = ROWS / 3 * 3;
        let got = loss_sum::<u32>(softmax, &samples[..labelled], &labels[..labelled]);
        let error = got / labelled as f64 - want;
        std::println!("{z:?}: {error}");
        assert!(error.abs() < libm::scalbn(1.0, -13), "{z:?}: {error}");
    }
}

#[test]
fn weights_multiply_probabilities() {
    for classes in [2, 10] {
        let softmax = Softmax {
            loss_bits: 0,
            weighted: true,
            ..softmax(Format::new::<u32>(12).unwrap(), 0, classes)
        };
        let samples = logit_samples(classes, 30.0, 40);
        let rows = samples.len();
        let unit = libm::scalbn(1.0, softmax.logit_fraction() as i32);
        let flat = samples.iter().flatten();
        let z: Vec<i64> = flat.map(|z| (z * unit) as i64).collect();
        let shares = Values::new(8).share::<u32>(&z, softmax.format.narrow());
        let weights: Vec<u64> = (0..rows as u64)
            .map(|row| 4096 - row * 4095 / rows as u64)
            .collect();
        let (outputs, cost) = run(
            11,
            1 << 20,
            |cx| {
                let mut memory = vec![[0; 2]; softmax.table_len()];
                softmax.deal::<u32, _>(cx, AT, rows, &mut softmax.tables(&mut memory))
            },
            |cx| {
                let mut p = shares_of(cx.role(), &shares);
                let mut scratch = vec![0; softmax.scratch_len(rows)];
                let own = weights.iter().enumerate();
                let is_owner = |row: usize| u64::from(row % 2 == cx.role().index());
                let mut own: Vec<u64> = own.map(|(row, weight)| weight * is_owner(row)).collect();
                let mut sum = 0;
                let labels = Labels {
                    labels: &mut [],
                    weights: &mut own,
                    sum: &mut sum,
                };
                let logits = Share::wrap_slice_mut(&mut p);
                softmax.run::<u32, _>(cx, AT, rows, logits, labels, &mut scratch)?;
                Ok(p)
            },
        );
        assert_eq!(cost, softmax.cost(rows));
        assert_eq!(cost.rounds, 9);
        let p = reconstruct(&outputs, softmax.format.ring);
        let scale = libm::scalbn(1.0, softmax.format.fraction as i32);
        for (row, (z, p)) in samples.iter().zip(p.chunks_exact(classes)).enumerate() {
            let z: Vec<f64> = z.iter().map(|z| (z * unit).trunc() / unit).collect();
            let mut want = vec![0.0; classes];
            Softmax::ideal(&z, &mut want);
            let weight = weights[row] as f64 / 4096.0;
            for (&got, want) in p.iter().zip(want) {
                let error = (got as f64 / scale - weight * want).abs();
                assert!(error < 1.0 / 1024.0 + 1.0 / 4096.0, "{row}: {error}");
            }
        }
    }
}
