//! Arm's MPS2 board with a Cortex-M4 (AN386) as an owner: it contributes the samples in its flash to a collection.

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
use ringlet_device::{TIMEOUTS, contribute::serve_all};

#[entry]
fn main() -> ! {
    let board = board::Board::start();
    let mux = RefCell::new(Mux::new(board.line, board.ticks, TIMEOUTS));
    serve_all(&mux, &board.programmed, &board.stack)
}
