//! The gates of SecureNN, in Z_2^64.

use divan::{Bencher, counter::ItemsCount};
use ringlet_core::{
    kernel::{Dense, Linear},
    net::LinkError,
    securenn::gates::{
        At,
        division::{Division, Remainders},
        linear::{Map, Memory, Wanted},
        maxpool::{MaxPool, Steps},
        product::Product,
        sign::{Derivative, Relu},
    },
};

use super::{
    SIZES,
    harness::{Gate, assist, with_scratch},
};

const BITS: u32 = 64;
/// Products that a linear map takes: two of each party, and one of the assistant.
const PRODUCTS: usize = 5;
const AT: At = At {
    iteration: 0,
    gate: 0,
};

/// Memory of a computing party.
fn with_bits<O>(
    len: usize,
    run: impl FnOnce(&mut ringlet_core::securenn::gates::Scratch<'_>) -> O,
) -> O {
    with_scratch(len, BITS as usize, run)
}

#[divan::bench(args = SIZES, max_time = 1)]
fn product(bencher: Bencher, len: usize) {
    let gate = Product { bits: BITS };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::product", len),
            |cx| {
                let (mut x, y) = (vec![0; len], vec![0; len]);
                let [mut e, mut f, mut other] = [(); 3].map(|()| vec![0; len]);
                gate.run(cx, AT, &mut x, &y, [&mut e, &mut f, &mut other])
            },
            |cx| gate.assist(cx, AT, len),
        );
    });
}

#[divan::bench(args = SIZES, max_time = 1)]
fn derivative(bencher: Bencher, len: usize) {
    let gate = Derivative { bits: BITS };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::derivative", len),
            |cx| with_bits(len, |scratch| gate.run(cx, AT, &mut vec![0; len], scratch)),
            |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
        );
    });
}

#[divan::bench(args = SIZES, max_time = 1)]
fn relu(bencher: Bencher, len: usize) {
    let gate = Relu { bits: BITS };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::relu", len),
            |cx| {
                let [mut x, mut derivative] = [(); 2].map(|()| vec![0; len]);
                with_bits(len, |scratch| {
                    gate.run(cx, AT, &mut x, &mut derivative, scratch)
                })
            },
            |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
        );
    });
}

/// One step of a running maximum: an element is one comparison, of which windows of 2x2 take three.
#[divan::bench(args = SIZES, max_time = 1)]
fn max_pool_2x2_step(bencher: Bencher, len: usize) {
    let gate = MaxPool {
        bits: BITS,
        places: 2,
    };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::max_pool_2x2_step", len),
            |cx| {
                let mut planes = vec![0; 2 * len];
                let [mut place, mut outcome, mut moved] = [(); 3].map(|()| vec![0; len]);
                let mut steps = Steps {
                    outcome: &mut outcome,
                    place: &mut moved,
                };
                with_bits(len, |scratch| {
                    gate.run(cx, AT, &mut planes, &mut place, &mut steps, scratch)
                })
            },
            |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
        );
    });
}

/// Quotients of 13 fraction bits.
#[divan::bench(args = [SIZES[0]], max_time = 1)]
fn division(bencher: Bencher, len: usize) {
    let gate = Division {
        bits: BITS,
        fraction: 13,
    };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::division", len),
            |cx| {
                let [mut x, mut y] = [(); 2].map(|()| vec![0; len]);
                let [mut rest, mut bit, mut part] = [(); 3].map(|()| vec![0; len]);
                let mut memory = Remainders {
                    rest: &mut rest,
                    bit: &mut bit,
                    part: &mut part,
                };
                with_bits(len, |scratch| {
                    gate.run(cx, AT, &mut x, &mut y, &mut memory, scratch)
                })
            },
            |cx| with_scratch(len, 0, |scratch| gate.assist(cx, AT, len, scratch)),
        );
    });
}

/// A dense layer from 256 values to 128; an element is an output.
#[divan::bench(args = SIZES, max_time = 1)]
fn linear_map(bencher: Bencher, len: usize) {
    let dense = Dense {
        inputs: 256,
        outputs: 128,
    };
    let gate = Map {
        wanted: Wanted::Output,
        linear: Linear::Dense(dense),
        rows: len / 128,
    };
    let with_memory = |run: &mut dyn FnMut(&mut Memory<'_>) -> Result<(), LinkError>| {
        let [mut masked, mut other, mut scratch] = gate.memory_len().map(|len| vec![0; len]);
        run(&mut Memory {
            masked: &mut masked,
            other: &mut other,
            scratch: &mut scratch,
        })
    };
    bencher.counter(ItemsCount::new(len)).bench_local(|| {
        assist(
            Gate::new::<u64>("securenn::linear_map", len)
                .with_products(PRODUCTS * gate.rows * dense.inputs * dense.outputs),
            |cx| {
                let x = vec![0; gate.rows * 256];
                let (mut w, mut out) = (vec![0; 256 * 128], vec![0; len]);
                with_memory(&mut |memory| gate.run(cx, AT, &x, &mut w, &mut out, memory))
            },
            |cx| with_memory(&mut |memory| gate.assist(cx, AT, memory)),
        );
    });
}
