//! Ringlet's party on Arm's MPS2 board with a Cortex-M4 (AN386). UART 0 is the line; with the feature `fifo`, two
//! FIFOs of the emulator are.

#![no_std]
#![no_main]

#[cfg(feature = "fifo")]
mod fifo;
#[cfg(not(feature = "fifo"))]
mod uart;

use core::cell::RefCell;

use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use ringlet_core::net::serial::mux::Mux;
use ringlet_cortex_m::Ticks;
use ringlet_device::{TIMEOUTS, programmed::Programmed, serve_all, stack::Stack};
#[cfg(feature = "emulated")]
use ringlet_device::{
    classes::ClassesFile,
    fresh::{Counter, CounterFiles},
};
#[cfg(not(feature = "emulated"))]
use ringlet_device::{classes::Logged, fresh::NoSource};

/// The samples' image, programmed apart from the firmware.
const SAMPLES: (*const u8, usize) = (0x0010_0000 as *const u8, 0x000F_0000);
/// The device's record, from `ringlet data secret`, programmed apart from the firmware.
const RECORD: *const u8 = 0x001F_0000 as *const u8;
/// 64-bit words of the arena: what convnet2 takes with a micro-batch of one.
const ARENA: usize = 44_320;
/// The core's frequency in Hz.
const HERTZ: u32 = 25_000_000;

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    // SAFETY: this runs on the stack of `memory.x`.
    let stack = unsafe { Stack::paint_linked() };
    let Some(core) = cortex_m::Peripherals::take() else {
        SCB::sys_reset()
    };
    let ticks = Ticks::start(core.SYST, HERTZ);
    #[cfg(not(feature = "fifo"))]
    let line = uart::start(core.NVIC);
    #[cfg(feature = "fifo")]
    let line = fifo::Fifos::start();

    // SAFETY: the board's memory, which nothing writes while the firmware runs.
    let programmed = unsafe { Programmed::new(SAMPLES, RECORD) };
    #[cfg(feature = "emulated")]
    let (mut fresh, mut classes) = (Counter::new(CounterFiles), ClassesFile);
    // The board itself has neither a generator nor memory that lasts.
    #[cfg(not(feature = "emulated"))]
    let (mut fresh, mut classes) = (NoSource, Logged);
    let mux = RefCell::new(Mux::new(line, ticks, TIMEOUTS));
    serve_all(
        &mux,
        ARENA_WORDS,
        &programmed,
        &mut fresh,
        &mut classes,
        &stack,
    )
}
