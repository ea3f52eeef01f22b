//! Gates against their ideal functions, and measured traffic against their costs.

extern crate std;

use std::{vec, vec::Vec};

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::Cost,
    kernel::{conv::Conv, dense::Dense, linear::Linear},
    net::link::Segment,
    num::ring::{Ring, Word, signed},
    share::{Public, Share},
};

use super::{
    At, Online,
    bilinear::{Bilinear, Span},
    harness::{Values, run},
    lookup::Lookup,
    multiply::Multiply,
    plane_len,
    relu::{HiddenSign, Relu},
    select::Select,
    tensor::{
        Masks, RowMask, Rows, Whole, WholeMask, hold_rows, hold_whole, mask_rows, mask_whole,
        whole_masks,
    },
    widen::Widen,
};

pub(super) const AT: At = At {
    iteration: 3,
    gate: 40,
    row: 5,
};
pub(super) const BACK: At = At {
    iteration: 3,
    gate: 41,
    row: 5,
};

/// A party's shares.
pub(super) fn shares_of<W: Clone>(role: Role, shares: &[Vec<W>; 2]) -> Vec<W> {
    shares[role.index()].clone()
}

/// The signed values of two shares in Z_2^bits.
pub(super) fn reconstruct<W: Word>(shares: &[Vec<W>; 2], bits: u32) -> Vec<i128> {
    shares[0]
        .iter()
        .zip(&shares[1])
        .map(|(a, b)| signed(a.plus(*b).low(bits), bits))
        .collect()
}

/// Checks ReLU and its backward pass on all values in `xs`, padded to rows of `len`.
pub(super) fn check_relu<W: Word>(relu: Relu, xs: &[i64], len: usize, seed: u64) {
    let rows = xs.len().div_ceil(len);
    let mut xs = xs.to_vec();
    xs.resize(rows * len, 0);
    let mut values = Values::new(seed);
    let x = values.share::<W>(&xs, relu.from);
    let limit = 1i64 << (relu.from - 2);
    let dys: Vec<i64> = xs
        .iter()
        .map(|_| (values.word::<u64>() % (2 * limit as u64)) as i64 - limit)
        .collect();
    let dy = values.share::<W>(&dys, relu.from);
    let select = Select {
        from: relu.from,
        to: relu.to,
    };
    let (outputs, cost) = run(
        seed,
        1 << 20,
        |cx| {
            relu.deal::<W, _>(cx, AT, rows, len)?;
            select.deal::<W, _>(cx, BACK, (relu, AT), rows, len)
        },
        |cx| {
            let role = cx.role();
            let mut y = shares_of(role, &x);
            let mut g = shares_of(role, &dy);
            let mut opened = vec![0; rows * plane_len(len)];
            let mut shares = vec![W::ZERO; if role == Role::P1 { rows * len } else { 0 }];
            let mut sign = HiddenSign {
                opened: Public::wrap_slice_mut(&mut opened),
                shares: Share::wrap_slice_mut(&mut shares),
            };
            let mut scratch = vec![0; relu.scratch_len(rows, len)];
            let y_shares = Share::wrap_slice_mut(&mut y);
            relu.run(cx, AT, [rows, len], y_shares, &mut sign, &mut scratch)?;
            let g_shares = Share::wrap_slice_mut(&mut g);
            select.run(cx, BACK, (relu, AT, &sign), [rows, len], g_shares, &mut [])?;
            Ok((y, g))
        },
    );
    let [(y0, g0), (y1, g1)] = outputs;
    let y = reconstruct(&[y0, y1], relu.to);
    let g = reconstruct(&[g0, g1], relu.to);
    for (i, &x) in xs.iter().enumerate() {
        let want = signed(relu.ideal(W::from_i64(x)), relu.to);
        assert_eq!(y[i], want, "relu({x}) in {relu:?}");
        let want = signed(select.ideal(x >= 0, W::from_i64(dys[i])), relu.to);
        assert_eq!(g[i], want, "gate of {} at {x} in {relu:?}", dys[i]);
    }
    assert_eq!(cost, relu.cost(rows, len) + select.cost(rows, len));
}

#[test]
fn relu_is_exact_over_every_value_at_small_widths() {
    for (n, f, most) in [
        (8, 4, 3),
        (8, 4, 2),
        (8, 4, 6),
        (10, 5, 4),
        (9, 6, 3),
        (6, 3, 1),
        (12, 4, 5),
    ] {
        let limit = 1i64 << (n - 2);
        let all: Vec<i64> = (-limit..limit).collect();
        // Each value is tested under many masks.
        let repeats = (8000 / all.len()).max(3);
        let xs: Vec<i64> = (0..repeats).flat_map(|_| all.iter().copied()).collect();
        if most <= u32::CHUNK {
            check_relu::<u32>(
                Relu::with_chunks(n, n + f, most),
                &xs,
                100,
                u64::from(n * most),
            );
        }
        check_relu::<u64>(
            Relu::with_chunks(n, n + f, most),
            &xs,
            64,
            u64::from(n + most),
        );
    }
}

#[test]
fn relu_at_protocol_widths() {
    let mut values = Values::new(1);
    for (n, wide) in [(20, false), (18, false), (44, true), (21, true)] {
        let limit = 1i64 << (n - 2);
        let mut xs: Vec<i64> = (0..20_000)
            .map(|_| (values.word::<u64>() % (2 * limit as u64)) as i64 - limit)
            .collect();
        xs.extend([0, -1, 1, limit - 1, -limit]);
        if wide {
            check_relu::<u64>(Relu::new::<u64>(n, 64), &xs, 777, 2);
        } else {
            check_relu::<u32>(Relu::new::<u32>(n, 32), &xs, 130, 3);
        }
    }
    // The widest narrow ring: 64 bits minus the fewest fraction bits.
    let limit = 1i64 << 54;
    let xs: Vec<i64> = (0..200)
        .map(|_| (values.word::<u64>() % (2 * limit as u64)) as i64 - limit)
        .chain([0, -1, 1, limit - 1, -limit])
        .collect();
    check_relu::<u64>(Relu::new::<u64>(56, 64), &xs, 100, 5);
    // An output ring narrower than the input's, as in the softmax's clip.
    let xs: Vec<i64> = (-3000..60_000).collect();
    check_relu::<u64>(Relu::new::<u64>(21, 16), &xs, 10, 4);
}

#[test]
fn relu_cost_at_default_widths() {
    let relu = Relu::new::<u32>(20, 32);
    let select = Select { from: 20, to: 32 };
    let elements = 1_003_520;
    assert_eq!(relu.cost(160, 6272).online_bytes, elements * 27 / 8);
    assert_eq!(relu.cost(160, 6272).rounds, 3);
    assert_eq!(relu.cost(160, 6272).dealer_bytes, elements * 207 / 8);
    assert_eq!(select.cost(160, 6272).online_bytes, elements * 20 / 8);
    assert_eq!(select.cost(160, 6272).dealer_bytes, elements * 68 / 8);
}

#[test]
fn bilinear_products_match_the_plain_ones() {
    let conv = |kernel, stride, padding, pool| {
        Linear::Conv(Conv {
            height: 7,
            width: 6,
            inputs: 2,
            outputs: 3,
            kernel,
            stride,
            padding,
            pool,
        })
    };
    let dense = Linear::Dense(Dense {
        inputs: 19,
        outputs: 7,
    });
    for linear in [
        dense,
        conv([3, 3], 1, [1, 1], 1),
        conv([1, 3], 1, [0, 1], 2),
        conv([5, 5], 2, [2, 2], 1),
        conv([2, 2], 1, [0, 0], 3),
    ] {
        bilinear_against_plain::<u32>(linear);
        bilinear_against_plain::<u64>(linear);
    }
}

/// Checks all three products of a map on random ring elements.
fn bilinear_against_plain<R: Ring>(linear: Linear) {
    let rows = 18;
    let gate = Bilinear(linear);
    let (input, output, weights) = (linear.input_len(), linear.output_len(), linear.weight_len());
    let mut values = Values::new(31);
    let mut tensor = |len: usize| -> [Vec<R>; 2] {
        [0, 1].map(|_| (0..len).map(|_| values.word::<R>()).collect())
    };
    let (x, w, g) = (tensor(rows * input), tensor(weights), tensor(rows * output));
    let whole = WholeMask::shared(AT.wire(0));
    let stream = |gate: u32| At { gate, ..AT }.wire(0);
    let (x_mask, g_mask) = (
        RowMask::Fresh {
            address: stream(60),
            first: 5,
        },
        RowMask::Fresh {
            address: stream(61),
            first: 5,
        },
    );
    let span = |gate: u32| Span {
        product: stream(gate),
        first: 5,
        rows,
    };
    let scratch = |role: Option<Role>| match role {
        Some(role) => vec![R::ZERO; gate.scratch_len(role, rows)],
        None => vec![R::ZERO; gate.dealer_scratch_len(rows)],
    };
    let (outputs, cost) = run(
        17,
        1 << 20,
        |cx| {
            let (mut b1, mut sum) = (vec![R::ZERO; weights], vec![R::ZERO; weights]);
            whole_masks(cx, whole, &mut b1, &mut sum);
            let b = Masks {
                second: &b1,
                sum: &sum,
            };
            let mut scratch = scratch(None);
            gate.deal_forward(cx, span(62), x_mask, b, &mut scratch)?;
            gate.deal_input_gradient(cx, span(63), g_mask, b, &mut scratch)?;
            let mut sum = vec![R::ZERO; weights];
            gate.accumulate_weight_gradient(cx, rows, x_mask, g_mask, &mut sum, &mut scratch);
            gate.deal_weight_gradient(cx, stream(64), &mut sum)
        },
        |cx| {
            let role = cx.role();
            let (mut x, mut w, mut g) = (
                shares_of(role, &x),
                shares_of(role, &w),
                shares_of(role, &g),
            );
            let masked = [
                mask_rows(cx, x_mask, rows, input, Share::wrap_slice_mut(&mut x)),
                mask_whole(cx, whole, Share::wrap_slice_mut(&mut w)),
                mask_rows(cx, g_mask, rows, output, Share::wrap_slice_mut(&mut g)),
            ];
            cx.open(&mut masked.map(|masked| Segment::words(masked, R::BITS)))?;
            let x = Rows {
                held: hold_rows(cx, x_mask, rows, input, &mut x),
                mask: x_mask,
            };
            let g = Rows {
                held: hold_rows(cx, g_mask, rows, output, &mut g),
                mask: g_mask,
            };
            let w = Whole {
                held: hold_whole(cx, whole, &mut w),
                mask: whole,
            };
            let mut scratch = scratch(Some(role));
            let (mut y, mut dx, mut dw) = (
                vec![R::ZERO; rows * output],
                vec![R::ZERO; rows * input],
                vec![R::ZERO; weights],
            );
            gate.forward(
                cx,
                span(62),
                x,
                w,
                Share::wrap_slice_mut(&mut y),
                &mut scratch,
            )?;
            gate.input_gradient(
                cx,
                span(63),
                g,
                w,
                Share::wrap_slice_mut(&mut dx),
                &mut scratch,
            )?;
            let dw_shares = Share::wrap_slice_mut(&mut dw);
            gate.weight_gradient(cx, rows, x, g, dw_shares, &mut scratch);
            gate.finish_weight_gradient(cx, stream(64), dw_shares)?;
            Ok([y, dx, dw])
        },
    );
    let sum = |shares: [&[R]; 2]| -> Vec<R> {
        shares[0]
            .iter()
            .zip(shares[1])
            .map(|(a, b)| a.plus(*b))
            .collect()
    };
    let plain = |pair: &[Vec<R>; 2]| sum([&pair[0], &pair[1]]);
    let (x, w, g) = (plain(&x), plain(&w), plain(&g));
    let mut scratch = vec![R::ZERO; linear.scratch_len()];
    let mut want = [
        vec![R::ZERO; rows * output],
        vec![R::ZERO; rows * input],
        vec![R::ZERO; weights],
    ];
    let mut wt = vec![R::ZERO; weights];
    linear.transpose(&w, &mut wt);
    linear.forward(rows, &x, &w, &mut want[0], &mut scratch);
    linear.input_gradient(rows, &g, &wt, &mut want[1], &mut scratch);
    linear.weight_gradient(rows, &x, &g, &mut want[2], &mut scratch);
    for (which, want) in want.iter().enumerate() {
        assert!(
            sum([&outputs[0][which], &outputs[1][which]]) == *want,
            "{linear:?} {which}"
        );
    }
    let bits = R::BITS;
    let openings = [rows * input, weights, rows * output].map(|len| Cost::opening(len, bits));
    assert_eq!(
        cost,
        openings.into_iter().sum::<Cost>()
            + Cost::rounds(1)
            + gate.forward_cost(bits, rows)
            + gate.input_gradient_cost(bits, rows)
            + gate.weight_gradient_cost(bits)
    );
}

/// Checks widening on values `xs`, in two rows.
pub(super) fn check_widen(widen: Widen, xs: &[i64]) {
    let Widen { from, to } = widen;
    let x = Values::new(from.into()).share::<u32>(xs, from);
    let len = xs.len() / 2;
    let (outputs, cost) = run(
        9,
        1 << 20,
        |cx| widen.deal::<u32, _>(cx, AT, 2, len),
        |cx| {
            let mut y = shares_of(cx.role(), &x);
            widen.run(cx, AT, 2, len, Share::wrap_slice_mut(&mut y))?;
            Ok(y)
        },
    );
    for (&y, &x) in reconstruct(&outputs, to).iter().zip(xs) {
        assert_eq!(y, signed(widen.ideal(u32::from_i64(x)), to));
    }
    assert_eq!(cost, widen.cost(2, len));
}

#[test]
fn widen_keeps_every_value() {
    for (from, to) in [(6, 9), (8, 8), (10, 17)] {
        let limit = 1i64 << (from - 2);
        let xs: Vec<i64> = (0..40).flat_map(|_| -limit..limit).collect();
        check_widen(Widen { from, to }, &xs);
    }
}

#[test]
fn multiply_matches_the_integers() {
    let multiply = Multiply {
        value: 7,
        factor: 6,
        to: 14,
    };
    let (rows, len) = (32, 64);
    let factors: Vec<i64> = (-16..16).collect();
    let inputs: Vec<i64> = (0..rows).flat_map(|_| -32..32).collect();
    let mut values = Values::new(4);
    let x = values.share::<u64>(&inputs, 7);
    let y = values.share::<u64>(&factors, 6);
    for seed in 0..20 {
        let (outputs, cost) = run(
            seed,
            1 << 20,
            |cx| multiply.deal::<u32, _>(cx, AT, rows, len),
            |cx| {
                let (mut x, mut y) = (shares_of(cx.role(), &x), shares_of(cx.role(), &y));
                let mut out = vec![0u32; rows * len];
                multiply.run::<u32, _>(
                    cx,
                    AT,
                    [rows, len],
                    Share::wrap_slice_mut(&mut x),
                    Share::wrap_slice_mut(&mut y),
                    |first, products| out[first..first + products.len()].copy_from_slice(products),
                )?;
                Ok(out)
            },
        );
        for (i, &product) in reconstruct(&outputs, 14).iter().enumerate() {
            let want =
                multiply.ideal::<u32>(u64::from_i64(inputs[i]), u64::from_i64(factors[i / len]));
            assert_eq!(product, signed(want, 14));
        }
        assert_eq!(cost, multiply.cost(rows, len));
    }
}

#[test]
fn lookup_interpolates_for_either_rounding_of_the_index() {
    let lookup = Lookup {
        index: 6,
        rest: 3,
        to: 24,
    };
    // All entries differ, so that a wrong entry or slope is detected.
    let table: Vec<[u64; 2]> = (0..64u64).map(|i| [i * i * 64, i * 16 + 5]).collect();
    let inputs: Vec<i64> = (0..12).flat_map(|_| 0..504).collect();
    let x = Values::new(5).share::<u64>(&inputs, lookup.from());
    let (rows, len) = (12, 504);
    let (outputs, cost) = run(
        6,
        1 << 20,
        |cx| {
            let scratch = &mut vec![[0; 2]; 128];
            lookup.deal(cx, AT, [rows, len], &table, scratch, Lookup::tangent)
        },
        |cx| {
            let mut y = shares_of(cx.role(), &x);
            lookup.run(cx, AT, [rows, len], Share::wrap_slice_mut(&mut y))?;
            Ok(y)
        },
    );
    for (&y, &x) in reconstruct(&outputs, 24).iter().zip(&inputs) {
        let line = |index: i64| {
            let [value, slope] = table[index as usize];
            i128::from(value as i64 + slope as i64 * (x - index * 8))
        };
        let (floor, ceil) = (x / 8, (x + 7) / 8);
        assert!(y == line(floor) || y == line(ceil), "{x}: {y}");
    }
    assert_eq!(cost, lookup.cost(rows, len));
}
