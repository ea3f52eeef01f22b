//! The STM32F405RG as an owner: it contributes the samples in its flash to a collection. USART 1 is the line.

#![no_std]
#![no_main]

mod board;
mod clock;
mod usart;

use core::cell::RefCell;

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use ringlet_core::net::serial::mux::Mux;
use ringlet_device::{TIMEOUTS, contribute::serve_all};

#[entry]
fn main() -> ! {
    let board = board::Board::start();
    let mux = RefCell::new(Mux::new(board.line, board.ticks, TIMEOUTS));
    serve_all(&mux, &board.programmed, &board.stack)
}
