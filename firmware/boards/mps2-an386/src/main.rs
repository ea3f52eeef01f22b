//! Ringlet's party on Arm's MPS2 board with a Cortex-M4 (AN386). UART 0 is the line; with the feature `fifo`, two
//! FIFOs of the emulator are.

#![no_std]
#![no_main]

mod board;
#[cfg(feature = "fifo")]
mod fifo;
#[cfg(not(feature = "fifo"))]
mod uart;

use core::cell::RefCell;

use cortex_m_rt::entry;
use ringlet_core::net::serial::mux::Mux;
use ringlet_device::{TIMEOUTS, serve_all};
#[cfg(feature = "emulated")]
use ringlet_device::{
    classes::ClassesFile,
    fresh::{Counter, CounterFiles},
};
#[cfg(not(feature = "emulated"))]
use ringlet_device::{classes::Logged, fresh::NoSource};

/// 64-bit words of the arena: what convnet2 takes with a micro-batch of one.
const ARENA: usize = 44_320;

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let board = board::Board::start();
    #[cfg(feature = "emulated")]
    let (mut fresh, mut classes) = (Counter::new(CounterFiles), ClassesFile);
    // The board itself has neither a generator nor memory that lasts.
    #[cfg(not(feature = "emulated"))]
    let (mut fresh, mut classes) = (NoSource, Logged);
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
