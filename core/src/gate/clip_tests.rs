//! The gates that clip gradients of single samples, against their ideal functions; and that together they keep the bound.

extern crate std;

use std::{vec, vec::Vec};

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::Cost,
    num::ring::{Ring, Word, signed},
    prg::Address,
    share::{Public, Share},
};

use super::{
    At, Contract, Online,
    bilinear::{add_dealt, deal_words},
    clip_factor::{ClipFactor, ClipPlaces},
    harness::{Values, run},
    scaled_sum::ScaledSum,
    square_sum::SquareSum,
    tests::{AT, BACK, shares_of},
};

/// The places of the clip factor.
const PLACES: ClipPlaces = ClipPlaces {
    limits: [BACK, At { gate: 42, ..AT }, At { gate: 43, ..AT }],
    lookups: [
        At { gate: 44, ..AT },
        At { gate: 45, ..AT },
        At { gate: 46, ..AT },
    ],
};
/// The stream of the dealt sums of an iteration.
const LAST: Address = Address {
    iteration: 3,
    gate: 47,
    wire: 0,
};

/// What a party has after the sum of squares of rows.
struct Squares<R> {
    kept: Vec<R>,
    sums: Vec<u64>,
}

/// Runs the sum of squares on rows of `len` values in Z_2^from. Checks its cost. Returns the integers that the rows stand for and the
/// sums.
fn squares<R: Ring>(gate: SquareSum, xs: &[i64], len: usize, seed: u64) -> (Vec<i128>, Vec<u64>) {
    let rows = xs.len() / len;
    let x = Values::new(seed).share::<R>(xs, gate.from);
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| gate.deal(cx, AT, [rows, len]),
        |cx| {
            let mut x = shares_of(cx.role(), &x);
            let (mut kept, mut sums) = (vec![R::ZERO; rows * len], vec![0; rows]);
            gate.run(
                cx,
                AT,
                [rows, len],
                Share::wrap_slice_mut(&mut x),
                Share::wrap_slice_mut(&mut kept),
                Share::wrap_slice_mut(&mut sums),
            )?;
            Ok(Squares { kept, sums })
        },
    );
    assert_eq!(cost, gate.cost(rows, len));
    let [p0, p1] = outputs;
    let kept = p0.kept.iter().zip(&p1.kept);
    let kept = kept.map(|(a, b)| signed(a.plus(*b), R::BITS)).collect();
    let sums = p0.sums.iter().zip(&p1.sums);
    (kept, sums.map(|(a, b)| a.plus(*b).low(gate.to)).collect())
}

/// Checks sums of squares of any values: those within the contract are themselves, and others some integer.
fn check_squares<R: Ring>(from: u32, xs: &[i64], len: usize, seed: u64) {
    let gate = SquareSum::new(from, len, R::BITS).unwrap();
    let (kept, sums) = squares::<R>(gate, xs, len, seed);
    let contract = Contract { bits: from };
    for (index, (&x, &kept)) in xs.iter().zip(&kept).enumerate() {
        if contract.holds(R::from_i64(x)) {
            assert_eq!(kept, signed(R::from_i64(x).low(from), from), "{index}");
        }
        assert_eq!((kept - i128::from(x)).rem_euclid(1 << from), 0, "{index}");
        assert!(4 * kept.abs() < 3 << from, "{kept}");
    }
    for ((kept, xs), sum) in kept.chunks(len).zip(xs.chunks(len)).zip(sums) {
        let want: i128 = kept.iter().map(|x| x * x).sum();
        assert_eq!(i128::from(sum), want);
        assert!(sum < 1 << (gate.to - 3));
        let values: Vec<R> = xs.iter().map(|&x| R::from_i64(x)).collect();
        if values.iter().all(|&x| contract.holds(x)) {
            assert_eq!(sum, gate.ideal(&values));
        }
    }
}

#[test]
fn sums_of_squares_are_exact_for_all_values_of_a_small_ring() {
    for from in 2..=6 {
        let all: Vec<i64> = (0..1 << from).collect();
        for seed in 0..40 {
            check_squares::<u32>(from, &all, all.len(), seed);
            check_squares::<u64>(from, &all, 1, seed);
        }
    }
}

#[test]
fn sums_of_squares_are_exact_at_the_widths_of_trainings() {
    for (from, len) in [(17, 200), (20, 65), (14, 1000)] {
        let mut values = Values::new(from.into());
        let limit = 1i64 << (from - 2);
        let mut xs: Vec<i64> = (0..3 * len)
            .map(|_| values.word::<u32>() as i64 % limit - limit / 2)
            .collect();
        check_squares::<u32>(from, &xs, len, 1);
        check_squares::<u64>(from, &xs, len, 2);
        // The largest values of the contract, and anything at all.
        xs[..len].fill(-limit);
        xs[len..2 * len].fill(limit - 1);
        for x in &mut xs[2 * len..] {
            *x = values.word::<u32>() as i64 % (1 << from);
        }
        check_squares::<u32>(from, &xs, len, 3);
    }
    assert_eq!(SquareSum::new(25, 1 << 12, 32), None);
}

/// Runs the clip factor on sums, of which P1 makes those with an odd index weightless if `odd` is set. Checks its cost.
fn factors(gate: ClipFactor, from: u32, sums: &[i64], to: u32, odd: bool, seed: u64) -> Vec<u64> {
    let shares = Values::new(seed).share::<u64>(sums, from);
    let rows = sums.len();
    let (outputs, cost) = run(
        seed,
        1 << 22,
        |cx| {
            let mut scratch = vec![[0; 2]; ClipFactor::DEALER_PAIRS];
            gate.deal(cx, PLACES, rows, &mut scratch)
        },
        |cx| {
            let mut sums = shares_of(cx.role(), &shares);
            let mut scratch = vec![0; gate.scratch_len(rows)];
            let of_p1 = odd && cx.role() == Role::P1;
            let values = Share::wrap_slice_mut(&mut sums);
            let is_weightless = |row: usize| u64::from(of_p1) & row as u64;
            gate.run(
                cx,
                PLACES,
                values,
                |row| is_weightless(row) & 1,
                &mut scratch,
            )?;
            Ok(sums)
        },
    );
    assert_eq!(cost, gate.cost(rows));
    let [p0, p1] = outputs;
    let sums = p0.iter().zip(&p1);
    sums.map(|(a, b)| a.plus(*b).low(to)).collect()
}

#[test]
fn factors_are_those_of_the_table_and_keep_the_bound() {
    for (bound, fraction, to) in [(700u32, 10, 32), (64, 12, 32), (40_000, 7, 64)] {
        let from = 56;
        let gate = ClipFactor::new(from, [to, fraction], bound).unwrap();
        let square = u64::from(bound).pow(2);
        let mut sums: Vec<i64> = (0..60).map(|part| (square * part / 32) as i64).collect();
        sums.extend((0..40).map(|part| (square as i64 * part * part) / 16));
        sums.extend([
            1i64 << 40,
            (1 << 41) - 1,
            square as i64 - 1,
            square as i64 + 1,
        ]);
        for seed in 0..2 {
            let got = factors(gate, from, &sums, to, false, seed);
            for (&sum, &factor) in sums.iter().zip(&got) {
                let sum = sum as u64;
                assert!(gate.ideal(sum).contains(&factor), "{sum}: {factor}");
                check_factor(bound, fraction, sum, factor);
            }
        }
        let got = factors(gate, from, &sums, to, true, 9);
        for (row, (&sum, &factor)) in sums.iter().zip(&got).enumerate() {
            match row % 2 {
                0 => assert!(gate.ideal(sum as u64).contains(&factor)),
                _ => assert_eq!(factor, 0, "{sum}"),
            }
        }
    }
}

/// Checks that the scaled norm is at most the bound, and how much less than it could be.
fn check_factor(bound: u32, fraction: u32, sum: u64, factor: u64) {
    let one = 1u128 << fraction;
    let (bound, factor) = (u128::from(bound), u128::from(factor));
    assert!(factor <= one);
    assert!(factor * factor * u128::from(sum) <= (bound << fraction).pow(2));
    let norm = (sum as f64).sqrt() / bound as f64;
    let ideal = (1.0 / norm).min(1.0);
    if norm < 0.96 {
        assert_eq!(factor, one, "{norm}");
    } else if norm < 256.0 {
        let least = if norm < 3.9 { 0.969 } else { 0.93 };
        let least = least * ideal - 1.0 / one as f64;
        assert!(factor as f64 / one as f64 >= least, "{norm} {factor}");
    }
}

#[test]
fn every_entry_of_a_table_keeps_the_bound_and_the_stated_error() {
    // All bounds of some bits, so that their squares are anywhere in the index's unit.
    for bound in (8..300)
        .step_by(13)
        .chain([1000, 1023, 1024, 1025, 46_340, 65_535])
    {
        let gate = ClipFactor::new(58, [32, 9], bound).unwrap();
        let square = u64::from(bound).pow(2);
        let step = (square >> 6).max(1);
        let far = (1200..70_000)
            .step_by(37)
            .chain((70_000..4_300_000).step_by(1009));
        for part in (0..1200u64).chain(far) {
            for sum in [part * step, part * step + step / 2, part * step + step - 1] {
                for factor in gate.ideal(sum) {
                    check_factor(bound, 9, sum, factor);
                }
            }
        }
        assert_eq!(gate.ideal(1 << 55), [0; 8]);
    }
    assert_eq!(ClipFactor::new(58, [32, 9], 1), None);
}

/// The clipped sum of rows of any values, as the parties compute it: the integers that the rows stand for, the factors, and the sum.
fn clip_and_sum(
    from: u32,
    bound: u32,
    xs: &[i64],
    len: usize,
    seed: u64,
) -> (Vec<i128>, Vec<u64>, Vec<i128>) {
    let rows = xs.len() / len;
    let square = SquareSum::new(from, len, ClipFactor::least_from(bound).unwrap()).unwrap();
    let factor = ClipFactor::new(square.to, [32, 8], bound).unwrap();
    let scaled = ScaledSum { rows: square };
    let x = Values::new(seed).share::<u32>(xs, from);
    let (outputs, cost) = run(
        seed,
        1 << 22,
        |cx| {
            square.deal(cx, AT, [rows, len])?;
            let mut scratch = vec![[0; 2]; ClipFactor::DEALER_PAIRS];
            factor.deal(cx, PLACES, rows, &mut scratch)?;
            let mut sums = vec![0u32; len];
            scaled.deal(cx, AT, [rows, len], &mut sums)?;
            deal_words(cx, LAST, 0, &mut sums)
        },
        |cx| {
            let mut x = shares_of(cx.role(), &x);
            let mut kept = vec![0u32; rows * len];
            let mut sums = vec![0u64; rows];
            let mut out = vec![0u32; len];
            square.run(
                cx,
                AT,
                [rows, len],
                Share::wrap_slice_mut(&mut x),
                Share::wrap_slice_mut(&mut kept),
                Share::wrap_slice_mut(&mut sums),
            )?;
            let mut scratch = vec![0; factor.scratch_len(rows)];
            let places = PLACES;
            factor.run(
                cx,
                places,
                Share::wrap_slice_mut(&mut sums),
                |_| 0,
                &mut scratch,
            )?;
            let mut factors: Vec<u32> = sums.iter().map(|&share| share as u32).collect();
            let plain = factors.clone();
            scaled.run(
                cx,
                AT,
                [rows, len],
                Share::wrap_slice_mut(&mut factors),
                (Public::wrap_slice(&x), Share::wrap_slice(&kept)),
                Share::wrap_slice_mut(&mut out),
            )?;
            add_dealt(cx, LAST, 0, &mut out)?;
            Ok((kept, plain, out))
        },
    );
    let want = square.cost(rows, len) + factor.cost(rows) + scaled.cost(rows, len, 32);
    assert_eq!(cost, want + Cost::dealt(1, len, 32));
    assert_eq!(want.rounds, Cost::rounds(12).rounds);
    let [p0, p1] = outputs;
    let add = |a: &[u32], b: &[u32]| -> Vec<i128> {
        let sums = a.iter().zip(b).map(|(a, b)| signed(a.wrapping_add(*b), 32));
        sums.collect()
    };
    let factors = add(&p0.1, &p1.1).into_iter().map(|factor| factor as u64);
    (add(&p0.0, &p1.0), factors.collect(), add(&p0.2, &p1.2))
}

#[test]
fn no_row_adds_more_than_the_bound_to_the_sum_whatever_it_is() {
    let (from, bound, len) = (13, 900u32, 70);
    let limit = 1i64 << (from - 2);
    let mut values = Values::new(77);
    for seed in 0..30 {
        let mut xs: Vec<i64> = Vec::new();
        for row in 0..8 {
            let mut row: Vec<i64> = match row {
                // Just below, at and just above the bound.
                0..3 => {
                    let mut spike = vec![0; len];
                    spike[seed as usize % len] = i64::from(bound) - 1 + row;
                    spike
                }
                // As large as a ring's values can be.
                3 => vec![-limit; len],
                4 => vec![limit - 1; len],
                // Beyond the contract, at the largest values that they can stand for.
                5 => vec![2 * limit; len],
                6 => (0..len).map(|_| values.word::<u16>().into()).collect(),
                // A usual row a few times as large as the bound.
                _ => (0..len)
                    .map(|_| i64::from(values.word::<u8>() as i8))
                    .collect(),
            };
            for x in &mut row {
                *x %= 4 * limit;
            }
            xs.extend(row);
        }
        let (kept, factors, sums) = clip_and_sum(from, bound, &xs, len, seed);
        let ideal = ScaledSum {
            rows: SquareSum::new(from, len, 32).unwrap(),
        };
        for (column, &sum) in sums.iter().enumerate() {
            let column = kept.iter().skip(column).step_by(len).zip(&factors);
            let want: i128 = column.clone().map(|(&x, &c)| x * c as i128).sum();
            assert_eq!(sum, want);
            let pairs = column.map(|(&x, &c)| (x as u32, c as u32));
            if kept.iter().all(|x| x.abs() < i128::from(limit)) {
                assert_eq!(signed(ideal.ideal(pairs), 32), want);
            }
        }
        // What a row adds to the sum has at most the norm C.
        for (row, &factor) in kept.chunks(len).zip(&factors) {
            let square: i128 = row.iter().map(|&x| (x * factor as i128).pow(2)).sum();
            assert!(square <= (i128::from(bound) << 8).pow(2), "{square}");
        }
    }
}
