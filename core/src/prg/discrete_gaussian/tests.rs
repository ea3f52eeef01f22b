//! Tests of the discrete Gaussian: exact probabilities of small widths, and samples of seeded streams.

extern crate std;

use std::{collections::BTreeMap, vec, vec::Vec};

use super::{acceptance::refusal, *};
use crate::{num::ring::signed, prg::Key};

const AT: Address = Address {
    iteration: 3,
    gate: 5,
    wire: 7,
};

/// 2^-64.
const UNIT: f64 = 1.0 / (1u128 << 64) as f64;

fn gaussian(width: u32) -> DiscreteGaussian<u64> {
    DiscreteGaussian::new(NonZeroU32::new(width).expect("a width")).expect("it fits")
}

fn prg(seed: u8) -> Prg {
    Prg::new(Key::new([seed; Key::LEN]))
}

/// Seeded samples.
fn samples(width: u32, count: usize) -> Vec<i64> {
    let mut words = vec![0u64; count];
    gaussian(width).fill(&prg(1), AT, 0, &mut words);
    words.into_iter().map(|word| word as i64).collect()
}

/// sigma^2 of a width.
fn variance(width: u32) -> f64 {
    f64::from(width).powi(2) / (2.0 * core::f64::consts::LN_2)
}

/// The weight of z >= 0, where 0 has 1.
fn weight(width: u32, z: u64) -> f64 {
    (-(z as f64).powi(2) / (2.0 * variance(width))).exp()
}

/// The sum of the weights of all integers, up to weights below 10^-40.
fn all_weights(width: u32) -> f64 {
    1.0 + 2.0
        * (1..14 * u64::from(width))
            .map(|z| weight(width, z))
            .sum::<f64>()
}

/// Width, x, y; the whole part of y (y + 2 K x) / K^2, its fraction f, and 1 - 2^-f, both in units of 2^-64. The numbers are
/// made with 80 digits.
const EXPONENTS: [(u32, u32, u32, u32, u64, u64); 19] = [
    (1, 0, 0, 0, 0x0, 0x0),
    (1, 11, 0, 0, 0x0, 0x0),
    (2, 0, 1, 0, 0x4000000000000000, 0x28bb03352962950c),
    (2, 3, 1, 3, 0x4000000000000000, 0x28bb03352962950c),
    (7, 0, 0, 0, 0x0, 0x0),
    (7, 1, 6, 2, 0x72f05397829cbc15, 0x4476e539f208160a),
    (7, 11, 6, 19, 0x97829cbc14e5e0a7, 0x56250493a0e2ffa2),
    (1000, 0, 1, 0, 0x10c6f7a0b5ee, 0xba10b1ee32f),
    (1000, 0, 999, 0, 0xff7cfe586013660e, 0x7fd290ada188dfa5),
    (1000, 2, 500, 2, 0x4000000000000000, 0x28bb03352962950c),
    (65536, 1, 32768, 1, 0x4000000000000000, 0x28bb03352962950c),
    (
        1000000,
        0,
        999999,
        0,
        0xffffde7211d80dbd,
        0x7ffff45ef477cfab,
    ),
    (1000000, 4, 123456, 1, 0xbd5bd182bdbe5a, 0x831f407d89691d),
    (134217728, 0, 1, 0, 0x400, 0x2c6),
    (
        134217728,
        11,
        134217727,
        22,
        0xfffffd0000000400,
        0x7ffffef5d4daf8ea,
    ),
    (
        4294967295,
        0,
        4294967294,
        0,
        0xfffffffdffffffff,
        0x7fffffff4e8de807,
    ),
    (4294967295, 5, 1, 0, 0xa0000000b, 0x6ee74ef9e),
    (
        4294967295,
        11,
        4294967294,
        22,
        0xffffffe7ffffffe9,
        0x7ffffff7aea6e015,
    ),
    (
        4294967291,
        3,
        1234567890,
        1,
        0xceaaf67885394030,
        0x6db55519f766869c,
    ),
];

#[test]
fn the_probability_of_taking_a_trial_is_within_its_bound() {
    for (width, x, y, whole, fraction, refused) in EXPONENTS {
        let acceptance = Acceptance::new(NonZeroU32::new(width).expect("a width"));
        let got = acceptance.exponent(x, y);
        let wide = |whole: u32, fraction: u64| i128::from(whole) << 64 | i128::from(fraction);
        let below = wide(whole, fraction) - wide(got.0, got.1);
        assert!(
            (0..=5).contains(&below),
            "{width}, {x}, {y}: {below} too small"
        );
        // The exponent is exact where its fraction is.
        if got == (whole, fraction) {
            let error = refusal(fraction).abs_diff(refused);
            assert!(error <= 4, "{fraction:x}: {error}");
        }
        let error = refusal(got.1).abs_diff(refused);
        assert!(error <= 7, "{width}, {x}, {y}: {error}");
    }
}

#[test]
fn the_refusal_is_that_of_floats() {
    for step in 0..20_000u64 {
        let fraction = (step * (u64::MAX / 20_000)) ^ (step << 7);
        let exact = -(-(fraction as f64 * UNIT) * core::f64::consts::LN_2).exp_m1();
        let error = (refusal(fraction) as f64 * UNIT - exact).abs();
        assert!(error <= 4e-16 * exact + 4.0 * UNIT, "{fraction:x}: {error}");
    }
    assert_eq!(refusal(0), 0);
}

#[test]
fn products_of_halves_are_those_of_whole_words() {
    let mut words = [0u64; 4000];
    prg(2).fill(AT, 0, &mut words);
    let edges = [0, 1, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX];
    let pairs = words.as_chunks::<2>().0.iter().copied();
    let edges = edges
        .iter()
        .flat_map(|&a| edges.iter().map(move |&b| [a, b]));
    for [a, b] in pairs.chain(edges) {
        let exact = (u128::from(a) * u128::from(b)) >> 64;
        assert_eq!(u128::from(acceptance::high_by_halves(a, b)), exact);
        assert_eq!(u128::from(high(a, b)), exact);
    }
}

#[test]
fn x_follows_the_table() {
    let words = |value: u128| [0, 32, 64, 96].map(|bits| (value >> bits) as u32);
    assert_eq!(half::sample(words(u128::MAX)), 0);
    assert_eq!(half::sample(words(0)), half::LARGEST);
    let all = (all_weights(1) + 1.0) / 2.0;
    for (before, &tail) in half::TAILS.iter().enumerate() {
        assert_eq!(half::sample(words(tail)), before as u32);
        assert_eq!(half::sample(words(tail - 1)), before as u32 + 1);
        let exact: f64 = (before + 1..15)
            .map(|x| 2f64.powi(-((x * x) as i32)) / all)
            .sum();
        let got = tail as f64 * UNIT * UNIT;
        assert!(
            (got - exact).abs() <= 1e-15 * exact + 0.6 * UNIT * UNIT,
            "{before}"
        );
    }
}

/// The probability of each z >= 0 (and of -z, if z > 0), summed up from all that a trial can draw.
fn enumerated(width: u32) -> Vec<f64> {
    let acceptance = Acceptance::new(NonZeroU32::new(width).expect("a width"));
    let tails = half::TAILS.map(|tail| tail as f64 * UNIT * UNIT);
    let from = |x: usize| match x {
        0 => 1.0,
        _ => tails.get(x - 1).copied().unwrap_or(0.0),
    };
    let mut taken = Vec::new();
    for x in 0..=half::LARGEST {
        for y in 0..width {
            let (whole, fraction) = acceptance.exponent(x, y);
            let accepted = (1.0 - refusal(fraction) as f64 * UNIT) / f64::from(1 << whole);
            let drawn = from(x as usize) - from(x as usize + 1);
            taken.push(drawn / f64::from(width) * accepted / 2.0);
        }
    }
    // Zero is taken with one sign, the others with both.
    let all = 2.0 * taken.iter().sum::<f64>() - taken[0];
    taken.into_iter().map(|taken| taken / all).collect()
}

#[test]
fn probabilities_of_small_widths_are_exact() {
    for width in [1, 2, 3, 7, 64, 101] {
        let (got, all) = (enumerated(width), all_weights(width));
        let mut distance = 0.0;
        for (z, got) in got.iter().enumerate() {
            let exact = weight(width, z as u64) / all;
            distance += (got - exact).abs();
            // The table of x is exact to 2^-128.
            let bound = 1e-13 * exact + 1e-38;
            assert!(
                (got - exact).abs() <= bound,
                "{width}, {z}: {got} for {exact}"
            );
        }
        assert!(distance < 1e-14, "{width}: {distance}");
    }
}

/// How far counts are from what is expected, in deviations of a chi-square. Bins of which fewer than 10 are expected count as one.
fn surprise(counts: &BTreeMap<i64, usize>, expected: &BTreeMap<i64, f64>) -> f64 {
    let (mut chi, mut bins, mut rare) = (0.0, 0, (0.0, 0.0));
    for (bin, &expected) in expected {
        let count = counts.get(bin).copied().unwrap_or(0) as f64;
        if expected < 10.0 {
            rare = (rare.0 + count, rare.1 + expected);
        } else {
            chi += (count - expected).powi(2) / expected;
            bins += 1;
        }
    }
    if rare.1 > 0.5 {
        chi += (rare.0 - rare.1).powi(2) / rare.1;
        bins += 1;
    }
    let freedom = f64::from(bins - 1);
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn a_million_samples_have_the_distribution() {
    const COUNT: usize = 1_000_000;
    for width in [1, 2, 7, 1000, 1_000_000] {
        // Bins of a sixteenth of the width, or of one value.
        let bin = |z: i64| z.div_euclid(i64::from(width).div_euclid(16).max(1));
        let all = all_weights(width);
        let mut expected = BTreeMap::new();
        for z in -14 * i64::from(width)..=14 * i64::from(width) {
            *expected.entry(bin(z)).or_insert(0.0) +=
                COUNT as f64 * weight(width, z.unsigned_abs()) / all;
        }
        let mut counts = BTreeMap::new();
        for z in samples(width, COUNT) {
            *counts.entry(bin(z)).or_insert(0) += 1;
        }
        let surprise = surprise(&counts, &expected);
        assert!(surprise.abs() < 4.0, "width {width}: {surprise} deviations");
    }
}

#[test]
fn moments_and_tails_are_those_of_the_gaussian() {
    const COUNT: usize = 4_000_000;
    let sigma = variance(1000).sqrt();
    let samples: Vec<f64> = samples(1000, COUNT)
        .into_iter()
        .map(|z| z as f64 / sigma)
        .collect();
    let count = COUNT as f64;
    let moment = |power| samples.iter().map(|z: &f64| z.powi(power)).sum::<f64>() / count;
    // The moments of a normal distribution, and the variances of their estimates.
    for (power, exact, variance) in [
        (1, 0.0, 1.0f64),
        (2, 1.0, 2.0),
        (3, 0.0, 15.0),
        (4, 3.0, 96.0),
    ] {
        let off = (moment(power) - exact) / (variance / count).sqrt();
        assert!(off.abs() < 4.0, "moment {power}: {off} deviations");
    }
    for (bound, tail) in [
        (1.0, 0.317_310_5),
        (3.0, 2.699_796e-3),
        (4.0, 6.334_248e-5),
        (4.5, 6.795_346e-6),
        (5.0, 5.733_031e-7),
    ] {
        let expected = tail * count;
        // A sample at the bound itself counts for half.
        let beyond: f64 = [1.0, -1.0]
            .iter()
            .map(|sign| {
                samples.iter().filter(|&&z| sign * z > bound).count() as f64 - expected / 2.0
            })
            .map(|off| off / (expected / 2.0).sqrt())
            .fold(0.0, |worst: f64, off| worst.max(off.abs()));
        assert!(beyond < 4.0, "beyond {bound}: {beyond} deviations");
    }
}

#[test]
fn the_number_of_trials_tells_nothing_of_a_sample() {
    const COUNT: usize = 200_000;
    let (gaussian, prg) = (gaussian(50), prg(9));
    let mut by_trials = [(0.0, 0.0); 3];
    let (mut next, mut trials) = (0, 0);
    let mut one_by_one = vec![0; COUNT];
    for sample in one_by_one.iter_mut() {
        let mut out = [0];
        let after = gaussian.fill(&prg, AT, next, &mut out);
        let used = (after - next) as usize;
        (next, trials) = (after, trials + used);
        *sample = out[0];
        let group = &mut by_trials[used.min(3) - 1];
        *group = (group.0 + 1.0, group.1 + (out[0] as i64 as f64).powi(2));
    }
    // The same words make the same samples, in whatever pieces they are drawn.
    let mut at_once = vec![0; COUNT];
    assert_eq!(gaussian.fill(&prg, AT, 0, &mut at_once), next);
    assert_eq!(at_once, one_by_one);
    for (count, squares) in by_trials {
        let off = (squares / count / variance(50) - 1.0) / (2.0 / count).sqrt();
        assert!(
            count > 10_000.0 && off.abs() < 4.0,
            "{count}: {off} deviations"
        );
    }
    // A trial is taken with probability 0.68.
    let taken = COUNT as f64 / trials as f64;
    let exact = (all_weights(50) / 2.0) / (50.0 * (all_weights(1) + 1.0) / 2.0);
    assert!((taken - exact).abs() < 0.004, "{taken} for {exact}");
}

#[test]
fn samples_of_both_rings_are_the_same_numbers() {
    let largest = NonZeroU32::new((1 << 27) / 12).expect("a width");
    let narrow = DiscreteGaussian::<u32>::new(largest).expect("it fits");
    let (mut words, mut wide) = ([0u32; 1000], [0u64; 1000]);
    narrow.fill(&prg(4), AT, 0, &mut words);
    gaussian(largest.get()).fill(&prg(4), AT, 0, &mut wide);
    for (word, wide) in words.into_iter().zip(wide) {
        assert_eq!(signed(word, 32), signed(wide, 64));
    }
}

#[test]
fn a_width_that_leaves_the_ring_is_refused() {
    let new = |width| DiscreteGaussian::<u32>::new(NonZeroU32::new(width).expect("a width"));
    let largest = ((1 << 31) - 1) / 12;
    assert_eq!(new(largest).expect("it fits").width().get(), largest);
    assert_eq!(new(largest + 1).err(), Some(WidthTooLarge { largest }));
    gaussian(u32::MAX);
}

#[test]
fn the_smallest_width_has_at_least_the_deviation() {
    let width = |numerator, denominator| {
        let denominator = NonZeroU32::new(denominator).expect("a denominator");
        smallest_width(numerator, denominator).map(NonZeroU32::get)
    };
    assert_eq!(width(0, 1), Some(1));
    assert_eq!(width(1, 1), Some(2));
    assert_eq!(width(849, 1000), Some(1));
    assert_eq!(width(850, 1000), Some(2));
    assert_eq!(width(1000, 1), Some(1178));
    assert_eq!(width(u32::MAX, 1), None);
    assert_eq!(width(u32::MAX, 2), Some(2_528_468_770));
    for numerator in (1..2_000_000).step_by(997) {
        let smallest = f64::from(width(numerator, 16).expect("a width"));
        let exact = f64::from(numerator) / 16.0 * (2.0 * core::f64::consts::LN_2).sqrt();
        assert!((smallest - 1.0..=smallest).contains(&exact), "{numerator}");
    }
}

/// Whoever has the same key draws the same noise, in every version.
#[test]
fn samples_of_a_stream_stay_what_they_are() {
    for (width, vector) in VECTORS {
        assert_eq!(samples(width, 12), vector, "width {width}");
    }
}

/// Made from the definition with 60 digits.
const VECTORS: [(u32, [i64; 12]); 4] = [
    (1, [-1, -2, -1, 1, 0, 1, 0, 1, 1, -2, 0, 0]),
    (7, [-8, -2, -8, -6, 9, 0, 2, -4, 12, -2, 7, 4]),
    (
        1000,
        [
            -1204, -308, -35, -1238, -967, 1360, 33, -72, 395, -615, -347, 1076,
        ],
    ),
    (
        u32::MAX,
        [
            -5171466491,
            -1325816509,
            -154038188,
            -5319529771,
            -4155465173,
            5842656007,
            144328623,
            -310132004,
            1698514621,
            -2641947305,
            -1491492749,
            4624204492,
        ],
    ),
];
