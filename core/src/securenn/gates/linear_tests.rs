//! Linear maps and their gradients, and the published costs of whole networks.

extern crate std;

use std::{vec, vec::Vec};

use super::{
    linear::{Map, Memory, Wanted},
    tests::{AT, join, share},
    *,
};
use crate::{
    gate::harness::Values,
    kernel::{conv::Conv, dense::Dense, linear::Linear},
    model::Model,
    network::Network,
    securenn::{harness::run, plan},
};

/// Checks a product of random values against the plaintext kernel, and the bytes against the cost.
fn check_map(gate: Map, seed: u64) {
    let Map { linear, rows, .. } = gate;
    let [left_len, right_len, out_len] = gate.lens();
    let mut random = Values::new(seed);
    let mut draw =
        |len: usize| -> Vec<i64> { (0..len).map(|_| random.word::<u64>() as i64).collect() };
    let (left, right) = (draw(left_len), draw(right_len));
    let (lefts, rights) = (share(64, &left, seed), share(64, &right, seed + 1));
    let with_memory = |run: &mut dyn FnMut(&mut Memory<'_>) -> Result<(), LinkError>| {
        let [mut masked, mut other, mut scratch] = gate.memory_len().map(|len| vec![0; len]);
        run(&mut Memory {
            masked: &mut masked,
            other: &mut other,
            scratch: &mut scratch,
        })
    };
    let ran = run(
        seed,
        |cx| {
            let own = cx.role().index();
            let (mut right, mut out) = (rights[own].clone(), vec![0; out_len]);
            with_memory(&mut |memory| gate.run(cx, AT, &lefts[own], &mut right, &mut out, memory))?;
            Ok(out)
        },
        |cx| with_memory(&mut |memory| gate.assist(cx, AT, memory)),
    );
    let mut want = vec![0u64; out_len];
    let mut scratch = vec![0; linear.scratch_len()];
    let words = |numbers: &[i64]| -> Vec<u64> { numbers.iter().map(|&n| n as u64).collect() };
    let (left, right) = (words(&left), words(&right));
    match gate.wanted {
        Wanted::Output => linear.forward(rows, &left, &right, &mut want, &mut scratch),
        Wanted::WeightGradient => {
            linear.weight_gradient(rows, &left, &right, &mut want, &mut scratch);
        }
        Wanted::InputGradient => {
            linear.input_gradient(rows, &left, &right, &mut want, &mut scratch);
        }
    }
    assert!(join(Modulus::Even(64), &ran.outputs) == want);
    assert_eq!(ran.bytes, gate.cost().bytes);
}

#[test]
fn linear_maps_match_their_kernels() {
    let dense = Dense {
        inputs: 30,
        outputs: 7,
    };
    let conv = Conv {
        height: 7,
        width: 6,
        inputs: 2,
        outputs: 3,
        kernel: [3, 3],
        stride: 2,
        padding: [1, 1],
        pool: 1,
    };
    for seed in 0..3 {
        for wanted in [
            Wanted::Output,
            Wanted::WeightGradient,
            Wanted::InputGradient,
        ] {
            for (linear, rows) in [(Linear::Dense(dense), 4), (Linear::Conv(conv), 3)] {
                let gate = Map {
                    linear,
                    wanted,
                    rows,
                };
                check_map(gate, seed);
            }
        }
    }
    // The paper's (2 m n + 2 n v + m v) words.
    let gate = Map {
        linear: Linear::Dense(dense),
        wanted: Wanted::Output,
        rows: 4,
    };
    assert_eq!(gate.cost().bytes, 8 * (2 * 4 * 30 + 2 * 30 * 7 + 4 * 7));
}

#[test]
fn inference_costs_match_the_paper() {
    // Megabytes of all parties for 1 image and for 128, to the digits that the paper prints.
    for (name, published, digits) in [
        ("securenn-a", [2.101, 29.12], [1e3, 1e2]),
        ("securenn-b", [8.863, 1066.6], [1e3, 1e1]),
        ("securenn-c", [18.943, 1550.0], [1e3, 1e1]),
        ("securenn-d", [2.464, 114.0], [1e3, 1e1]),
    ] {
        let model = Model::built_in(name).expect("built in");
        let network = Network::new(&model).expect("a network");
        for ((rows, published), digits) in [1, 128].into_iter().zip(published).zip(digits) {
            let cost = plan::published_inference(&network, rows);
            let printed = (cost.bytes as f64 / 1e6 * digits).round() / digits;
            assert_eq!(printed, published, "{name} {rows}");
        }
    }
}
