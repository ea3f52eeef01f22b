//! The rates of the kernels on one core, and the machine's limits, to which they are compared.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ringlet_core::{
    kernel::{Conv, Dense, Linear, Pool, Windows},
    num::Ring,
    prg::{Address, Key, Prg},
};
use serde::{Deserialize, Serialize};

use super::clock::Clock;

/// What a kernel needs most, and what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// Pseudo-random streams, in bytes drawn.
    Stream,
    /// Memory, in bytes copied.
    Memory,
    /// Products in the ring of 32 bits, in multiply-accumulates.
    Products32,
    /// The same in the ring of 64 bits.
    Products64,
}

impl Limit {
    /// The limit of products in ring `R`.
    pub fn products<R: Ring>() -> Self {
        match R::BITS {
            32 => Limit::Products32,
            _ => Limit::Products64,
        }
    }

    /// The unit of its rates.
    pub fn unit(self) -> &'static str {
        match self {
            Limit::Stream | Limit::Memory => "GB/s",
            Limit::Products32 | Limit::Products64 => "G mult/s",
        }
    }
}

/// The rate of a kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The kernel.
    pub name: String,
    /// What bounds it.
    pub limit: Limit,
    /// Bytes, or multiply-accumulates, a second.
    pub rate: f64,
}

/// The rates of kernels. The machine's limit is the best rate of those that it bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates(pub Vec<Rate>);

impl Rates {
    /// Measures the kernels, each for about `each`. `done` is called after each.
    pub fn measure(each: Duration, mut done: impl FnMut()) -> Self {
        let rates = KERNELS.into_iter().map(|(name, limit, kernel)| {
            let rate = kernel(each);
            done();
            Rate {
                name: name.to_owned(),
                limit,
                rate,
            }
        });
        Rates(rates.collect())
    }

    /// The number of kernels.
    pub const COUNT: usize = KERNELS.len();

    /// The machine's limit, in bytes or multiply-accumulates a second.
    pub fn limit(&self, limit: Limit) -> f64 {
        let bounded = self.0.iter().filter(|rate| rate.limit == limit);
        bounded.map(|rate| rate.rate).fold(0.0, f64::max)
    }

    /// A rate as a share of its limit.
    pub fn share(&self, rate: f64, limit: Limit) -> f64 {
        rate / self.limit(limit)
    }
}

/// Measures a kernel for so long, and returns its rate.
type Kernel = fn(Duration) -> f64;

const KERNELS: [(&str, Limit, Kernel); 13] = [
    ("stream, 4 kB a draw", Limit::Stream, |time| {
        stream(time, 1 << 12)
    }),
    ("stream, 256 B a draw", Limit::Stream, |time| {
        stream(time, 1 << 8)
    }),
    ("stream, words of 20 bits", Limit::Stream, short_words),
    ("copy of 32 MB", Limit::Memory, copy),
    ("sums of windows 2x2", Limit::Memory, window_sums),
    ("windows 2x2 to planes", Limit::Memory, window_planes),
    ("dense 256 to 256, u32", Limit::Products32, |time| {
        forward::<u32>(time, dense(256, 256))
    }),
    ("dense 784 to 128, u32", Limit::Products32, |time| {
        forward::<u32>(time, dense(784, 128))
    }),
    ("convolution 3x3 of 32, u32", Limit::Products32, |time| {
        forward::<u32>(time, CONV)
    }),
    ("  gradient of weights", Limit::Products32, |time| {
        weight_gradient::<u32>(time, CONV)
    }),
    ("dense 256 to 256, u64", Limit::Products64, |time| {
        forward::<u64>(time, dense(256, 256))
    }),
    ("convolution 3x3 of 32, u64", Limit::Products64, |time| {
        forward::<u64>(time, CONV)
    }),
    ("  gradient of weights", Limit::Products64, |time| {
        weight_gradient::<u64>(time, CONV)
    }),
];

/// Images, or samples, of a kernel's run.
const ROWS: usize = 128;

/// The second layer of convnet2.
const CONV: Linear = Linear::Conv(Conv {
    height: 14,
    width: 14,
    inputs: 32,
    outputs: 32,
    kernel: [3, 3],
    stride: 1,
    padding: [1, 1],
    pool: 1,
});

const fn dense(inputs: usize, outputs: usize) -> Linear {
    Linear::Dense(Dense { inputs, outputs })
}

/// The least seconds of processor time of which a rate is made.
const LEAST: f64 = 0.002;

/// The best rate of `run`, whose runs do `amount`, among those of `time`.
pub fn best_rate(time: Duration, amount: u64, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let (mut best, mut runs) = (0f64, 1u64);
    loop {
        let clock = Clock::start();
        for _ in 0..runs {
            run();
        }
        let seconds = clock.seconds();
        // Reading the clock takes as long as short runs, so it is read after many.
        match seconds < LEAST {
            true => runs *= 2,
            false => best = best.max((runs * amount) as f64 / seconds),
        }
        if best > 0.0 && start.elapsed() >= time {
            return best;
        }
    }
}

fn address(iteration: u32) -> Address {
    Address {
        iteration,
        gate: 1,
        wire: 0,
    }
}

/// Bytes of a stream in draws of `len` bytes.
fn stream(time: Duration, len: usize) -> f64 {
    let prg = Prg::new(Key::new([1; Key::LEN]));
    let mut out = vec![0u8; len];
    let mut first = 0;
    best_rate(time, len as u64, || {
        prg.fill(address(0), first, black_box(&mut out));
        first += len as u64;
    })
}

/// Bytes of a stream that becomes words of 20 bits, 64 at a time.
fn short_words(time: Duration) -> f64 {
    let prg = Prg::new(Key::new([1; Key::LEN]));
    let mut out = [0u32; 64];
    let mut first = 0;
    best_rate(time, size_of_val(&out) as u64, || {
        prg.fill_bits(address(0), first, 20, black_box(&mut out));
        first += out.len() as u64;
    })
}

/// Bytes that are copied between buffers beyond the caches.
fn copy(time: Duration) -> f64 {
    let from = vec![1u8; 32 << 20];
    let mut to = vec![0u8; from.len()];
    best_rate(time, from.len() as u64, || {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    })
}

/// Bytes of images whose windows are summed.
fn window_sums(time: Duration) -> f64 {
    let pool = Pool {
        shape: [28, 28, 32],
        window: 2,
    };
    let images = vec![1u32; ROWS * pool.input_len()];
    let mut out = vec![0; ROWS * pool.output_len()];
    best_rate(time, size_of_val(&images[..]) as u64, || {
        pool.sum(black_box(&images), &mut out);
        black_box(&mut out);
    })
}

/// Bytes of images whose windows are rearranged to planes.
fn window_planes(time: Duration) -> f64 {
    let windows = Windows {
        height: 28,
        width: 28,
        channels: 32,
        window: [2; 2],
        stride: 2,
    };
    let (input, output) = (windows.input_len(), windows.input_len());
    let images = vec![1u32; ROWS * input];
    let mut planes = vec![0; ROWS * output];
    best_rate(time, size_of_val(&images[..]) as u64, || {
        let images = black_box(&images).chunks_exact(input);
        for (image, planes) in images.zip(planes.chunks_exact_mut(output)) {
            windows.gather(image, planes);
        }
        black_box(&mut planes);
    })
}

/// Words that are not zero.
fn words<R: Ring>(len: usize) -> Vec<R> {
    let words = (1..=len as u64).map(|i| R::from_u64(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    words.collect()
}

/// Multiply-accumulates of a map forward.
fn forward<R: Ring>(time: Duration, linear: Linear) -> f64 {
    let (x, w) = (
        words::<R>(ROWS * linear.input_len()),
        words::<R>(linear.weight_len()),
    );
    let mut out = words::<R>(ROWS * linear.output_len());
    let mut scratch = words::<R>(linear.scratch_len());
    best_rate(time, (ROWS * linear.multiplications()) as u64, || {
        linear.forward(ROWS, black_box(&x), &w, &mut out, &mut scratch);
        black_box(&mut out);
    })
}

/// Multiply-accumulates of the gradient of a map's weights.
fn weight_gradient<R: Ring>(time: Duration, linear: Linear) -> f64 {
    let (x, dy) = (
        words::<R>(ROWS * linear.input_len()),
        words::<R>(ROWS * linear.output_len()),
    );
    let mut dw = words::<R>(linear.weight_len());
    let mut scratch = words::<R>(linear.scratch_len());
    best_rate(time, (ROWS * linear.multiplications()) as u64, || {
        linear.weight_gradient(ROWS, black_box(&x), &dy, &mut dw, &mut scratch);
        black_box(&mut dw);
    })
}
