//! The work of one role in a comparison of SecureNN, without threads and with links to nobody. Since the role never
//! waits, this is processor time.

use divan::{Bencher, counter::ItemsCount};
use ringlet_core::{
    Role,
    securenn::gates::{At, product::Product, sign::Derivative},
};

use super::harness::{lonely_assistant, lonely_computer, with_scratch};

const BITS: u32 = 64;
const LEN: usize = 1 << 10;
const AT: At = At {
    iteration: 0,
    gate: 0,
};
const SIGN: Derivative = Derivative { bits: BITS };
const PRODUCT: Product = Product { bits: BITS };

#[divan::bench(max_time = 1)]
fn derivative_by_p0(bencher: Bencher) {
    derivative_by(bencher, Role::P0);
}

#[divan::bench(max_time = 1)]
fn derivative_by_p1(bencher: Bencher) {
    derivative_by(bencher, Role::P1);
}

fn derivative_by(bencher: Bencher, role: Role) {
    let mut cx = lonely_computer(role);
    with_scratch(LEN, BITS as usize, |scratch| {
        let mut x = vec![0; LEN];
        bencher.counter(ItemsCount::new(LEN)).bench_local(|| {
            x.fill(0);
            SIGN.run(&mut cx, AT, &mut x, scratch)
                .expect("links that hold");
        });
    });
}

#[divan::bench(max_time = 1)]
fn derivative_by_assistant(bencher: Bencher) {
    let mut cx = lonely_assistant();
    with_scratch(LEN, 0, |scratch| {
        bencher.counter(ItemsCount::new(LEN)).bench_local(|| {
            SIGN.assist(&mut cx, AT, LEN, scratch)
                .expect("links that hold");
        });
    });
}

#[divan::bench(max_time = 1)]
fn product_by_p0(bencher: Bencher) {
    let mut cx = lonely_computer(Role::P0);
    let (mut x, y) = (vec![0; LEN], vec![0; LEN]);
    let [mut e, mut f, mut other] = [(); 3].map(|()| vec![0; LEN]);
    bencher.counter(ItemsCount::new(LEN)).bench_local(|| {
        let words: [&mut [u64]; 3] = [&mut e, &mut f, &mut other];
        PRODUCT
            .run(&mut cx, AT, &mut x, &y, words)
            .expect("links that hold");
    });
}

#[divan::bench(max_time = 1)]
fn product_by_assistant(bencher: Bencher) {
    let mut cx = lonely_assistant();
    bencher.counter(ItemsCount::new(LEN)).bench_local(|| {
        PRODUCT.assist(&mut cx, AT, LEN).expect("links that hold");
    });
}
