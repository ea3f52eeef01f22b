//! Ringlet's party on the STM32F405RG, a Cortex-M4F with 1 MB of flash and 192 KB of RAM: USART 1 is the line.

#![no_std]
#![no_main]

mod board;
mod clock;
mod generator;
mod usart;

use core::cell::RefCell;

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use ringlet_core::net::serial::mux::Mux;
#[cfg(not(feature = "emulated"))]
use ringlet_device::classes::Logged;
use ringlet_device::{TIMEOUTS, fresh::Random, serve_all};
#[cfg(feature = "emulated")]
use ringlet_device::{
    classes::ClassesFile,
    fresh::{Counter, CounterFiles, Either},
};

/// 64-bit words of the arena: 58.1 KB, so that the firmware takes less than 96 KB of RAM in all.
const ARENA: usize = 7_440;

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let board = board::Board::start();
    let fresh = Random(generator::start());
    // The emulator's generator reads 0.
    #[cfg(feature = "emulated")]
    let fresh = Either(fresh, Counter::new(CounterFiles));
    let mut fresh = fresh;
    #[cfg(feature = "emulated")]
    let mut classes = ClassesFile;
    #[cfg(not(feature = "emulated"))]
    let mut classes = Logged;
    let mux = RefCell::new(Mux::new(board.line, board.ticks, TIMEOUTS));
    serve_all(
        &mux,
        ARENA_WORDS,
        &board.programmed,
        &mut fresh,
        &mut classes,
        &board.stack,
    )
}
