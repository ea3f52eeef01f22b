//! How fast the streams of pseudo-random words are, by the length of a draw: from one stream in order, and from the
//! wires of a gate in turn. Run `cargo bench -p ringlet --bench streams`. Beside each figure is what a generator of
//! rand_chacha gives that is made for each draw, as on microcontrollers, and the share of the machine's limit.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use ringlet::measure::rates::{Limit, Rates};
use ringlet_core::prg::{Address, Key, Prg};

/// Lengths of draws in bytes: a plane of 64 bits, 64 words of 32 and of 64 bits, and longer ones.
const LENGTHS: [usize; 6] = [8, 256, 512, 1024, 4096, 65536];
/// Wires that are drawn from in turn.
const WIRES: u8 = 20;
/// Bytes of a measurement, and measurements, of which the best counts.
const BYTES: usize = 1 << 23;
const RUNS: usize = 9;

fn main() {
    println!("GB/s, the best of {RUNS} runs");
    println!("bytes a draw   wires   streams   rand_chacha   ratio   share of limit");
    let rates = Rates::measure(Duration::from_millis(50), || {});
    let prg = Prg::new(Key::new([1; Key::LEN]));
    for length in LENGTHS {
        for wires in [1, WIRES] {
            let [mut streams, mut reference] = [0.0f64; 2];
            for run in 0..RUNS {
                let iteration = run as u32;
                streams = streams.max(rate(length, wires, |wire, first, out| {
                    let address = Address {
                        iteration,
                        gate: 1,
                        wire,
                    };
                    prg.fill(address, first, out);
                }));
                reference = reference.max(rate(length, wires, |wire, first, out| {
                    let mut stream = ChaCha12Rng::from_seed([1; Key::LEN]);
                    stream.set_stream(u64::from(iteration) << 32 | 1 << 8 | u64::from(wire));
                    stream.set_word_pos(u128::from(first / 4));
                    stream.fill_bytes(out);
                }));
            }
            let ratio = streams / reference;
            let share = 100.0 * rates.share(streams * 1e9, Limit::Stream);
            println!(
                "{length:>12}{wires:>8}{streams:>10.2}{reference:>14.2}{ratio:>8.2}{share:>15.0} %"
            );
        }
    }
}

/// Draws [`BYTES`] bytes in draws of `length`, from each of `wires` wires in turn. Returns gigabytes a second.
fn rate(length: usize, wires: u8, mut draw: impl FnMut(u8, u64, &mut [u8])) -> f64 {
    let mut out = vec![0; length];
    let draws = BYTES / length;
    let start = Instant::now();
    for number in 0..draws {
        let wire = (number % usize::from(wires)) as u8;
        let first = number / usize::from(wires) * length;
        draw(wire, first as u64, black_box(&mut out));
    }
    (draws * length) as f64 / start.elapsed().as_secs_f64() / 1e9
}
