//! Tests of the softmax and its parts.

extern crate std;

use std::{vec, vec::Vec};

use bytemuck::TransparentWrapper;

use super::{CLIP_QUARTERS, Exponential, FACTOR_FRACTION, Labels, MAX_CLASSES, Softmax};
use crate::{
    cost::Cost,
    gate::{
        Online,
        harness::{Values, run},
        maximum::{Beside, Maximum},
        reuse,
        tests::{AT, reconstruct, shares_of},
    },
    num::{fixed_point::Format, ring::Ring},
    share::Share,
};

/// Checks the maximum of each row of `gate.len` values.
fn check_maximum(gate: Maximum, values: &[i64], seed: u64) {
    let rows = values.len() / gate.len;
    let values = &values[..rows * gate.len];
    let shares = Values::new(seed).share::<u64>(values, gate.bits);
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            reuse::start();
            let dealt = gate.deal(cx, AT, rows, false);
            reuse::stop();
            dealt
        },
        |cx| {
            let mut maxima = vec![0; gate.maxima_len(rows)];
            let mut scratch = vec![0; gate.scratch_len(rows)];
            let values = shares_of(cx.role(), &shares);
            reuse::start();
            let ran = gate.run(
                cx,
                AT,
                rows,
                &values,
                (&mut maxima, Beside::Nothing),
                &mut scratch,
            );
            reuse::stop();
            ran?;
            maxima.truncate(rows);
            Ok(maxima)
        },
    );
    let maxima = reconstruct(&outputs, gate.bits);
    for (row, maximum) in values.chunks_exact(gate.len).zip(maxima) {
        let want = row.iter().copied().max().map(i128::from);
        assert_eq!(Some(maximum), want, "{gate:?} {row:?}");
    }
    assert_eq!(cost, gate.cost(rows));
}

/// All rows of `len` values under the range contract of Z_2^bits.
fn all_rows(bits: u32, len: usize) -> Vec<i64> {
    let values = 1usize << (bits - 1);
    let row = |row: usize| {
        (0..len as u32).map(move |at| (row / values.pow(at) % values) as i64 - (1 << (bits - 2)))
    };
    (0..values.pow(len as u32)).flat_map(row).collect()
}

#[test]
fn maxima_of_all_values_of_small_rings_are_exact() {
    for (bits, len) in [
        (2, 2),
        (3, 2),
        (5, 2),
        (8, 2),
        (3, 3),
        (5, 3),
        (3, 4),
        (3, 5),
        (2, 10),
    ] {
        for seed in 0..3 {
            check_maximum(Maximum { bits, len }, &all_rows(bits, len), seed);
        }
    }
}

#[test]
fn maxima_are_exact_for_any_number_of_values() {
    for bits in [18, 20, 24, 44, 51, 56] {
        let limit = 1i64 << (bits - 2);
        for len in [2, 3, 10, 14, 15, 16, 17, 18, 26, 64, 65, 100, MAX_CLASSES] {
            let mut values = Values::new(len as u64);
            let mut word = || values.word::<u64>();
            let mut rows: Vec<i64> = (0..3 * len)
                .map(|_| (word() % (2 * limit as u64)) as i64 - limit)
                .collect();
            // Ties, and both ends of the contract.
            rows.extend((0..2 * len).map(|_| (word() % 3) as i64 - 1));
            rows.extend((0..3 * len).map(|_| [-limit, limit - 1][word() as usize & 1]));
            for value in [-limit, 0, limit - 1] {
                rows.extend(vec![value; len]);
            }
            check_maximum(Maximum { bits, len }, &rows, u64::from(bits));
        }
    }
}

#[test]
fn every_value_may_be_the_maximum() {
    for len in (2..=20).chain([100, 121, MAX_CLASSES]) {
        let limit = 1i64 << 18;
        let rows: Vec<i64> = (0..len * len)
            .map(|at| match at / len == at % len {
                true => limit - 1,
                false => -limit,
            })
            .collect();
        check_maximum(Maximum { bits: 20, len }, &rows, len as u64);
    }
}

#[test]
fn comparisons_of_a_row_grow_slower_than_its_square() {
    let cost = |len| Maximum { bits: 20, len }.cost(1);
    assert_eq!(cost(10).rounds, 3);
    assert_eq!(cost(16).rounds, 3);
    assert_eq!(cost(17).rounds, 6);
    assert_eq!(cost(MAX_CLASSES).rounds, 6);
    // The products that keep signs in one round would be too many in wide rings.
    let rounds = |bits| Maximum { bits, len: 10 }.cost(1).rounds;
    assert_eq!([25, 26].map(rounds), [3, 4]);
    assert!(cost(MAX_CLASSES).online_bytes < 16 * cost(16).online_bytes);
}

/// Checks the exponentials of all arguments.
fn check_exponential(gate: Exponential, arguments: &[i64], seed: u64) {
    let (rows, len) = (arguments.len().div_ceil(130), 130);
    let mut arguments = arguments.to_vec();
    arguments.resize(rows * len, 0);
    let shares = Values::new(seed).share::<u64>(&arguments, gate.from);
    let table: Vec<_> = (0..gate.table_len())
        .map(|at| gate.table_entry(at))
        .collect();
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            let mut rotated = vec![[0; 2]; 2 * table.len()];
            reuse::start();
            let dealt = gate.deal(cx, AT, [rows, len], &table, &mut rotated);
            reuse::stop();
            dealt
        },
        |cx| {
            let mut x = shares_of(cx.role(), &shares);
            let mut scratch = vec![0; gate.scratch_len(rows, len)];
            reuse::start();
            let ran = gate.run(cx, AT, [rows, len], &mut x, &mut scratch);
            reuse::stop();
            ran?;
            Ok(x)
        },
    );
    let scale = f64::from(1 << FACTOR_FRACTION);
    for (&x, y) in arguments.iter().zip(reconstruct(&outputs, gate.to)) {
        let exponent = x as f64 / libm::scalbn(1.0, gate.fraction as i32);
        let want = match x >= 0 {
            true => libm::exp(exponent - CLIP_QUARTERS as f64 / 4.0),
            false => 0.0,
        };
        // The line's error, at most h^2 / 12 and terms of the third order for h = 1/8, the rounding of its slope, and
        // the truncation.
        let units = libm::fabs(y as f64 - want * scale);
        assert!(
            units <= 2.0 + want * scale / 650.0,
            "{gate:?} {x} {y} {want}"
        );
        assert!(x >= 0 || y == 0, "{gate:?} {x} {y}");
    }
    assert_eq!(cost, gate.cost(rows, len));
}

#[test]
fn exponentials_are_right_for_every_argument() {
    let most = |fraction: u32| (CLIP_QUARTERS << fraction >> 2) as i64;
    for to in [17, 22] {
        let (from, fraction) = (13, 8);
        let gate = Exponential { from, fraction, to };
        let arguments: Vec<i64> = (-(1 << (from - 1)) + 1..=most(fraction)).collect();
        check_exponential(gate, &arguments, u64::from(to));
    }
    // Without room for values to clip.
    let gate = Exponential {
        from: 12,
        fraction: 8,
        to: 18,
    };
    check_exponential(gate, &(0..=most(8)).collect::<Vec<_>>(), 4);
    for (from, fraction) in [(20, 12), (24, 8), (19, 13), (44, 20), (51, 13)] {
        let gate = Exponential {
            from,
            fraction,
            to: 18,
        };
        let (least, most) = (-(1i64 << (from - 1)) + 1, most(fraction));
        let mut arguments: Vec<i64> = (least..least + 50).chain(-50..50).collect();
        arguments.extend((most - 50..=most).chain((0..most).step_by(most as usize / 1000 + 1)));
        arguments.extend((least..0).step_by((-least) as usize / 200 + 1));
        check_exponential(gate, &arguments, 5);
    }
}

/// The probabilities of `samples` of logits, and the cost.
fn probabilities<R: Ring>(softmax: Softmax, samples: &[Vec<f64>]) -> (Vec<f64>, Cost) {
    let rows = samples.len();
    let format = softmax.format;
    let unit = f64::from(1u32 << softmax.logit_fraction());
    let z: Vec<i64> = samples
        .iter()
        .flatten()
        .map(|z| (z * unit) as i64)
        .collect();
    let shares = Values::new(8).share::<R>(&z, format.narrow());
    let (outputs, cost) = run(
        11,
        1 << 20,
        |cx| {
            let mut memory = vec![[0; 2]; softmax.table_len()];
            softmax.deal::<R, _>(cx, AT, rows, &mut softmax.tables(&mut memory))
        },
        |cx| {
            let mut p = shares_of(cx.role(), &shares);
            let mut scratch = vec![0; softmax.scratch_len(rows)];
            let shares = Share::wrap_slice_mut(&mut p);
            let mut unwanted = 0;
            let labels = Labels::none(&mut unwanted);
            softmax.run::<R, _>(cx, AT, rows, shares, labels, &mut scratch)?;
            Ok(p)
        },
    );
    assert_eq!(cost, softmax.cost(rows));
    let scale = libm::scalbn(1.0, format.fraction as i32 + softmax.exponent);
    let p = reconstruct(&outputs, format.ring).into_iter();
    (p.map(|p| p as f64 / scale).collect(), cost)
}

/// The largest error of a probability for `samples` of logits, and the cost.
pub(in crate::gate) fn softmax_error<R: Ring>(
    softmax: Softmax,
    samples: &[Vec<f64>],
) -> (f64, Cost) {
    let classes = softmax.classes;
    let unit = f64::from(1u32 << softmax.logit_fraction());
    let (p, cost) = probabilities::<R>(softmax, samples);
    let mut worst = 0f64;
    for (z, p) in samples.iter().zip(p.chunks_exact(classes)) {
        let z: Vec<f64> = z.iter().map(|z| (z * unit).trunc() / unit).collect();
        let mut want = vec![0.0; classes];
        Softmax::ideal(&z, &mut want);
        for (got, want) in p.iter().zip(want) {
            worst = worst.max((got - want).abs());
        }
    }
    (worst, cost)
}

/// Samples of logits over the whole input range, |z| <= `most`: random spreads, ties, single peaks, and extremes.
pub(super) fn logit_samples(classes: usize, most: f64, count: usize) -> Vec<Vec<f64>> {
    let mut values = Values::new(21);
    let mut unit = move || values.word::<u32>() as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
    let mut samples: Vec<Vec<f64>> = (0..count)
        .map(|i| {
            let spread = most * [0.01, 0.03, 0.1, 0.3, 1.0][i % 5];
            let centre = (most - spread) * unit();
            (0..classes).map(|_| centre + spread * unit()).collect()
        })
        .collect();
    for gap in [0.0, 0.3, 0.7, 1.0, 2.0, 4.0, 8.0, 15.0, 16.0, 40.0] {
        for peak in [-most, 0.0, most] {
            for high in 1..=classes.min(3) {
                let low = (peak - gap).max(-most);
                samples.push(
                    (0..classes)
                        .map(|c| if c < high { peak } else { low })
                        .collect(),
                );
            }
        }
    }
    samples
}

/// The largest logit under the gate's contract.
pub(super) fn most(softmax: Softmax) -> f64 {
    let limit = 1u64 << (softmax.contract().bits - 2);
    (limit - 1) as f64 / libm::scalbn(1.0, softmax.logit_fraction() as i32)
}

/// Checks the error over all logits under the contract, in a format of ring `R`.
fn check_softmax<R: Ring>(softmax: Softmax, count: usize) {
    let mut samples = logit_samples(softmax.classes, most(softmax), count);
    samples.extend(logit_samples(
        softmax.classes,
        most(softmax).min(60.0),
        count,
    ));
    // Rounding adds up to a unit of the result.
    let exponent = softmax.format.fraction as i32 + softmax.exponent;
    let (worst, _) = softmax_error::<R>(softmax, &samples);
    let limit = 1.0 / 1024.0 + libm::scalbn(1.0, -exponent);
    assert!(worst <= limit, "{softmax:?}: {worst}");
}

#[test]
fn softmax_error_is_below_one_part_in_1024_over_the_whole_contract() {
    for classes in [2, 3, 10, 14, 15, 16, 17, 26, 100, MAX_CLASSES] {
        for exponent in [0, -2] {
            let format = Format::new::<u32>(12).unwrap();
            let softmax = Softmax {
                format,
                headroom: 0,
                classes,
                exponent,
                loss_bits: 0,
                weighted: false,
            };
            check_softmax::<u32>(softmax, 400 / classes);
        }
    }
    for fraction in 8..=14 {
        let softmax = Softmax {
            format: Format::new::<u32>(fraction).unwrap(),
            headroom: 0,
            classes: 10,
            exponent: 0,
            loss_bits: 0,
            weighted: false,
        };
        check_softmax::<u32>(softmax, 60);
    }
    for (fraction, headroom) in [(12, 1), (12, 3), (12, 4), (14, 6)] {
        let softmax = Softmax {
            format: Format::new::<u32>(fraction).unwrap(),
            headroom,
            classes: 10,
            exponent: -2,
            loss_bits: 0,
            weighted: false,
        };
        assert!(softmax.fits::<u32>());
        check_softmax::<u32>(softmax, 60);
    }
    let wide = [8, 13, 16, 20].map(Format::new::<u64>);
    let direct = [8, 12, 14].map(Format::direct);
    for format in wide.into_iter().chain(direct) {
        for classes in [10, 26] {
            let softmax = Softmax {
                format: format.unwrap(),
                headroom: 0,
                classes,
                exponent: -2,
                loss_bits: 0,
                weighted: false,
            };
            check_softmax::<u64>(softmax, 30);
        }
    }
}

#[test]
fn probabilities_stay_right_as_the_true_logit_grows() {
    let format32 = |fraction| Format::new::<u32>(fraction).unwrap();
    let softmax = |format| Softmax {
        format,
        headroom: 0,
        classes: 10,
        exponent: 0,
        loss_bits: 0,
        weighted: false,
    };
    /// Samples with one large logit of growing size, up to the contract's edge.
    fn check<R: Ring>(softmax: Softmax) {
        let edge = most(softmax);
        let peaks = [
            3.9, 15.9, 56.3, 63.9, 64.0, 69.9, 92.6, 127.9, 128.0, 255.9, edge,
        ];
        let samples: Vec<Vec<f64>> = peaks
            .into_iter()
            .filter(|&peak| peak <= edge)
            .flat_map(|peak| {
                let sample = |others: f64| {
                    let mut sample = vec![others; 10];
                    sample[7] = peak;
                    sample
                };
                [0.0, -3.0, peak - 1.5, -edge].map(sample)
            })
            .collect();
        let (worst, _) = softmax_error::<R>(softmax, &samples);
        assert!(worst <= 1.0 / 1024.0 + 1.0 / 256.0, "{softmax:?}: {worst}");
    }
    for fraction in [9, 12, 14] {
        check::<u32>(softmax(format32(fraction)));
    }
    // u64, SPDZ-like training at 12 fraction bits, and SecureNN.
    check::<u64>(softmax(Format::new::<u64>(20).unwrap()));
    check::<u64>(softmax(Format::direct(12).unwrap()));
    check::<u64>(softmax(Format::new::<u64>(13).unwrap()));
}

#[test]
fn probabilities_have_no_bias() {
    const ROWS: usize = 3000;
    for fraction in [10, 12, 20] {
        let softmax = Softmax {
            format: Format::new::<u64>(fraction).unwrap(),
            headroom: 0,
            classes: 3,
            exponent: 8,
            loss_bits: 0,
            weighted: false,
        };
        for z in [
            [0.0, -0.0625, -3.0],
            [1.0, 0.9, 1.1],
            [0.0, -1.03, -0.4],
            [0.3, 0.3, 0.3],
            [5.0, -1.0, 1.0],
        ] {
            let errors = mean_errors::<u64>(softmax, &z, ROWS);
            // Lines that are tangents would give 2^-11.
            let worst = errors
                .iter()
                .fold(0f64, |worst, error| worst.max(error.abs()));
            std::println!("{fraction} {z:?}: {errors:?}");
            assert!(worst < libm::scalbn(1.0, -14), "{fraction} {z:?}: {worst}");
        }
    }
}

/// The mean error of each probability over `rows` samples with the same logits.
fn mean_errors<R: Ring>(softmax: Softmax, logits: &[f64], rows: usize) -> Vec<f64> {
    let unit = libm::scalbn(1.0, softmax.format.fraction as i32);
    let rounded: Vec<f64> = logits.iter().map(|z| (z * unit).round() / unit).collect();
    let samples = vec![rounded.clone(); rows];
    let (p, _) = probabilities::<R>(softmax, &samples);
    let mut want = vec![0.0; logits.len()];
    Softmax::ideal(&rounded, &mut want);
    let mean = |class: usize| {
        let of_class = p.iter().skip(class).step_by(logits.len());
        of_class.sum::<f64>() / rows as f64
    };
    want.iter()
        .enumerate()
        .map(|(class, want)| mean(class) - want)
        .collect()
}

#[test]
fn softmax_cost_is_within_its_limits() {
    let softmax = Softmax {
        format: Format::new::<u32>(12).unwrap(),
        headroom: 0,
        classes: 10,
        exponent: -2,
        loss_bits: 0,
        weighted: false,
    };
    let (_, cost) = softmax_error::<u32>(softmax, &logit_samples(10, 20.0, 98)[..128]);
    assert_eq!(cost.rounds, 8);
    assert!(cost.online_bytes <= 128 * 165, "{cost:?}");
    assert!(cost.dealer_bytes <= 128 * 17_000, "{cost:?}");
}
