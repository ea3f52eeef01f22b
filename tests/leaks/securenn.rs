//! Every gate of SecureNN: what P0, P1 and the assistant receive is uniform.

use ringlet_core::{
    Role,
    kernel::{Conv, Dense, Linear},
    net::LinkError,
    prg::Key,
    securenn::gates::{
        At, Computing, GATES, Scratch,
        convert::Convert,
        division::{Division, Remainders},
        linear::{Map, Memory, Wanted},
        maxpool::{MaxPool, OneHot, Steps},
        product::Product,
        sign::{Derivative, Relu, TopBit},
    },
};

use crate::{
    affine::check,
    explained::field_elements,
    roles::{Assistant, Computer, Watched, share, with_assistant},
};

const AT: At = At {
    iteration: 2,
    gate: 16,
};

/// Checks what all roles receive. Each receives field elements: P0 and P1 `elements` each, the assistant as many from
/// each of them.
fn check_gate(
    name: &str,
    elements: usize,
    party: impl Fn(&mut Computer<'_>, usize) -> Result<(), LinkError> + Sync,
    assist: impl Fn(&mut Assistant<'_>) -> Result<(), LinkError> + Sync,
) {
    let party = |cx: &mut Computer<'_>, _: &Key, inputs: usize| party(cx, inputs);
    for watched in Watched::ALL {
        let elements = match watched {
            Watched::Party(_) => elements,
            Watched::Assistant => 2 * elements,
        };
        let name = format!("{name}, {watched:?}");
        check(&name, &field_elements(elements, 0..=0), |runs, inputs| {
            with_assistant(watched, [runs, inputs], &party, &assist)
        });
    }
}

/// Calls `run` with scratch memory for `len` elements of `bits` bits.
fn with_scratch<O>(len: usize, bits: u32, run: impl FnOnce(&mut Scratch<'_>) -> O) -> O {
    let mut field = vec![0; len * bits as usize];
    let mut words: [Vec<u64>; 6] = std::array::from_fn(|_| vec![0; len]);
    run(&mut Scratch {
        bits: &mut field,
        words: words.each_mut().map(|words| &mut words[..]),
    })
}

const LEN: usize = 2;

#[test]
fn conversions_and_top_bits() {
    for bits in [8, 64] {
        let shares = share::<u64>(&[5, -3], bits);
        let elements = LEN * bits as usize;
        let convert = Convert { bits };
        check_gate(
            &format!("{convert:?}"),
            elements,
            |cx, inputs| {
                let mut x = shares[inputs][cx.role().index()].clone();
                with_scratch(LEN, bits, |scratch| convert.run(cx, AT, &mut x, scratch))
            },
            |cx| with_scratch(LEN, 0, |scratch| convert.assist(cx, AT, LEN, scratch)),
        );
        let top = TopBit { bits };
        check_gate(
            &format!("{top:?}"),
            elements,
            |cx, inputs| {
                let mut x = shares[inputs][cx.role().index()].clone();
                with_scratch(LEN, bits, |scratch| top.run(cx, AT, &mut x, scratch))
            },
            |cx| with_scratch(LEN, 0, |scratch| top.assist(cx, AT, LEN, scratch)),
        );
    }
}

#[test]
fn derivatives_and_relu() {
    for bits in [8, 16] {
        let shares = share::<u64>(&[5, -3], bits);
        let elements = 2 * LEN * bits as usize;
        let derivative = Derivative { bits };
        check_gate(
            &format!("{derivative:?}"),
            elements,
            |cx, inputs| {
                let mut x = shares[inputs][cx.role().index()].clone();
                with_scratch(LEN, bits, |scratch| derivative.run(cx, AT, &mut x, scratch))
            },
            |cx| with_scratch(LEN, 0, |scratch| derivative.assist(cx, AT, LEN, scratch)),
        );
        let relu = Relu { bits };
        check_gate(
            &format!("{relu:?}"),
            elements,
            |cx, inputs| {
                let mut x = shares[inputs][cx.role().index()].clone();
                let mut derivative = vec![0; LEN];
                with_scratch(LEN, bits, |scratch| {
                    relu.run(cx, AT, &mut x, &mut derivative, scratch)
                })
            },
            |cx| with_scratch(LEN, 0, |scratch| relu.assist(cx, AT, LEN, scratch)),
        );
    }
}

#[test]
fn maxima_and_their_positions() {
    let (bits, places) = (8, 4);
    let gate = MaxPool { bits, places };
    let hot = OneHot::new(bits, places).expect("a power of two");
    let shares = share::<u64>(&[3, -7, 9, 0, -1, 2, 9, 1], bits);
    let after = At {
        gate: AT.gate + GATES * places as u32,
        ..AT
    };
    check_gate(
        "max pooling",
        (places - 1) * 2 * LEN * bits as usize,
        |cx, inputs| {
            let mut planes = shares[inputs][cx.role().index()].clone();
            let [mut place, mut outcome, mut moved] = [(); 3].map(|()| vec![0; LEN]);
            let mut steps = Steps {
                outcome: &mut outcome,
                place: &mut moved,
            };
            let mut row = vec![0; LEN * places];
            with_scratch(LEN, bits, |scratch| {
                gate.run(cx, AT, &mut planes, &mut place, &mut steps, scratch)?;
                hot.run(cx, after, &place, &mut row, scratch)
            })
        },
        |cx| {
            let mut row = vec![0; LEN * places];
            with_scratch(LEN, 0, |scratch| {
                gate.assist(cx, AT, LEN, scratch)?;
                hot.assist(cx, after, LEN, &mut row, scratch)
            })
        },
    );
}

#[test]
fn quotients() {
    let gate = Division {
        bits: 8,
        fraction: 2,
    };
    let (x, y) = (share::<u64>(&[3, 1], 8), share::<u64>(&[7, 6], 8));
    check_gate(
        "division",
        4 * 2 * LEN * 8,
        |cx, inputs| {
            let [mut x, mut y] = [&x, &y].map(|shares| shares[inputs][cx.role().index()].clone());
            let [mut rest, mut bit, mut part] = [(); 3].map(|()| vec![0; LEN]);
            let mut memory = Remainders {
                rest: &mut rest,
                bit: &mut bit,
                part: &mut part,
            };
            with_scratch(LEN, 8, |scratch| {
                gate.run(cx, AT, &mut x, &mut y, &mut memory, scratch)
            })
        },
        |cx| with_scratch(LEN, 0, |scratch| gate.assist(cx, AT, LEN, scratch)),
    );
}

/// Checks what the parties receive in a gate in which the assistant only makes triples.
fn check_triples(
    name: &str,
    party: impl Fn(&mut Computer<'_>, usize) -> Result<(), LinkError> + Sync,
    assist: impl Fn(&mut Assistant<'_>) -> Result<(), LinkError> + Sync,
) {
    let party = |cx: &mut Computer<'_>, _: &Key, inputs: usize| party(cx, inputs);
    for role in Role::BOTH {
        check(&format!("{name}, {role}"), &[], |runs, inputs| {
            with_assistant(Watched::Party(role), [runs, inputs], &party, &assist)
        });
    }
    let views = with_assistant(Watched::Assistant, [1, 0], &party, &assist);
    assert_eq!(views, [[vec![], vec![]]], "{name}");
}

#[test]
fn products() {
    for bits in [8, 64] {
        let gate = Product { bits };
        let (x, y) = (
            share::<u64>(&[3, -1, 0, 7], bits),
            share::<u64>(&[0, 6, 0, -5], bits),
        );
        check_triples(
            &format!("{gate:?}"),
            |cx, inputs| {
                let [mut x, y] = [&x, &y].map(|shares| shares[inputs][cx.role().index()].clone());
                let [mut e, mut f, mut other] = [(); 3].map(|()| vec![0; 4]);
                gate.run(cx, AT, &mut x, &y, [&mut e, &mut f, &mut other])
            },
            |cx| gate.assist(cx, AT, 4),
        );
    }
}

#[test]
fn products_of_linear_maps_and_their_gradients() {
    let dense = Linear::Dense(Dense {
        inputs: 3,
        outputs: 2,
    });
    let conv = Linear::Conv(Conv {
        height: 3,
        width: 3,
        inputs: 1,
        outputs: 2,
        kernel: [2, 2],
        stride: 1,
        padding: [0, 0],
        pool: 1,
    });
    for linear in [dense, conv] {
        for wanted in [
            Wanted::Output,
            Wanted::WeightGradient,
            Wanted::InputGradient,
        ] {
            let gate = Map {
                linear,
                wanted,
                rows: 2,
            };
            let [left_len, right_len, out_len] = gate.lens();
            let numbers = |len: usize| (0..len as i64).map(|i| 3 * i - 7).collect::<Vec<_>>();
            let left = share::<u64>(&numbers(left_len), 64);
            let right = share::<u64>(&numbers(right_len), 64);
            let memory = || gate.memory_len().map(|len| vec![0; len]);
            check_triples(
                &format!("{gate:?}"),
                |cx, inputs| {
                    let own = cx.role().index();
                    let (mut right, mut out) = (right[inputs][own].clone(), vec![0; out_len]);
                    let [mut masked, mut other, mut scratch] = memory();
                    let mut memory = Memory {
                        masked: &mut masked,
                        other: &mut other,
                        scratch: &mut scratch,
                    };
                    gate.run(
                        cx,
                        AT,
                        &left[inputs][own],
                        &mut right,
                        &mut out,
                        &mut memory,
                    )
                },
                |cx| {
                    let [mut masked, mut other, mut scratch] = memory();
                    let mut memory = Memory {
                        masked: &mut masked,
                        other: &mut other,
                        scratch: &mut scratch,
                    };
                    gate.assist(cx, AT, &mut memory)
                },
            );
        }
    }
}
