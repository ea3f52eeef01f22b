//! Each gate against its ideal function, for every input at small widths; its cost; and the assistant's view.

extern crate std;

use std::{vec, vec::Vec};

use super::{
    compare::{Bound, Compare},
    convert::Convert,
    division::{Division, Remainders},
    maxpool::{MAX_PLACES, MaxPool, OneHot, Steps},
    modular::{P, field},
    product::Product,
    sign::{Derivative, Relu, TopBit},
    *,
};
use crate::{
    gate::harness::Values,
    securenn::harness::{run, with_scratch},
};

pub(super) const AT: At = At {
    iteration: 2,
    gate: 16,
};

/// Every sharing in a ring of every element of `values`: the elements, and both parties' shares.
fn every_sharing(ring: Modulus, values: impl Iterator<Item = u64>) -> (Vec<u64>, [Vec<u64>; 2]) {
    let size = match ring {
        Modulus::Even(bits) => 1u64 << bits,
        Modulus::Odd(bits) => (1 << bits) - 1,
    };
    let (mut all, mut shares) = (Vec::new(), [Vec::new(), Vec::new()]);
    for value in values {
        for share in 0..size {
            all.push(value);
            shares[0].push(share);
            shares[1].push(ring.minus(value, share));
        }
    }
    (all, shares)
}

/// The values of both parties' shares.
pub(super) fn join(ring: Modulus, shares: &[Vec<u64>; 2]) -> Vec<u64> {
    let pairs = shares[0].iter().zip(&shares[1]);
    pairs.map(|(&a, &b)| ring.plus(a, b)).collect()
}

/// Compares `numbers` with `bounds`. Returns the masked answers, and the bytes that the assistant received.
fn compare_all(
    bits: u32,
    seed: u64,
    numbers: &[u64],
    bounds: &[Bound],
) -> (Vec<u64>, [Vec<u8>; 2]) {
    let gate = Compare { bits };
    let len = numbers.len();
    let ran = run(
        seed,
        |cx| {
            let mut lists = vec![0; len * bits as usize];
            gate.run(cx, AT, &mut lists, |index| bounds[index])
        },
        |cx| {
            gate.share_bits(cx, AT, numbers)?;
            let mut found = vec![0; len];
            gate.assist(cx, &mut found)?;
            Ok(found)
        },
    );
    assert_eq!(
        ran.bytes,
        gate.cost(len).bytes + gate.sharing_cost(len).bytes
    );
    (ran.answer, ran.received)
}

#[test]
fn comparisons_are_right_for_every_number_and_bound() {
    for bits in [3, 6] {
        let (mut numbers, mut bounds) = (Vec::new(), Vec::new());
        for number in 0..1 << bits {
            for hide in [0, 1] {
                for value in 0..1 << bits {
                    for below_all in [0, 1] {
                        numbers.push(number);
                        bounds.push(Bound {
                            value,
                            below_all,
                            hide,
                        });
                    }
                }
            }
        }
        let (found, _) = compare_all(bits, 1, &numbers, &bounds);
        for ((&found, &number), &bound) in found.iter().zip(&numbers).zip(&bounds) {
            let want = Compare { bits }.ideal(number, bound);
            assert_eq!(found, want, "{number} {bound:?} of {bits} bits");
        }
    }
    // With 64 bits: the ends of the range, and numbers that differ in one bit.
    let ends = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    let (mut numbers, mut bounds) = (Vec::new(), Vec::new());
    for &number in &ends {
        let others = (0..64).map(|bit| number ^ 1 << bit).chain(ends);
        for value in others {
            for hide in [0, 1] {
                numbers.push(number);
                bounds.push(Bound {
                    value,
                    below_all: 0,
                    hide,
                });
            }
        }
    }
    let (found, _) = compare_all(64, 2, &numbers, &bounds);
    for ((&found, &number), &bound) in found.iter().zip(&numbers).zip(&bounds) {
        assert_eq!(
            found,
            Compare { bits: 64 }.ideal(number, bound),
            "{number} {bound:?}"
        );
    }
}

#[test]
fn the_assistant_sees_only_the_masked_answer_of_a_comparison() {
    let bits = 6;
    let len = 40_000;
    // Numbers that differ from their bounds only in the highest or the lowest bit, and forced answers.
    let views = [
        (63, 31, 0, 0),
        (33, 32, 0, 0),
        (5, 5, 0, 1),
        (9, 0, 1, 0),
        (7, 63, 0, 1),
    ]
    .map(|(number, value, below_all, hide)| {
        let bound = Bound {
            value,
            below_all,
            hide,
        };
        let seed = number + 100 * value;
        let (found, received) = compare_all(bits, seed, &vec![number; len], &vec![bound; len]);
        assert!(found.iter().all(|&found| found == 1));
        let [first, second] = received;
        let sums: Vec<u8> = first
            .iter()
            .zip(&second)
            .map(|(&a, &b)| field::plus(a, b))
            .collect();
        let (mut positions, mut entries) = (vec![0u32; bits as usize], vec![0u32; P as usize]);
        for list in sums.chunks_exact(bits as usize) {
            let zeros = list.iter().filter(|&&entry| entry == 0).count();
            assert_eq!(zeros, 1);
            let position = list.iter().position(|&entry| entry == 0);
            positions[position.expect("a zero")] += 1;
            list.iter()
                .for_each(|&entry| entries[usize::from(entry)] += 1);
        }
        // Each party's own list is uniform as well.
        let mut single = vec![0u32; P as usize];
        first
            .iter()
            .for_each(|&entry| single[usize::from(entry)] += 1);
        (positions, entries, single)
    });
    let chi = |counts: &[u32]| {
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (f64::from(count) - mean).powi(2) / mean)
            .sum::<f64>()
    };
    for (positions, entries, single) in &views {
        // 5 and 65 degrees of freedom: five standard deviations.
        assert!(chi(positions) < 5.0 + 5.0 * 10f64.sqrt(), "{positions:?}");
        assert!(
            chi(&entries[1..]) < 65.0 + 5.0 * 130f64.sqrt(),
            "{entries:?}"
        );
        assert!(chi(single) < 66.0 + 5.0 * 132f64.sqrt(), "{single:?}");
    }
}

/// Converts shares and joins the result. Checks the bytes against the cost.
fn convert(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> Vec<u64> {
    let gate = Convert { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role().index()].clone();
            with_scratch(len, bits, |scratch| gate.run(cx, AT, &mut own, scratch))?;
            Ok(own)
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    join(Modulus::Odd(bits), &ran.outputs)
}

#[test]
fn every_sharing_of_every_value_is_converted() {
    for (bits, seeds) in [(3, 40), (6, 12)] {
        let top = (1 << bits) - 1;
        let (values, shares) = every_sharing(Modulus::Even(bits), 0..top);
        for seed in 0..seeds {
            let made = convert(bits, seed, &shares);
            assert!(made == values, "{bits} bits, seed {seed}");
        }
    }
}

/// Computes the top bits of shares and joins them. Checks the bytes against the cost.
fn top_bit(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> Vec<u64> {
    let gate = TopBit { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role().index()].clone();
            with_scratch(len, bits, |scratch| gate.run(cx, AT, &mut own, scratch))?;
            Ok(own)
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    join(Modulus::Even(bits), &ran.outputs)
}

#[test]
fn the_top_bit_of_every_sharing_of_every_value() {
    for (bits, seeds) in [(3, 40), (6, 12)] {
        let (values, shares) = every_sharing(Modulus::Odd(bits), 0..(1 << bits) - 1);
        for seed in 0..seeds {
            let made = top_bit(bits, seed, &shares);
            let wanted = values.iter().map(|value| value >> (bits - 1));
            assert!(made.iter().copied().eq(wanted), "{bits} bits, seed {seed}");
        }
    }
}

/// ReLU and its derivative, joined. Checks the bytes against the cost.
fn relu(bits: u32, seed: u64, shares: &[Vec<u64>; 2]) -> [Vec<u64>; 2] {
    let gate = Relu { bits };
    let len = shares[0].len();
    let ran = run(
        seed,
        |cx| {
            let mut own = shares[cx.role().index()].clone();
            let mut derivative = vec![0; len];
            with_scratch(len, bits, |scratch| {
                gate.run(cx, AT, &mut own, &mut derivative, scratch)
            })?;
            Ok((own, derivative))
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    assert_eq!(ran.bytes, gate.cost(len).bytes);
    let [(y0, d0), (y1, d1)] = ran.outputs;
    [[y0, y1], [d0, d1]].map(|made| join(Modulus::Even(bits), &made))
}

#[test]
fn relu_of_every_sharing_of_every_number() {
    for (bits, seeds) in [(4, 20), (6, 6)] {
        let (ring, quarter) = (Modulus::Even(bits), 1 << (bits - 2));
        let numbers = (0..quarter).chain((1..=quarter).map(|number| ring.minus(0, number)));
        let (values, shares) = every_sharing(ring, numbers);
        for seed in 0..seeds {
            let [made, derivatives] = relu(bits, seed, &shares);
            for ((&value, &made), &derivative) in values.iter().zip(&made).zip(&derivatives) {
                assert_eq!(made, Relu { bits }.ideal(value), "{value} of {bits} bits");
                assert_eq!(derivative, Derivative { bits }.ideal(value), "{value}");
            }
        }
    }
}

#[test]
fn relu_of_random_numbers_and_of_the_ends_of_the_range() {
    let (ring, mut random) = (Modulus::Even(64), Values::new(5));
    let end = 1u64 << 62;
    let ends = [
        0,
        1,
        1u64.wrapping_neg(),
        end - 1,
        end.wrapping_neg(),
        (end - 1).wrapping_neg(),
    ];
    let mut values: Vec<u64> = (0..2000)
        .map(|_| ((random.word::<u64>() as i64) >> (2 + random.word::<u64>() % 60)) as u64)
        .collect();
    values.extend(ends);
    let first: Vec<u64> = values.iter().map(|_| random.word()).collect();
    let pairs = values.iter().zip(&first);
    let second = pairs
        .map(|(&value, &share)| ring.minus(value, share))
        .collect();
    let [made, derivatives] = relu(64, 3, &[first, second]);
    for ((&value, &made), &derivative) in values.iter().zip(&made).zip(&derivatives) {
        assert_eq!(made, Relu { bits: 64 }.ideal(value));
        assert_eq!(derivative, Derivative { bits: 64 }.ideal(value));
    }
}

#[test]
fn costs_match_the_paper() {
    // Bits and messages for one element, with 64-bit words and one byte for each field element.
    let bits = 64;
    let l = 64;
    for (cost, want, messages) in [
        (Compare { bits }.cost(1), 2 * l * 8, 1),
        (Convert { bits }.cost(1), 4 * l * 8 + 6 * l, 4),
        (TopBit { bits }.cost(1), 4 * l * 8 + 13 * l, 5),
        (Derivative { bits }.cost(1), 8 * l * 8 + 19 * l, 8),
        (Product { bits }.cost(1), 5 * l, 2),
        (Relu { bits }.cost(1), 8 * l * 8 + 24 * l, 10),
        (
            MaxPool { bits, places: 4 }.cost(1),
            3 * (8 * l * 8 + 29 * l),
            3 * 9,
        ),
        (OneHot::new(bits, 4).expect("a gate").cost(1), 2 * 5 * l, 2),
    ] {
        assert_eq!((8 * cost.bytes, cost.messages), (want, messages));
    }
}

/// Random shares of numbers in Z_2^bits.
pub(super) fn share(bits: u32, numbers: &[i64], seed: u64) -> [Vec<u64>; 2] {
    let (ring, mut random) = (Modulus::Even(bits), Values::new(seed));
    let first: Vec<u64> = numbers
        .iter()
        .map(|_| ring.uniform(random.word()))
        .collect();
    let pairs = numbers.iter().zip(&first);
    let second = pairs.map(|(&number, &share)| ring.minus(ring.take(number as u64), share));
    [first.clone(), second.collect()]
}

/// Checks the maxima of `places` planes of numbers, their positions, the one-hot vectors, and the bytes.
fn pool(bits: u32, places: usize, numbers: &[i64], seed: u64) {
    let gate = MaxPool { bits, places };
    let hot = OneHot::new(bits, places).expect("a power of two");
    let len = numbers.len() / places;
    let shares = share(bits, numbers, seed);
    let after = At {
        gate: 16 + GATES * places as u32,
        ..AT
    };
    let ran = run(
        seed,
        |cx| {
            let mut planes = shares[cx.role().index()].clone();
            let [mut place, mut outcome, mut moved] = [(); 3].map(|()| vec![0; len]);
            let mut steps = Steps {
                outcome: &mut outcome,
                place: &mut moved,
            };
            let mut row = vec![0; len * places];
            with_scratch(len, bits, |scratch| {
                gate.run(cx, AT, &mut planes, &mut place, &mut steps, scratch)?;
                hot.run(cx, after, &place, &mut row, scratch)
            })?;
            planes.truncate(len);
            Ok([planes, place, row])
        },
        |cx| {
            let mut row = vec![0; len * places];
            with_scratch(len, 0, |scratch| {
                gate.assist(cx, AT, len, scratch)?;
                hot.assist(cx, after, len, &mut row, scratch)
            })
        },
    );
    let ring = Modulus::Even(bits);
    let [first, second] = ran.outputs;
    let pairs: Vec<Vec<u64>> = first
        .into_iter()
        .zip(second)
        .map(|(a, b)| join(ring, &[a, b]))
        .collect();
    let [maxima, positions, row] = &pairs[..] else {
        panic!("three results");
    };
    for element in 0..len {
        let all = (0..places).map(|place| numbers[place * len + element]);
        let (place, largest) = all
            .enumerate()
            .max_by_key(|&(_, number)| number)
            .expect("one");
        assert_eq!(maxima[element], ring.take(largest as u64));
        assert_eq!(positions[element], place as u64);
        for bit in 0..places {
            assert_eq!(row[bit * len + element], u64::from(bit == place));
        }
    }
    assert_eq!(ran.bytes, gate.cost(len).bytes + hot.cost(len).bytes);
}

#[test]
fn one_hot_lengths_are_powers_of_two() {
    assert_eq!(OneHot::new(64, 9), None);
    assert_eq!(OneHot::new(64, 128), None);
    assert!(OneHot::new(64, MAX_PLACES).is_some());
}

#[test]
fn maxima_and_their_positions() {
    // Every pair whose difference is in range; then windows of four, and 64 bits.
    let pairs: Vec<[i64; 2]> = (-8..8).flat_map(|p| (-8..8).map(move |q| [p, q])).collect();
    let planes: Vec<i64> = [0, 1]
        .iter()
        .flat_map(|&i| pairs.iter().map(move |p| p[i]))
        .collect();
    for seed in 0..8 {
        pool(6, 2, &planes, seed);
    }
    let mut random = Values::new(31);
    let mut draw = |len: usize, shift: u32| -> Vec<i64> {
        (0..len)
            .map(|_| (random.word::<u64>() as i64) >> shift)
            .collect()
    };
    pool(6, 4, &draw(4 * 300, 60), 1);
    pool(64, 4, &draw(4 * 100, 3), 2);
    pool(64, 16, &draw(16 * 5, 40), 3);
}

/// Checks quotients against the ideal function, and the bytes against the cost.
fn divide(bits: u32, fraction: u32, x: &[i64], y: &[i64], seed: u64) {
    let gate = Division { bits, fraction };
    let len = x.len();
    let (xs, ys) = (share(bits, x, seed), share(bits, y, seed + 1));
    let ran = run(
        seed,
        |cx| {
            let own = cx.role().index();
            let (mut x, mut y) = (xs[own].clone(), ys[own].clone());
            let [mut rest, mut bit, mut part] = [(); 3].map(|()| vec![0; len]);
            let mut memory = Remainders {
                rest: &mut rest,
                bit: &mut bit,
                part: &mut part,
            };
            with_scratch(len, bits, |scratch| {
                gate.run(cx, AT, &mut x, &mut y, &mut memory, scratch)
            })?;
            Ok(x)
        },
        |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
    );
    let quotients = join(Modulus::Even(bits), &ran.outputs);
    for ((&quotient, &x), &y) in quotients.iter().zip(x).zip(y) {
        assert_eq!(quotient, gate.ideal(x as u64, y as u64), "{x} / {y}");
    }
    assert_eq!(ran.bytes, gate.cost(len).bytes);
}

#[test]
fn every_quotient_of_small_numbers_and_zeros() {
    let pairs: Vec<[i64; 2]> = (0..8).flat_map(|y| (0..=y).map(move |x| [x, y])).collect();
    let (x, y): (Vec<i64>, Vec<i64>) = pairs.iter().map(|p| (p[0], p[1])).unzip();
    for seed in 0..30 {
        divide(8, 2, &x, &y, seed);
    }
    let mut random = Values::new(8);
    let y: Vec<i64> = (0..60)
        .map(|i| (random.word::<u64>() >> (18 + i % 40)) as i64)
        .collect();
    let x: Vec<i64> = y
        .iter()
        .map(|&y| (random.word::<u64>() % (y as u64 + 1)) as i64)
        .collect();
    divide(64, 13, &x, &y, 4);
}
