//! Every gate at the edge of its contract: right up to there, and seen by whoever counts one unit further.

extern crate std;

use std::vec::Vec;

use crate::{
    gate::{
        Contract,
        argmax::{Argmax, tests::check as check_argmax},
        maxpool::{
            MaxPool,
            tests::{check_both_passes, windows},
        },
        polynomial::PolynomialGate,
        polynomial_tests::{polynomial, worst_at},
        range::{Range, tests::count},
        relu::Relu,
        select::Select,
        softmax::{Softmax, tests::softmax_error},
        tests::{check_relu, check_widen},
        widen::Widen,
    },
    model::triple_scheme::TripleScheme,
    num::fixed_point::Format,
    share::Role,
};

/// Both ends of a contract and values next to them.
fn inside(contract: Contract) -> Vec<i64> {
    let limit = contract.limit() as i64;
    [-limit, 1 - limit, -1, 0, 1, limit - 2, limit - 1, limit - 1].to_vec()
}

/// Checks that a count sees the first values outside, and none of those inside.
fn check_count(contract: Contract) {
    let limit = contract.limit() as i64;
    let outside = [limit, limit + 1, -limit - 1, -limit - 2];
    for (values, inside) in [(inside(contract), true), (outside.to_vec(), false)] {
        for &value in &values {
            assert_eq!(
                contract.holds(value as u64),
                inside,
                "{value} in {contract:?}"
            );
        }
        // It compares the count with that of the contract.
        count::<u32>(Range::new::<u32>(contract), &values, values.len(), 1);
    }
}

#[test]
fn relu_and_its_backward_pass() {
    let relu = Relu::new::<u32>(20, 32);
    let select = Select { from: 20, to: 32 };
    assert_eq!(relu.contract(), select.contract());
    check_count(relu.contract());
    check_relu::<u32>(relu, &inside(relu.contract()), 8, 2);
}

#[test]
fn widening() {
    for from in [20, 24] {
        let widen = Widen { from, to: 32 };
        check_count(widen.contract());
        check_widen(widen, &inside(widen.contract()));
    }
}

#[test]
fn max_pooling() {
    let windows = windows(4, 4, 2, 2);
    let contract = MaxPool::new::<u32>(windows, 20, 18, 32).contract();
    check_count(contract);
    // The differences of both ends are the largest that it compares.
    let values = inside(contract);
    let images: Vec<i64> = (0..4 * 32)
        .map(|at| values[(at * 5 % 8) ^ (at / 8 % 8)])
        .collect();
    check_both_passes::<u32>(windows, [20, 18, 32], &images, 3);
}

#[test]
fn argmax_and_softmax() {
    let format = Format::new::<u32>(12).unwrap();
    let softmax = Softmax {
        format,
        headroom: 3,
        classes: 8,
        exponent: 0,
        loss_bits: 0,
        weighted: false,
    };
    let contract = softmax.contract();
    assert_eq!(contract, Argmax::new(8, format.narrow()).contract());
    check_count(contract);
    let values = inside(contract);
    let mut rotated = values.clone();
    rotated.rotate_left(3);
    check_argmax::<u32>(
        8,
        contract.bits,
        &[&values[..7], &[0], &rotated].concat(),
        Role::P1,
    );
    let unit = libm::scalbn(1.0, 12 - 3);
    let sample = |values: &[i64]| values.iter().map(|&z| z as f64 / unit).collect();
    let (worst, _) = softmax_error::<u32>(softmax, &[sample(&values), sample(&rotated)]);
    assert!(worst <= 1.0 / 256.0 + 1.0 / 4096.0, "{worst}");
}

#[test]
fn polynomials() {
    let format = Format::direct(12).unwrap();
    let cubic = polynomial(3, 0, &[0.1, 0.5, 0.25, -0.125]);
    for triples in [TripleScheme::Seed, TripleScheme::Fused] {
        let gate = PolynomialGate::new(cubic, format, triples, 0);
        let contract = gate.contract();
        let limit = contract.limit() as i64;
        for (value, holds) in [(limit - 1, true), (-limit, true), (limit, false)] {
            assert_eq!(contract.holds(value as u64), holds);
        }
        let [worst, _] = worst_at::<u64>(&gate, format, inside(contract), 4);
        // Each of the terms is truncated; large values make large errors of their powers.
        let value = contract.limit() as f64 / 4096.0;
        assert!(worst <= 4.0 * value.max(1.0), "{triples}: {worst}");
    }
}
