//! How fast streams are made within a training run, by counting: bytes that the roles draw, and the time that they spend on
//! it. Run `cargo run --release -p ringlet --example run_streams --features profile`. Each role runs alone on one thread, over links that
//! answer at once.

use std::{error::Error, time::Instant};

use ringlet::{config::session::one_batch, measure::roles::iteration_seconds};
use ringlet_core::{
    dealt,
    model::{MAX_COST_ROWS, Model},
    prg::{Address, Key, Prg},
    profile::{self, Section},
};

/// Seconds after which a role runs no further iteration.
const ENOUGH: f64 = 0.3;

/// Cycles in a unit of the counter, by which its 32 bits last for a whole run.
#[cfg(target_arch = "x86_64")]
const UNIT: u32 = 16;

/// The counter of the profile.
#[unsafe(no_mangle)]
fn _ringlet_instructions() -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the time-stamp counter, and reading it has no effect.
        (unsafe { core::arch::x86_64::_rdtsc() } / u64::from(UNIT)) as u32
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::sync::OnceLock;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u32
    }
}

/// Units of the counter in a second.
fn units_in_a_second() -> f64 {
    let (start, clock) = (_ringlet_instructions(), Instant::now());
    while clock.elapsed().as_millis() < 200 {}
    let passed = _ringlet_instructions().wrapping_sub(start);
    f64::from(passed) / clock.elapsed().as_secs_f64()
}

/// Units that a section counts for the counter itself, between two of its values: an empty section has no others.
fn units_of_the_counter() -> f64 {
    const SECTIONS: u32 = 1 << 22;
    profile::reset();
    for _ in 0..SECTIONS {
        drop(profile::section(Section::Prg));
    }
    sum(Section::Prg) / f64::from(SECTIONS)
}

/// Bytes a second of the longest draws, at best.
fn longest_draws() -> f64 {
    let prg = Prg::new(Key::new([1; 32]));
    let mut out = vec![0u8; 1 << 14];
    let rate = |iteration| {
        let clock = Instant::now();
        for gate in 0..256 {
            let wire = 1;
            let address = Address {
                iteration,
                gate,
                wire,
            };
            prg.fill(address, 0, &mut out);
        }
        256.0 * out.len() as f64 / clock.elapsed().as_secs_f64()
    };
    (0..64).map(rate).fold(0.0, f64::max)
}

/// The sum of a section over all layers and passes.
fn sum(section: Section) -> f64 {
    let rows = (0..MAX_COST_ROWS).flat_map(|row| [(row, false), (row, true)]);
    rows.map(|(row, backward)| f64::from(profile::sum(row, backward, section)))
        .sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let rate = units_in_a_second();
    let counter = units_of_the_counter();
    println!("streams in all iterations of all roles, each alone on one thread, batch 128");
    println!(
        "draws of 16 kB reach {:.2} GB/s; not counted: the counter's own {:.1} ns a draw\n",
        longest_draws() / 1e9,
        1e9 * counter / rate
    );
    println!(
        "{:<12}{:>12}{:>12}{:>12}{:>16}",
        "model", "drawn", "seconds", "GB/s", "of all time"
    );
    for name in [
        "convnet2",
        "securenn-a",
        "securenn-b",
        "securenn-c",
        "securenn-d",
    ] {
        let model = Model::built_in(name).ok_or("no such model")?;
        let session = one_batch(model, 128)?;
        let network = dealt::check::<u32>(&session)?;
        profile::reset();
        iteration_seconds(&session, &network, 128, ENOUGH)?;
        let (bytes, draws) = (profile::drawn() as f64, profile::draws() as f64);
        let seconds = (sum(Section::Prg) - draws * counter) / rate;
        let all: f64 = Section::ALL.iter().map(|&(section, _)| sum(section)).sum();
        println!(
            "{name:<12}{:>9.2} GB{seconds:>12.3}{:>12.2}{:>14.0} %",
            bytes / 1e9,
            bytes / 1e9 / seconds,
            100.0 * seconds * rate / all
        );
    }
    Ok(())
}
