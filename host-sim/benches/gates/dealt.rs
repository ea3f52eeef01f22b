//! The gates of the protocols with a dealer, in both rings, with 12 and 20 fraction bits.

use bytemuck::TransparentWrapper;
use divan::{Bencher, counter::ItemsCount};
use ringlet_core::{
    Role,
    gate::{
        At, Online,
        bilinear::{Bilinear, Span},
        lookup::Lookup,
        maxpool::MaxPool,
        polynomial::PolynomialGate,
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
    num::{COEFFICIENT_FRACTION, Format, MAX_DEGREE, Polynomial, Ring},
    prg::Address,
    share::{Public, Share},
};

use super::{
    SIZES,
    harness::{Gate, Party, deal},
};

const AT: At = At {
    iteration: 0,
    gate: 0,
    row: 0,
};
const BACK: At = At { gate: 1, ..AT };

/// Products that a bilinear map takes: two of each party, and one of the dealer.
const PRODUCTS: usize = 5;

/// Elements of a row, such as those of an image.
const ROW: usize = 256;

fn format<R: Ring>() -> Format {
    let fraction = if R::BITS == 32 { 12 } else { 20 };
    Format::new::<R>(fraction).expect("a format")
}

/// Runs `run` with memory for the signs of `len` values, `bytes` of planes.
fn with_sign<R: Ring>(
    role: Role,
    bytes: usize,
    len: usize,
    run: impl FnOnce(&mut HiddenSign<'_, R>) -> Result<(), LinkError>,
) -> Result<(), LinkError> {
    let mut opened = vec![0; bytes];
    let mut shares = vec![R::ZERO; if role == Role::P1 { len } else { 0 }];
    run(&mut HiddenSign {
        opened: Public::wrap_slice_mut(&mut opened),
        shares: Share::wrap_slice_mut(&mut shares),
    })
}

#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn relu<R: Ring>(bencher: Bencher, len: usize) {
    let gate = Relu::new::<R>(format::<R>().narrow(), R::BITS);
    let shape = [len / ROW, ROW];
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("relu", len),
            |cx| gate.deal::<R, _>(cx, AT, len / ROW, ROW),
            |cx| {
                let mut x = vec![R::ZERO; len];
                let mut scratch = vec![0; gate.scratch_len(len / ROW, ROW)];
                with_sign(cx.role(), len / 8, len, |sign| {
                    let x = Share::wrap_slice_mut(&mut x);
                    gate.run(cx, AT, shape, x, sign, &mut scratch)
                })
            },
        );
    });
}

/// The backward pass of ReLU.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn select<R: Ring>(bencher: Bencher, len: usize) {
    let narrow = format::<R>().narrow();
    let relu = Relu::new::<R>(narrow, R::BITS);
    let gate = Select {
        from: narrow,
        to: R::BITS,
    };
    let shape = [len / ROW, ROW];
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("select", len),
            |cx| gate.deal::<R, _>(cx, BACK, (relu, AT), len / ROW, ROW),
            |cx| {
                let mut dy = vec![R::ZERO; len];
                with_sign(cx.role(), len / 8, len, |sign| {
                    let dy = Share::wrap_slice_mut(&mut dy);
                    gate.run(cx, BACK, (relu, AT, sign), shape, dy, &mut [])
                })
            },
        );
    });
}

/// Images of 16 x 16; an element is an input.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn max_pool_2x2<R: Ring>(bencher: Bencher, len: usize) {
    let windows = Windows {
        height: 16,
        width: 16,
        channels: 1,
        window: [2; 2],
        stride: 2,
    };
    let (narrow, rows) = (format::<R>().narrow(), len / ROW);
    let gate = MaxPool::new::<R>(windows, narrow, narrow, R::BITS);
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("max_pool_2x2", len),
            |cx| gate.deal_forward::<R, _>(cx, AT, rows),
            |cx| {
                let mut x = vec![R::ZERO; len];
                let mut scratch = vec![R::ZERO; gate.scratch_len::<R>(rows)];
                with_sign(
                    cx.role(),
                    gate.sign_len(rows),
                    gate.hide_len(rows),
                    |sign| {
                        let x = Share::wrap_slice_mut(&mut x);
                        gate.forward(cx, AT, rows, x, sign, &mut scratch)
                    },
                )
            },
        );
    });
}

/// Softmax of 10 classes; an element is a sample.
#[divan::bench(types = [u32, u64], args = [128, 1024], max_time = 1)]
fn softmax<R: Ring>(bencher: Bencher, rows: usize) {
    let gate = Softmax {
        format: format::<R>(),
        headroom: 0,
        classes: 10,
        exponent: 0,
        loss_bits: 0,
        weighted: false,
    };
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        deal(
            Gate::new::<R>("softmax", rows),
            |cx| {
                let mut memory = vec![[0; 2]; gate.table_len()];
                gate.deal::<R, _>(cx, AT, rows, &mut gate.tables(&mut memory))
            },
            |cx| {
                let mut logits = vec![R::ZERO; rows * gate.classes];
                let mut scratch = vec![0; gate.scratch_len(rows)];
                gate.run(
                    cx,
                    AT,
                    rows,
                    Share::wrap_slice_mut(&mut logits),
                    Labels::none(&mut 0),
                    &mut scratch,
                )
            },
        );
    });
}

#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn widen<R: Ring>(bencher: Bencher, len: usize) {
    let gate = Widen {
        from: format::<R>().narrow(),
        to: R::BITS,
    };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("widen", len),
            |cx| gate.deal::<R, _>(cx, AT, len / ROW, ROW),
            |cx| {
                let mut x = vec![R::ZERO; len];
                gate.run(cx, AT, len / ROW, ROW, Share::wrap_slice_mut(&mut x))
            },
        );
    });
}

/// A lookup in a table of 64 lines.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn lookup<R: Ring>(bencher: Bencher, len: usize) {
    let gate = Lookup {
        index: 6,
        rest: 10,
        to: R::BITS,
    };
    let table = [[0; 2]; 64];
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("lookup", len),
            |cx| {
                let mut scratch = [[0; 2]; 128];
                let shape = [len / ROW, ROW];
                gate.deal(cx, AT, shape, &table, &mut scratch, Lookup::tangent)
            },
            |cx| {
                let mut x = vec![0; len];
                gate.run(cx, AT, [len / ROW, ROW], Share::wrap_slice_mut(&mut x))
            },
        );
    });
}

/// A polynomial of degree 3, with one opening for all its powers.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn fused_polynomial<R: Ring>(bencher: Bencher, len: usize) {
    let mut coefficients = [0; MAX_DEGREE + 1];
    let unit = 1i64 << COEFFICIENT_FRACTION;
    coefficients[..4].copy_from_slice(&[unit / 8, unit / 2, unit / 4, unit / 64]);
    let polynomial = Polynomial {
        degree: 3,
        reach: 2,
        coefficients,
    };
    let gate = PolynomialGate::new(polynomial, format::<R>(), TripleScheme::Fused, 0);
    assert!(gate.fits());
    let shape = [len / ROW, ROW];
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>("fused_polynomial", len),
            |cx| gate.deal_forward(cx, AT, len / ROW, ROW),
            |cx| {
                let (mut x, mut kept) = (vec![R::ZERO; len], vec![0; len * gate.kept()]);
                let kept = Public::wrap_slice_mut(&mut kept);
                let x = Share::wrap_slice_mut(&mut x);
                gate.forward(cx, AT, shape, x, kept, &mut [])
            },
        );
    });
}

/// A convolution of 5 x 5 over images of 12 x 12 x 16 to 16 channels; an element is an output, of 400 products.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn convolution_5x5<R: Ring>(bencher: Bencher, len: usize) {
    let conv = Conv {
        height: 12,
        width: 12,
        inputs: 16,
        outputs: 16,
        kernel: [5, 5],
        stride: 1,
        padding: [0, 0],
        pool: 1,
    };
    forward::<R>(bencher, "convolution_5x5", Linear::Conv(conv), len);
}

/// A dense layer from 256 values to 128; an element is an output, of 256 products.
#[divan::bench(types = [u32, u64], args = SIZES, max_time = 1)]
fn dense<R: Ring>(bencher: Bencher, len: usize) {
    let dense = Dense {
        inputs: 256,
        outputs: 128,
    };
    forward::<R>(bencher, "dense", Linear::Dense(dense), len);
}

fn stream(gate: u32) -> Address {
    Address {
        iteration: 0,
        gate,
        wire: 0,
    }
}

/// The forward pass of a linear map, with the openings of its input and its weights.
fn forward<R: Ring>(bencher: Bencher, name: &'static str, linear: Linear, len: usize) {
    let gate = Bilinear(linear);
    let weights = linear.weight_len();
    let rows = len / linear.output_len();
    let mask = RowMask::Fresh {
        address: stream(1),
        first: 0,
    };
    let weight_mask = WholeMask::shared(stream(0));
    let span = Span {
        product: stream(2),
        first: 0,
        rows,
    };
    let party = |cx: &mut Party| {
        let input = linear.input_len();
        let (mut x, mut w) = (vec![R::ZERO; rows * input], vec![R::ZERO; weights]);
        let masked = [
            mask_rows(cx, mask, rows, input, Share::wrap_slice_mut(&mut x)),
            mask_whole(cx, weight_mask, Share::wrap_slice_mut(&mut w)),
        ];
        cx.open(&mut masked.map(|masked| Segment::words(masked, R::BITS)))?;
        let x = Rows {
            held: hold_rows(cx, mask, rows, input, &mut x),
            mask,
        };
        let w = Whole {
            held: hold_whole(cx, weight_mask, &mut w),
            mask: weight_mask,
        };
        let mut out = vec![R::ZERO; len];
        let mut scratch = vec![R::ZERO; gate.scratch_len(cx.role(), rows)];
        let out = Share::wrap_slice_mut(&mut out);
        gate.forward(cx, span, x, w, out, &mut scratch)
    };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        deal(
            Gate::new::<R>(name, len).with_products(PRODUCTS * rows * linear.multiplications()),
            |cx| {
                let (mut second, mut sum) = (vec![R::ZERO; weights], vec![R::ZERO; weights]);
                whole_masks(cx, weight_mask, &mut second, &mut sum);
                let masks = Masks {
                    second: &second,
                    sum: &sum,
                };
                let mut scratch = vec![R::ZERO; gate.dealer_scratch_len(rows)];
                gate.deal_forward(cx, span, mask, masks, &mut scratch)
            },
            party,
        );
    });
}
