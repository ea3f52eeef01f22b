//! How fast the kernels are on one core, and what share of the machine's limits that is. Run
//! `cargo bench -p ringlet --bench kernels`.

use std::{hint::black_box, time::Duration};

use ringlet::measure::rates::{Limit, Rate, Rates, best_rate};
use ringlet_core::{
    kernel::pack::{pack, packed_len, unpack},
    num::Ring,
};

/// How long each kernel is measured.
const TIME: Duration = Duration::from_millis(300);
/// Values that are packed, beyond the caches, and bits of each.
const LEN: usize = 1 << 22;
const WIDTHS: [u32; 4] = [1, 12, 20, 31];

fn main() {
    let mut rates = Rates::measure(TIME, || {});
    let limits = rates.clone();
    for bits in WIDTHS {
        for (ring, [packing, unpacking]) in [(32, packing::<u32>(bits)), (64, packing::<u64>(bits))]
        {
            for (name, rate) in [("pack", packing), ("unpack", unpacking)] {
                rates.0.push(Rate {
                    name: format!("{name} {bits} bits of u{ring}"),
                    limit: Limit::Memory,
                    rate,
                });
            }
        }
    }
    println!("{:<30}{:>9} {:<9}{:>15}", "", "rate", "", "share of limit");
    for rate in &rates.0 {
        println!(
            "{:<30}{:>9.2} {:<9}{:>13.0} %",
            rate.name,
            rate.rate / 1e9,
            rate.limit.unit(),
            100.0 * limits.share(rate.rate, rate.limit)
        );
    }
}

/// Bytes of words that are packed and unpacked in a second.
fn packing<R: Ring>(bits: u32) -> [f64; 2] {
    let words = (0..LEN as u64).map(|i| R::from_u64(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut words: Vec<R> = words.map(|word| word.low(bits)).collect();
    let mut bytes = vec![0; packed_len(LEN, bits)];
    let amount = size_of_val(&words[..]) as u64;
    let packed = best_rate(TIME, amount, || {
        pack(bits, black_box(&words), &mut bytes);
        black_box(&mut bytes);
    });
    let unpacked = best_rate(TIME, amount, || {
        unpack(bits, black_box(&bytes), &mut words);
        black_box(&mut words);
    });
    [packed, unpacked]
}
