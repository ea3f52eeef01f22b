//! QEMU's RISC-V machine `virt` (RV32) as an owner: it contributes the samples in its flash to a collection. The line is a TCP
//! connection on port 7001; with the feature `uart`, it is the machine's UART.

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
use ringlet_device::{TIMEOUTS, contribute::serve_all};
use riscv_rt::entry;

#[entry]
fn main() -> ! {
    let board = board::Board::start();
    let mux = RefCell::new(Mux::new(board.line, machine::Timer, TIMEOUTS));
    serve_all(&mux, &board.programmed, &board.stack)
}
