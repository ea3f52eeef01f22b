//! Ringlet's party on QEMU's RISC-V machine `virt` (RV32). The line is a TCP connection on port 7001; with the feature
//! `uart`, it is the machine's UART.

#![no_std]
#![no_main]

#[cfg(not(any(feature = "ethernet", feature = "uart")))]
compile_error!("there is no line: choose the feature `ethernet` or `uart`");

mod board;
#[cfg(not(feature = "uart"))]
mod ethernet;
mod machine;
#[cfg(not(feature = "uart"))]
mod nic;
#[cfg(feature = "uart")]
mod uart;

use core::cell::RefCell;

use ringlet_core::net::serial::mux::Mux;
use ringlet_device::{
    TIMEOUTS,
    classes::ClassesFile,
    fresh::{Counter, CounterFiles},
    serve_all,
};
use riscv_rt::entry;

/// 64-bit words of the arena.
const ARENA: usize = 168 * 1024;

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let arena = &raw mut ARENA_WORDS;
    // SAFETY: `main` runs once, on one hart, and this is the only reference.
    let arena = unsafe { &mut *arena };
    let board = board::Board::start();
    // The machine is QEMU's own, so sessions are counted in files, by semihosting.
    let mut fresh = Counter::new(CounterFiles);
    let mut classes = ClassesFile;
    let mux = RefCell::new(Mux::new(board.line, machine::Timer, TIMEOUTS));
    serve_all(
        &mux,
        arena,
        &board.programmed,
        &mut fresh,
        &mut classes,
        &board.stack,
    )
}
