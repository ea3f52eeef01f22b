//! Every gate of the dealt protocol: what P0 and P1 receive is uniform.

use bytemuck::TransparentWrapper;
use ringlet_core::{
    Role,
    contribution::Part,
    gate::{
        At, Contract, Online,
        argmax::Argmax,
        bilinear::{Bilinear, Span},
        bounds::Bounds,
        contributed::Contributed,
        lookup::Lookup,
        maxpool::MaxPool,
        multiply::Multiply,
        polynomial::PolynomialGate,
        range::Range,
        relu::{HiddenSign, Relu},
        select::Select,
        softmax::{Labels, Softmax},
        tensor::{
            Masks, RowMask, Rows, Whole, WholeMask, hold_rows, hold_whole, mask_rows, mask_whole,
            whole_masks,
        },
        widen::Widen,
    },
    kernel::{Conv, Dense, Linear, Windows},
    model::TripleScheme,
    net::{LinkError, Segment},
    num::{COEFFICIENT_FRACTION, Format, MAX_DEGREE, Polynomial, Ring, Word},
    prg::Address,
    share::{Public, Share},
};

use crate::{
    affine::{Allowed, check},
    explained::{dealt_again, no_value, padding, result},
    roles::{Dealing, Party, dealt_gate, share},
};

pub const AT: At = At {
    iteration: 3,
    gate: 40,
    row: 5,
};
const BACK: At = At { gate: 80, ..AT };

/// Checks what both parties receive.
fn check_gate(
    name: &str,
    allowed: [&[Allowed]; 2],
    deal: impl Fn(&mut Dealing) -> Result<(), LinkError> + Sync,
    party: impl Fn(&mut Party<'_>, usize) -> Result<(), LinkError> + Sync,
) {
    for (role, allowed) in Role::BOTH.into_iter().zip(allowed) {
        check(&format!("{name}, {role}"), allowed, |runs, inputs| {
            dealt_gate(role, [runs, inputs], &deal, &party)
        });
    }
}

/// Values over the range contract |x| < 2^(bits-2), with its ends.
fn values(len: usize, bits: u32) -> Vec<i64> {
    let most = (1i64 << (bits - 2)) - 1;
    let all = [0, -1, most, -most, 1, most / 3, -most / 5, most / 2];
    all.into_iter().cycle().take(len).collect()
}

/// Bytes of one bit plane of `rows` x `len` elements, with rows of at most 64.
fn plane_bytes(rows: usize, len: usize) -> usize {
    rows * len.div_ceil(8)
}

/// Runs ReLU and its backward pass.
fn relu<W: Word>(relu: Relu, [rows, len]: [usize; 2], allowed: [&[Allowed]; 2]) {
    let select = Select {
        from: relu.from,
        to: relu.to,
    };
    let shares = share::<W>(&values(rows * len, relu.from), relu.from);
    check_gate(
        &format!("{relu:?}"),
        allowed,
        |cx| {
            relu.deal::<W, _>(cx, AT, rows, len)?;
            select.deal::<W, _>(cx, BACK, (relu, AT), rows, len)
        },
        |cx, inputs| {
            let role = cx.role();
            let mut y = shares[inputs][role.index()].clone();
            let mut gradient = y.clone();
            let mut opened = vec![0; plane_bytes(rows, len)];
            let mut hide = vec![W::ZERO; role.index() * rows * len];
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut opened),
                shares: Share::wrap_slice_mut(&mut hide),
            };
            let mut scratch = vec![0; relu.scratch_len(rows, len)];
            let y = Share::wrap_slice_mut(&mut y);
            relu.run(cx, AT, [rows, len], y, &mut sign, &mut scratch)?;
            let gradient = Share::wrap_slice_mut(&mut gradient);
            let forward = (relu, AT, &sign);
            select.run(cx, BACK, forward, [rows, len], gradient, &mut [])
        },
    );
}

#[test]
fn relu_and_its_backward_pass() {
    relu::<u32>(Relu::with_chunks(9, 15, 3), [2, 8], [&[], &[]]);
    relu::<u32>(Relu::new::<u32>(20, 32), [1, 8], [&[], &[]]);
    relu::<u64>(Relu::new::<u64>(44, 64), [1, 8], [&[], &[]]);
}

#[test]
fn relu_with_lanes_that_are_not_used() {
    relu::<u32>(
        Relu::with_chunks(8, 16, 3),
        [1, 3],
        [&[no_value(1..=5)], &[padding(19..=19)]],
    );
}

#[test]
fn widening() {
    for widen in [Widen { from: 8, to: 15 }, Widen { from: 20, to: 32 }] {
        let shares = share::<u32>(&values(16, widen.from), widen.from);
        check_gate(
            &format!("{widen:?}"),
            [&[], &[]],
            |cx| widen.deal::<u32, _>(cx, AT, 2, 8),
            |cx, inputs| {
                let mut x = shares[inputs][cx.role().index()].clone();
                widen.run(cx, AT, 2, 8, Share::wrap_slice_mut(&mut x))
            },
        );
    }
}

#[test]
fn products_with_a_factor() {
    let multiply = Multiply {
        value: 12,
        factor: 8,
        to: 20,
    };
    let (x, y) = (
        share::<u64>(&values(16, 12), 12),
        share::<u64>(&values(2, 8), 8),
    );
    let (rows, len) = (2, 8);
    // For each row the factor's mask and carry of 12 bits.
    check_gate(
        "multiply",
        [&[], &[padding(16..=16)]],
        |cx| multiply.deal::<u32, _>(cx, AT, rows, len),
        |cx, inputs| {
            let [mut x, mut y] = [&x, &y].map(|shares| shares[inputs][cx.role().index()].clone());
            let (x, y) = (Share::wrap_slice_mut(&mut x), Share::wrap_slice_mut(&mut y));
            multiply.run::<u32, _>(cx, AT, [rows, len], x, y, |_, _| {})
        },
    );
}

#[test]
fn lookups() {
    let lookup = Lookup {
        index: 4,
        rest: 4,
        to: 24,
    };
    let table: Vec<[u64; 2]> = (0..16).map(|i| [i * i * 64, i * 16 + 5]).collect();
    let numbers: Vec<i64> = (0..8).map(|i| 31 * i).collect();
    let shares = share::<u64>(&numbers, lookup.from());
    check_gate(
        "lookup",
        [&[], &[]],
        |cx| {
            let scratch = &mut vec![[0; 2]; 32];
            lookup.deal(cx, AT, [1, 8], &table, scratch, Lookup::tangent)
        },
        |cx, inputs| {
            let mut x = shares[inputs][cx.role().index()].clone();
            lookup.run(cx, AT, [1, 8], Share::wrap_slice_mut(&mut x))
        },
    );
}

#[test]
fn softmax() {
    check_softmax("softmax", [0, 0], [27, 80]);
}

#[test]
fn softmax_that_sums_losses() {
    check_softmax("softmax with losses", [44, 0], [34, 95]);
}

#[test]
fn softmax_with_class_weights() {
    check_softmax("softmax with weights", [0, 1], [35, 109]);
}

/// Checks a softmax whose losses are summed in a ring of so many bits, if it has any, and with class weights if there are to be
/// any, with so many bits of padding.
fn check_softmax(name: &str, [loss_bits, weighted]: [u32; 2], paddings: [usize; 2]) {
    let format = Format::new::<u32>(8).expect("widths that fit");
    let softmax = Softmax {
        format,
        headroom: 0,
        classes: 2,
        exponent: 0,
        loss_bits,
        weighted: weighted > 0,
    };
    let shares = share::<u32>(&[700, -200], format.narrow());
    check_gate(
        name,
        [
            &[padding(paddings[0]..=paddings[0]), no_value(0..=20)],
            &[padding(paddings[1]..=paddings[1]), no_value(0..=20)],
        ],
        |cx| {
            let mut memory = vec![[0; 2]; softmax.table_len()];
            softmax.deal::<u32, _>(cx, AT, 1, &mut softmax.tables(&mut memory))
        },
        |cx, inputs| {
            let mut z = shares[inputs][cx.role().index()].clone();
            let mut scratch = vec![0; softmax.scratch_len(1)];
            let (mut label, mut sum) = ([cx.role().index() as u64], 0);
            let mut weight = [3000 * cx.role().index() as u64];
            let labels = Labels {
                labels: &mut label[..softmax.labels_len(1)],
                weights: &mut weight[..softmax.weights_len(1)],
                sum: &mut sum,
            };
            let logits = Share::wrap_slice_mut(&mut z);
            softmax.run::<u32, _>(cx, AT, 1, logits, labels, &mut scratch)
        },
    );
}

#[test]
fn max_pooling_and_its_backward_pass() {
    let windows = Windows {
        height: 2,
        width: 2,
        channels: 8,
        window: [2; 2],
        stride: 2,
    };
    let gate = MaxPool::new::<u32>(windows, 10, 12, 20);
    let shares = share::<u32>(&values(32, 9), 10);
    check_gate(
        "max pooling",
        [&[], &[]],
        |cx| {
            gate.deal_forward::<u32, _>(cx, AT, 1)?;
            gate.deal_backward::<u32, _>(cx, BACK, AT, 1)
        },
        |cx, inputs| {
            let role = cx.role();
            let mut opened = vec![0; gate.sign_len(1)];
            let mut hide = vec![0; role.index() * gate.hide_len(1)];
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut opened),
                shares: Share::wrap_slice_mut(&mut hide),
            };
            let mut scratch = vec![0; gate.scratch_len::<u32>(1)];
            let mut x = shares[inputs][role.index()].clone();
            let mut gradient = x.clone();
            let x = Share::wrap_slice_mut(&mut x);
            gate.forward(cx, AT, 1, x, &mut sign, &mut scratch)?;
            let gradient = Share::wrap_slice_mut(&mut gradient);
            let forward = (AT, &mut sign);
            gate.backward(cx, BACK, forward, 1, gradient, &mut scratch)
        },
    );
}

#[test]
fn argmax_and_its_answer() {
    let gate = Argmax::new(3, 12);
    let shares = share::<u32>(&values(6, 11), 12);
    check_gate(
        "argmax",
        [
            &[no_value(1..=20)],
            // P1 learns a class of 8 bits for each row.
            &[padding(36..=36), result(28)],
        ],
        |cx| gate.deal(cx, AT, 2),
        |cx, inputs| {
            let role = cx.role();
            let mut z = shares[inputs][role.index()].clone();
            let mut scratch = vec![0; gate.scratch_len(2)];
            let z = Share::wrap_slice_mut(&mut z);
            let classes = gate.run(cx, AT, 2, z, &mut scratch)?;
            Argmax::answer(cx, Role::P1, classes).map(|_| ())
        },
    );
}

#[test]
fn counts_of_values_out_of_range() {
    let gate = Range::new::<u32>(Contract { bits: 12 });
    let shares = share::<u32>(&values(16, 13), 12);
    check_gate(
        "range",
        [&[], &[]],
        |cx| gate.deal::<u32, _>(cx, AT, 2, 8),
        |cx, inputs| {
            let x = Share::wrap_slice(&shares[inputs][cx.role().index()]);
            let mut values = vec![0; 16];
            let mut scratch = vec![0; gate.scratch_len(2, 8)];
            let counted = gate.run(cx, AT, [2, 8], x, &mut values, &mut scratch);
            counted.map(|_| ())
        },
    );
}

#[test]
fn counts_of_bounds_that_are_broken() {
    let gate = Bounds::new::<u32>(16);
    // Two rows of masked values, whose masks the dealer knows.
    let masks = [0x9E37_79B9u32, 0x85EB_CA6B, 0xC2B2_AE35, 0x27D4_EB2F];
    let all = [
        [0, 4096, 7, 1, 9, 2, 4000, 4095],
        [-1, 4097, 1 << 14, 1, 1 << 15, -4096, 2, 3],
    ];
    let (mut opened, mut doubled) = (vec![0; 32], vec![0; 32]);
    for (row, xs) in all.into_iter().enumerate() {
        for (at, (x, mask)) in xs.into_iter().zip(masks.into_iter().cycle()).enumerate() {
            let first = 16 * row + at;
            let e = u32::from_i64(x).wrapping_add(mask);
            [opened[first], opened[first + 8]] = gate.differences(e, [0, 4096]);
            (doubled[first], doubled[first + 8]) = (mask.wrapping_neg(), mask);
        }
    }
    check_gate(
        "bounds",
        [&[], &[]],
        |cx| gate.deal::<u32, _>(cx, AT, [2, 8], &doubled),
        |cx, _| {
            let mut counts = [Share::wrap(0); 2];
            let mut scratch = vec![0; gate.scratch_len(2, 8)];
            gate.run(cx, AT, [2, 8], &opened, &mut counts, &mut scratch)
        },
    );
}

#[test]
fn contributed_values() {
    let gate = Contributed::new::<u32>(16);
    let keys = [[1; 32], [2; 32]];
    // The masked values are open, and any of 16 bits are possible.
    let masked = [0u32, 1, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xBFFF, 0xFFFF];
    check_gate(
        "contributed",
        [&[], &[]],
        |cx| gate.deal::<u32, _>(cx, AT, (keys.each_ref(), Part::Pixels), 8),
        |cx, _| {
            let key = &keys[cx.role().index()];
            let mut values = masked;
            gate.run(cx, AT, (key, Part::Pixels), &mut values)?;
            // As a training goes on: P0 receives nothing before.
            let mask = RowMask::Fresh {
                address: Address {
                    iteration: BACK.iteration,
                    gate: BACK.gate,
                    wire: 0,
                },
                first: 0,
            };
            let values = mask_rows(cx, mask, 1, 8, Share::wrap_slice_mut(&mut values));
            cx.open(&mut [Segment::words(values, 32)])
        },
    );
}

/// Runs both passes of a cubic.
fn polynomial<R: Ring>(format: Format, triples: TripleScheme) {
    let mut coefficients = [0; MAX_DEGREE + 1];
    for (unit, coefficient) in coefficients.iter_mut().zip([0.1, 0.5, 0.47, -0.125]) {
        *unit = (coefficient * 2f64.powi(COEFFICIENT_FRACTION as i32)) as i64;
    }
    let cubic = Polynomial {
        degree: 3,
        reach: 0,
        coefficients,
    };
    let gate = PolynomialGate::new(cubic, format, triples, 0);
    assert!(gate.fits());
    let narrow = format.narrow();
    let shares = share::<R>(&values(8, format.fraction + 2), narrow);
    // In the ring of products, the bits above those of a mask of x and of x^2.
    let products = format.ring + format.fraction + COEFFICIENT_FRACTION;
    let [x, square] = [narrow, 2 * narrow - 2 - format.fraction].map(|bits| products - bits);
    let again = match triples {
        TripleScheme::Baseline => 0,
        TripleScheme::Seed => 2 * x + square,
        // The forward pass has the narrower ring of sums: of 117 and of 79 bits.
        TripleScheme::Fused if format.ring == 64 => 95,
        TripleScheme::Fused => 59,
    };
    check_gate(
        &format!("polynomial, {triples}, {narrow} bits"),
        [&[], &[dealt_again(8 * again as usize)]],
        |cx| {
            gate.deal_forward(cx, AT, 1, 8)?;
            gate.deal_backward(cx, BACK, AT, 1, 8)
        },
        |cx, inputs| {
            let mut y = shares[inputs][cx.role().index()].clone();
            let mut gradient = y.clone();
            let mut kept = vec![Public::default(); 8 * gate.kept()];
            let mut scratch = vec![0; gate.scratch_len(1, 8)];
            let y = Share::wrap_slice_mut(&mut y);
            gate.forward(cx, AT, [1, 8], y, &mut kept, &mut scratch)?;
            let gradient = Share::wrap_slice_mut(&mut gradient);
            gate.backward(cx, [BACK, AT], [1, 8], gradient, &mut kept, &mut scratch)
        },
    );
}

#[test]
fn polynomials_of_all_triple_schemes() {
    for triples in [
        TripleScheme::Baseline,
        TripleScheme::Seed,
        TripleScheme::Fused,
    ] {
        polynomial::<u64>(Format::direct(12).expect("widths that fit"), triples);
        polynomial::<u32>(Format::new::<u32>(12).expect("widths that fit"), triples);
    }
}

/// Runs the product of a linear map and both of its gradients. P0 owns the samples below `boundary`, if there is one.
fn bilinear(linear: Linear, boundary: Option<u32>) {
    let rows = 2;
    let gate = Bilinear(linear);
    let (input, output, weights) = (linear.input_len(), linear.output_len(), linear.weight_len());
    let wire = |gate| Address {
        iteration: 3,
        gate,
        wire: 0,
    };
    let w_mask = WholeMask::shared(wire(59));
    let fresh = |gate| RowMask::Fresh {
        address: wire(gate),
        first: 5,
    };
    let samples = [7, 8];
    let x_mask = match boundary {
        Some(boundary) => RowMask::Kept {
            gate: 60,
            samples: &samples,
            boundary,
        },
        None => fresh(60),
    };
    let g_mask = fresh(61);
    let span = |gate| Span {
        product: wire(gate),
        first: 5,
        rows,
    };
    let [mut x, w, g] =
        [rows * input, weights, rows * output].map(|len| share::<u32>(&values(len, 20), 32));
    if boundary.is_some() {
        // Each sample is its owner's alone.
        for x in &mut x {
            x[0][input..].fill(0);
            x[1][..input].fill(0);
        }
    }
    check_gate(
        &format!("{linear:?}"),
        [&[], &[]],
        |cx| {
            let (mut second, mut sum) = (vec![0u32; weights], vec![0; weights]);
            whole_masks(cx, w_mask, &mut second, &mut sum);
            let masks = Masks {
                second: &second,
                sum: &sum,
            };
            let mut scratch = vec![0u32; gate.dealer_scratch_len(rows)];
            gate.deal_forward(cx, span(62), x_mask, masks, &mut scratch)?;
            gate.deal_input_gradient(cx, span(63), g_mask, masks, &mut scratch)?;
            let mut sum = vec![0u32; weights];
            gate.accumulate_weight_gradient(cx, rows, x_mask, g_mask, &mut sum, &mut scratch);
            gate.deal_weight_gradient(cx, wire(64), &mut sum)
        },
        |cx, inputs| {
            let role = cx.role();
            let [mut x, mut w, mut g] =
                [&x, &w, &g].map(|shares| shares[inputs][role.index()].clone());
            let masked = [
                mask_rows(cx, x_mask, rows, input, Share::wrap_slice_mut(&mut x)),
                mask_whole(cx, w_mask, Share::wrap_slice_mut(&mut w)),
                mask_rows(cx, g_mask, rows, output, Share::wrap_slice_mut(&mut g)),
            ];
            let [x_masked, w_masked, g_masked] = masked;
            match boundary {
                Some(_) => {
                    let (first, second) = x_masked.split_at_mut(input);
                    cx.open(&mut [
                        Segment::owned(first, 32, role == Role::P0),
                        Segment::owned(second, 32, role == Role::P1),
                        Segment::words(w_masked, 32),
                        Segment::words(g_masked, 32),
                    ])?;
                }
                None => {
                    cx.open(
                        &mut [x_masked, w_masked, g_masked]
                            .map(|masked| Segment::words(masked, 32)),
                    )?;
                }
            }
            let x = Rows {
                held: hold_rows(cx, x_mask, rows, input, &mut x),
                mask: x_mask,
            };
            let g = Rows {
                held: hold_rows(cx, g_mask, rows, output, &mut g),
                mask: g_mask,
            };
            let w = Whole {
                held: hold_whole(cx, w_mask, &mut w),
                mask: w_mask,
            };
            let mut scratch = vec![0u32; gate.scratch_len(role, rows)];
            let [mut y, mut dx, mut dw] =
                [rows * output, rows * input, weights].map(|len| vec![0; len]);
            let y = Share::wrap_slice_mut(&mut y);
            gate.forward(cx, span(62), x, w, y, &mut scratch)?;
            let dx = Share::wrap_slice_mut(&mut dx);
            gate.input_gradient(cx, span(63), g, w, dx, &mut scratch)?;
            let dw = Share::wrap_slice_mut(&mut dw);
            gate.weight_gradient(cx, rows, x, g, dw, &mut scratch);
            gate.finish_weight_gradient(cx, wire(64), dw)
        },
    );
}

#[test]
fn products_of_linear_maps_and_their_gradients() {
    let dense = Linear::Dense(Dense {
        inputs: 4,
        outputs: 3,
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
        bilinear(linear, None);
        bilinear(linear, Some(8));
    }
}
