//! Counts the instructions that P0 takes to train, by row of the plan and kind of work, in QEMU.
//!
//! P0 trains alone: it receives sealed pseudo-random bytes instead of P1's, and what it sends is dropped. The protocol's
//! control flow depends on public values only, and P1 sends masked values only, so the counts are those of a run with
//! a real peer. (Reading a table depends on an opened index, and may take a block of the stream more or less.) The
//! framing of a line is not counted.
//!
//! Arguments: the name of a built-in model, and the batch. The program runs one iteration with micro-batch 1 and
//! prints a JSON object on each line. The last one has a digest of what P0 sent, to compare builds by. With `handshake` in
//! place of a model it counts the handshake of a secure link, and with `contribution`, in a build with that feature, an upload. With `streams` it draws that number of times from streams and prints
//! a digest; with `noise` it counts that number of samples of discrete Gaussian noise.

#![no_std]
#![no_main]

#[cfg(feature = "contribution")]
mod contribution;
mod handshake;
#[cfg(target_arch = "arm")]
mod mps2_an386;
mod noise;
mod scripted;
mod streams;
#[cfg(target_arch = "riscv32")]
mod virt;

use core::panic::PanicInfo;

use ringlet_core::{
    profile::{self, Section},
    session::cost_row_names,
};
use semihosting::{experimental::env, println, process};

use handshake::{Handshaker, Handshakes};
use scripted::{Failure, Ring, session, train};

/// 64-bit words of the arena.
const ARENA: usize = 256 * 1024;

fn count(name: &str, batch: u32, arena: &mut [u64]) -> Result<(), Failure> {
    let session = session(name, batch)?;
    let network = ringlet_core::dealt::check::<Ring>(&session).map_err(|_| "the session")?;
    let sent = train(&session, &network, arena, profile::reset)?;
    // A change of section counts the instructions since the last change.
    core::mem::drop(profile::section(Section::Program));

    for (line, layer) in cost_row_names(&session, &network).iter().enumerate() {
        for (backward, way) in [(false, "forward"), (true, "backward")] {
            let [gates, kernels, prg, packing, link, sealing] = [
                Section::Gates,
                Section::Kernels,
                Section::Prg,
                Section::Packing,
                Section::Link,
                Section::Sealing,
            ]
            .map(|section| profile::sum(line, backward, section));
            if gates + kernels + prg + packing + link + sealing > 0 {
                println!(
                    "{{\"model\":\"{name}\",\"batch\":{batch},\"line\":\"{layer}\",\"way\":\"{way}\",\
                     \"kernels\":{kernels},\"prg\":{prg},\"packing\":{packing},\"gates\":{gates},\
                     \"link\":{link},\"sealing\":{sealing}}}"
                );
            }
        }
    }
    println!("{{\"model\":\"{name}\",\"batch\":{batch},\"sent\":{sent}}}");
    Ok(())
}

/// Counts the handshake at either end.
fn count_handshake() -> Result<(), Failure> {
    let handshakes = Handshakes::new()?;
    for (name, end) in [
        ("connect", Handshaker::Connects),
        ("accept", Handshaker::Accepts),
    ] {
        profile::reset();
        let sent = handshakes.run(end)?;
        core::mem::drop(profile::section(Section::Program));
        let sealing = profile::sum(0, false, Section::Sealing);
        println!(
            "{{\"model\":\"handshake\",\"batch\":0,\"line\":\"{name}\",\"way\":\"forward\",\"sealing\":{sealing},\"sent\":{sent}}}"
        );
    }
    Ok(())
}

/// Counts the samples of discrete Gaussian noise.
fn count_noise(samples: u32) -> Result<(), Failure> {
    let drawn = noise::digest(samples, profile::reset)?;
    let [gates, prg] = [Section::Gates, Section::Prg].map(|kind| profile::sum(0, false, kind));
    println!(
        "{{\"model\":\"noise\",\"batch\":{samples},\"line\":\"samples\",\"way\":\"forward\",\"prg\":{prg},\"gates\":{gates},\"drawn\":{drawn}}}"
    );
    Ok(())
}

/// Counts the parts of an upload of one sample.
#[cfg(feature = "contribution")]
fn count_contribution() -> Result<(), Failure> {
    let count = |part: usize| {
        core::mem::drop(profile::section(Section::Program));
        let [masks, rest] = [Section::Prg, Section::Gates].map(|kind| profile::sum(0, false, kind));
        println!(
            "{{\"part\":\"{}\",\"prg\":{masks},\"rest\":{rest}}}",
            ["begin", "sample", "seals", "signature"][part]
        );
    };
    let (bytes, sent) = contribution::upload(profile::reset, count)?;
    // What a board holds of an upload under way.
    let state = size_of::<ringlet_core::contribution::Upload<'_>>();
    println!("{{\"bytes\":{bytes},\"state\":{state},\"sent\":{sent}}}");
    Ok(())
}

/// Counts for the model and the batch of the arguments, and exits.
fn run(arena: &mut [u64]) -> ! {
    let counted = env::args::<256>()
        .map_err(|_| "no arguments")
        .and_then(|arguments| {
            let mut words = (&arguments).filter_map(Result::ok);
            let name = words.next().ok_or("the model is missing")?;
            let number = words.next().and_then(|word| word.parse().ok());
            match (name, number) {
                ("handshake", _) => count_handshake(),
                #[cfg(feature = "contribution")]
                ("contribution", _) => count_contribution(),
                ("noise", Some(samples)) => count_noise(samples),
                ("streams", Some(draws)) => {
                    println!("{{\"drawn\":{}}}", streams::digest(draws));
                    Ok(())
                }
                (_, batch) => count(name, batch.ok_or("the batch is missing")?, arena),
            }
        });
    if let Err(what) = counted {
        println!("ringlet-instruction-count: {what}");
        process::exit(1);
    }
    process::exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("ringlet-instruction-count: {info}");
    process::exit(2)
}
