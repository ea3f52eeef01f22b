//! Polynomial activations against their ideal function, for all triple schemes, over the whole range contract.

extern crate std;

use std::{ops::Range, vec, vec::Vec};

use bytemuck::TransparentWrapper;

use crate::{
    cost::{Cost, LANES},
    model::triple_scheme::TripleScheme,
    net::link::Segment,
    num::{
        fixed_point::Format,
        polynomial::{COEFFICIENT_FRACTION, MAX_DEGREE, Polynomial},
        ring::{Ring, Word, signed},
    },
    share::{Masked, Public, Share},
};

use super::{
    Online,
    cross::{Cross, Square},
    groups,
    harness::{Values, run},
    lift::Lift,
    polynomial::PolynomialGate,
    tests::{AT, BACK, reconstruct, shares_of},
};

const ALL: [TripleScheme; 3] = [
    TripleScheme::Baseline,
    TripleScheme::Seed,
    TripleScheme::Fused,
];

pub(crate) fn polynomial(degree: u8, reach: u8, coefficients: &[f64]) -> Polynomial {
    let mut units = [0; MAX_DEGREE + 1];
    for (unit, &coefficient) in units.iter_mut().zip(coefficients) {
        *unit = libm::round(libm::scalbn(coefficient, COEFFICIENT_FRACTION as i32)) as i64;
    }
    Polynomial {
        degree,
        reach,
        coefficients: units,
    }
}

/// The published cubic approximation of ReLU on [-1, 1].
fn cubic() -> Polynomial {
    polynomial(3, 0, &[0.093843844, 0.5, 0.468281718])
}

fn relu8() -> Polynomial {
    let even = [
        0.44015372,
        0.112175377,
        -0.00136608367,
        9.00913637e-06,
        -2.10974798e-08,
    ];
    let mut all = [0.0; 9];
    for (index, value) in even.into_iter().enumerate() {
        all[2 * index] = value;
    }
    all[1] = 0.5;
    polynomial(8, 3, &all)
}

fn sigmoid9() -> Polynomial {
    let odd = [
        0.2159198015,
        -0.0082176259,
        0.0001825597,
        -0.0000018848,
        0.0000000072,
    ];
    let mut all = [0.0; 10];
    for (index, value) in odd.into_iter().enumerate() {
        all[2 * index + 1] = value;
    }
    all[0] = 0.5;
    polynomial(9, 3, &all)
}

/// The largest errors, in units, of the forward and the backward pass on random inputs.
fn worst<R: Ring>(
    polynomial: Polynomial,
    format: Format,
    triples: TripleScheme,
    count: usize,
    range: Option<u32>,
) -> [f64; 2] {
    worst_of::<R>(polynomial, format, triples, count, range, 9)
}

fn worst_of<R: Ring>(
    polynomial: Polynomial,
    format: Format,
    triples: TripleScheme,
    count: usize,
    range: Option<u32>,
    seed: u64,
) -> [f64; 2] {
    let gate = PolynomialGate::new(polynomial, format, triples, 0);
    assert!(gate.fits(), "{polynomial:?} {triples}");
    let (rows, len) = (count.div_ceil(67), 67);
    let mut values = Values::new(seed);
    // Inputs over the whole range contract with its ends, or over `range`.
    let bits = range.map_or(gate.contract().bits - 1, |range| {
        format.fraction + 1 + range
    });
    let draw = |values: &mut Values, bits: u32| {
        (values.word::<u64>() >> (64 - bits)) as i64 - (1 << (bits - 1))
    };
    let mut xs: Vec<i64> = (0..rows * len).map(|_| draw(&mut values, bits)).collect();
    let ends = [-(1i64 << (bits - 1)), (1 << (bits - 1)) - 1, 0, -1, 1];
    xs[..5].copy_from_slice(&ends);
    worst_at::<R>(&gate, format, xs, seed)
}

/// The largest errors, as in [`worst`], for the inputs `xs`.
pub(super) fn worst_at<R: Ring>(
    gate: &PolynomialGate,
    format: Format,
    mut xs: Vec<i64>,
    seed: u64,
) -> [f64; 2] {
    let (rows, len) = (xs.len().div_ceil(67), 67);
    xs.resize(rows * len, 0);
    let mut values = Values::new(seed);
    let draw = |values: &mut Values, bits: u32| {
        (values.word::<u64>() >> (64 - bits)) as i64 - (1 << (bits - 1))
    };
    let mut dys: Vec<i64> = xs
        .iter()
        .map(|_| draw(&mut values, format.narrow() - 1))
        .collect();
    dys[..2].copy_from_slice(&[
        -(1 << (format.narrow() - 2)),
        (1 << (format.narrow() - 2)) - 1,
    ]);
    let x = values.share::<R>(&xs, format.narrow());
    let dy = values.share::<R>(&dys, format.narrow());
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            gate.deal_forward(cx, AT, rows, len)?;
            gate.deal_backward(cx, BACK, AT, rows, len)
        },
        |cx| {
            let (mut y, mut g) = (shares_of(cx.role(), &x), shares_of(cx.role(), &dy));
            let mut kept = vec![Public::default(); rows * len * gate.kept()];
            let mut scratch = vec![0; gate.scratch_len(rows, len)];
            let shares = Share::wrap_slice_mut(&mut y);
            gate.forward(cx, AT, [rows, len], shares, &mut kept, &mut scratch)?;
            let shares = Share::wrap_slice_mut(&mut g);
            let positions = [BACK, AT];
            gate.backward(cx, positions, [rows, len], shares, &mut kept, &mut scratch)?;
            Ok((y, g))
        },
    );
    let want: Cost = gate.forward_cost(rows, len) + gate.backward_cost(rows, len);
    assert_eq!(cost, want, "{gate:?}");
    let [(y0, g0), (y1, g1)] = outputs;
    let mut worst = [0f64; 2];
    let (y, g) = (
        reconstruct(&[y0, y1], R::BITS),
        reconstruct(&[g0, g1], R::BITS),
    );
    for (i, (&x, &dy)) in xs.iter().zip(&dys).enumerate() {
        let ideal = [gate.ideal(x), gate.ideal_gradient(x, dy)];
        for (worst, (outputs, ideal)) in worst.iter_mut().zip([y[i], g[i]].into_iter().zip(ideal)) {
            *worst = worst.max((outputs - i128::from(ideal)).unsigned_abs() as f64);
        }
    }
    worst
}

#[test]
fn products_and_squares_of_openings_are_exact_at_small_widths() {
    for (left, right, to) in [(4, 3, 8), (3, 6, 20), (5, 5, 6), (6, 4, 128)] {
        let cross = Cross { left, right, to };
        let square = Square { from: left, to };
        let lift = |from| Lift { from, to };
        // All pairs of values under the range contracts, each under eight masks.
        let half = |bits: u32| 1i64 << (bits - 2);
        let pairs: Vec<[i64; 2]> = (-half(left)..half(left))
            .flat_map(|x| (-half(right)..half(right)).map(move |y| [x, y]))
            .collect();
        let pairs: Vec<[i64; 2]> = pairs
            .iter()
            .copied()
            .cycle()
            .take(8 * pairs.len())
            .collect();
        let mut values = Values::new(2);
        let [x, y] = [(0, left), (1, right)].map(|(which, bits)| {
            let column: Vec<i64> = pairs.iter().map(|pair| pair[which]).collect();
            values.share::<u128>(&column, bits)
        });
        let len = pairs.len();
        let [a, a_carry, b, b_carry] = [0, 1, 2, 3].map(|wire| AT.wire(wire));
        let (cross_wires, square_wires) = ([4, 5, 6, 7], [8, 9]);
        let cross_wires = cross_wires.map(|wire| AT.wire(wire));
        let square_wires = square_wires.map(|wire| AT.wire(wire));
        let (outputs, _) = run(
            6,
            1 << 20,
            |cx| {
                for group in groups(AT, 1, len) {
                    let first = group.stream;
                    let (mut left_masks, mut right_masks) = ([0u128; LANES], [0u128; LANES]);
                    let left_masks = &mut left_masks[..group.lanes];
                    let right_masks = &mut right_masks[..group.lanes];
                    lift(left).deal_opened(cx, [a, a_carry], first, left_masks)?;
                    lift(right).deal_opened(cx, [b, b_carry], first, right_masks)?;
                    cross.deal(cx, cross_wires, first, left_masks, right_masks)?;
                    square.deal(cx, square_wires, first, left_masks)?;
                }
                Ok(())
            },
            |cx| {
                let (mut x, mut y) = (shares_of(cx.role(), &x), shares_of(cx.role(), &y));
                for group in groups(AT, 1, len) {
                    let first = group.stream;
                    lift(left).mask_values::<u128, u128, _>(cx, a, first, &mut x[group.range()]);
                    lift(right).mask_values::<u128, u128, _>(cx, b, first, &mut y[group.range()]);
                }
                cx.open(&mut [
                    Segment::words(Masked::wrap_slice_mut(&mut x), left),
                    Segment::words(Masked::wrap_slice_mut(&mut y), right),
                ])?;
                let (mut products, mut squares) = (vec![0u128; len], vec![0u128; len]);
                for group in groups(AT, 1, len) {
                    let (first, lanes, range) = (group.stream, group.lanes, group.range());
                    let x = lift(left).opened(cx, [a, a_carry], first, &x[range.clone()])?;
                    let y = lift(right).opened(cx, [b, b_carry], first, &y[range.clone()])?;
                    let outputs = cross.product(cx, cross_wires, first, lanes, [&x, &y])?;
                    products[range.clone()].copy_from_slice(&outputs[..lanes]);
                    let outputs = square.square(cx, square_wires, first, lanes, &x)?;
                    squares[range].copy_from_slice(&outputs[..lanes]);
                }
                Ok((products, squares))
            },
        );
        let [(p0, s0), (p1, s1)] = outputs;
        let wrapped = |value: i64| signed(u128::from_i64(value).low(to), to);
        let products = reconstruct(&[p0, p1], to);
        let squares = reconstruct(&[s0, s1], to);
        for (i, &[x, y]) in pairs.iter().enumerate() {
            assert_eq!(products[i], wrapped(x * y), "{x} {y} {cross:?}");
            assert_eq!(squares[i], wrapped(x * x), "{x} {square:?}");
        }
    }
}

#[test]
fn every_value_of_a_small_format_is_right() {
    // All values under the range contract at 8 fraction bits.
    let format = Format::direct(8).unwrap();
    for triples in ALL {
        let gate = PolynomialGate::new(cubic(), format, triples, 0);
        let bits = gate.contract().bits - 1;
        let xs: Vec<i64> = (0..1i64 << bits).map(|x| x - (1 << (bits - 1))).collect();
        let [y, g] = worst_at::<u64>(&gate, format, xs, 3);
        // Truncation of the square adds a unit. Truncation of the slope adds a unit times the gradient, up to 2^8.
        let most = match triples {
            TripleScheme::Fused => [1.0, 1.0],
            TripleScheme::Seed => [2.0, 2.0],
            TripleScheme::Baseline => [2.0, 2.0 * 256.0],
        };
        assert!(y <= most[0] && g <= most[1], "{triples} {y} {g}");
    }
}

#[test]
fn one_opening_is_exact_to_a_unit_over_the_whole_contract() {
    let direct = Format::direct(12).unwrap();
    for polynomial in [cubic(), relu8(), sigmoid9()] {
        let [y, g] = worst::<u64>(polynomial, direct, TripleScheme::Fused, 4000, None);
        assert!(y <= 1.0 && g <= 1.0, "{polynomial:?} {y} {g}");
        let narrow = Format::new::<u32>(12).unwrap();
        let [y, g] = worst::<u32>(polynomial, narrow, TripleScheme::Fused, 4000, None);
        assert!(y <= 1.0 && g <= 1.0, "{polynomial:?} {y} {g}");
    }
}

#[test]
fn chains_of_products_err_by_at_most_their_truncations() {
    for triples in [TripleScheme::Baseline, TripleScheme::Seed] {
        for (polynomial, range) in [
            (polynomial(2, 0, &[0.1, 0.5, 0.47]), 7),
            (cubic(), 7),
            (polynomial(3, 0, &[0.1, 0.5, 0.47, -0.125]), 2),
            (polynomial(4, 1, &[0.3, 0.5, 0.3, 0.0, -0.03]), 2),
            (relu8(), 2),
            (sigmoid9(), 2),
        ] {
            let check = |[y, g]: [f64; 2], gradient: u32| {
                // An error of one unit in x^k adds |c_k| units, and later products multiply it by x.
                let x = libm::scalbn(1.0, range as i32);
                let coefficient =
                    |k: usize| libm::scalbn(polynomial.coefficients[k] as f64, -48).abs();
                let sum = |slope: bool| -> f64 {
                    (2..=MAX_DEGREE)
                        .map(|k| {
                            let steps = (0..k as i32 - 1)
                                .map(|s| libm::pow(x, s.into()))
                                .sum::<f64>();
                            coefficient(k) * if slope { k as f64 } else { 1.0 } * steps
                        })
                        .sum()
                };
                assert!(y <= 2.0 + sum(false), "{polynomial:?} {triples} {y}");
                // Errors of the slope are multiplied by the gradient.
                let dy = libm::scalbn(1.0, gradient as i32 - 2 - 12);
                assert!(
                    g <= 2.0 + dy * (2.0 + sum(true)),
                    "{polynomial:?} {triples} {g}"
                );
            };
            let direct = Format::direct(12).unwrap();
            let range = Some(range);
            check(
                worst::<u64>(polynomial, direct, triples, 700, range),
                direct.narrow(),
            );
            let narrow = Format::new::<u32>(12).unwrap();
            let range = range.map(|range| range.min(5));
            check(
                worst::<u32>(polynomial, narrow, triples, 700, range),
                narrow.narrow(),
            );
        }
    }
}

#[test]
fn numbers_of_openings_are_as_published() {
    let direct = Format::direct(12).unwrap();
    for degree in 2..=9u8 {
        let mut coefficients = [0.01; 10];
        coefficients[0] = 0.5;
        let polynomial = polynomial(degree, 0, &coefficients[..=usize::from(degree)]);
        let d = u64::from(degree);
        for (triples, forward, backward) in [
            (TripleScheme::Baseline, 2 * (d - 1), 2 * (d - 1)),
            (TripleScheme::Seed, d - 1, 1),
            (TripleScheme::Fused, 1, 1),
        ] {
            let gate = PolynomialGate::new(polynomial, direct, triples, 0);
            assert!(gate.fits(), "{degree} {triples}");
            assert_eq!(gate.forward_cost(2, 50).opened_values, 100 * forward);
            assert_eq!(gate.backward_cost(2, 50).opened_values, 100 * backward);
        }
    }
}

#[test]
fn polynomials_that_need_wider_rings_do_not_fit() {
    let steep = polynomial(9, 12, &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    for triples in ALL {
        for format in [
            Format::direct(12),
            Format::new::<u32>(12),
            Format::new::<u64>(20),
        ] {
            assert!(!PolynomialGate::new(steep, format.unwrap(), triples, 0).fits());
        }
    }
    // With fewer fraction bits they fit.
    let [fine, coarse] = [20, 8].map(|fraction| Format::new::<u64>(fraction).unwrap());
    assert!(!PolynomialGate::new(relu8(), fine, TripleScheme::Fused, 0).fits());
    assert!(PolynomialGate::new(relu8(), coarse, TripleScheme::Seed, 0).fits());
}

/// Checks 200,000 values over the whole range contract for each seed, each under fresh masks.
fn check_error_is_at_most_a_unit(polynomial: Polynomial, seeds: Range<u64>) {
    let direct = Format::direct(12).unwrap();
    for seed in seeds {
        let errors = worst_of::<u64>(polynomial, direct, TripleScheme::Fused, 200_000, None, seed);
        assert!(errors[0] <= 1.0 && errors[1] <= 1.0, "{seed} {errors:?}");
    }
}

#[test]
fn no_polynomial_errs_by_more_than_a_unit() {
    for polynomial in [cubic(), relu8(), sigmoid9()] {
        check_error_is_at_most_a_unit(polynomial, 0..1);
    }
}

/// Checks 3.4 million values of each polynomial.
#[test]
#[ignore = "takes a minute"]
fn no_polynomial_of_millions_errs_by_more_than_a_unit() {
    for polynomial in [cubic(), relu8(), sigmoid9()] {
        check_error_is_at_most_a_unit(polynomial, 0..17);
    }
}

#[test]
fn a_derivative_that_is_lifted_must_fit() {
    let mut coefficients = [0.0; 10];
    coefficients[9] = 255.0;
    let steep = polynomial(9, 1, &coefficients);
    let format = Format::new::<u32>(14).unwrap();
    // Values up to 255 x 2^9 fit 32 bits, and so do products of the slope with a gradient of few bits. The slope itself,
    // 9 x 255 x 2^8 with 14 fraction bits, does not.
    let fits = [TripleScheme::Baseline, TripleScheme::Seed]
        .map(|triples| PolynomialGate::new(steep, format, triples, 6).fits());
    assert_eq!(fits, [false, true]);
}
