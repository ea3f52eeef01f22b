//! Ringlet's party on the STM32F405RG, a Cortex-M4F with 1 MB of flash and 192 KB of RAM: USART 1 is the line.

#![no_std]
#![no_main]

mod clock;
mod generator;
mod usart;

use core::cell::RefCell;

use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use ringlet_core::net::serial::mux::Mux;
use ringlet_cortex_m::Ticks;
#[cfg(not(feature = "emulated"))]
use ringlet_device::classes::Logged;
use ringlet_device::{TIMEOUTS, fresh::Random, programmed::Programmed, serve_all, stack::Stack};
#[cfg(feature = "emulated")]
use ringlet_device::{
    classes::ClassesFile,
    fresh::{Counter, CounterFiles, Either},
};

/// The samples' image, programmed apart from the firmware: sectors 8 to 10 of the flash.
const SAMPLES: (*const u8, usize) = (0x0808_0000 as *const u8, 0x0006_0000);
/// The device's record, from `ringlet data secret`, programmed apart from the firmware: sector 11.
const RECORD: *const u8 = 0x080E_0000 as *const u8;
/// 64-bit words of the arena: 58.1 KB, so that the firmware takes less than 96 KB of RAM in all.
const ARENA: usize = 7_440;

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    // SAFETY: this runs on the stack of `memory.x`.
    let stack = unsafe { Stack::paint_linked() };
    let Some(core) = cortex_m::Peripherals::take() else {
        SCB::sys_reset()
    };
    let clocks = clock::start();
    let ticks = Ticks::start(core.SYST, clocks.core);
    let line = usart::start(core.NVIC, clocks);

    // SAFETY: flash, which nothing writes while the firmware runs.
    let programmed = unsafe { Programmed::new(SAMPLES, RECORD) };
    let fresh = Random(generator::start());
    // The emulator's generator reads 0.
    #[cfg(feature = "emulated")]
    let fresh = Either(fresh, Counter::new(CounterFiles));
    let mut fresh = fresh;
    #[cfg(feature = "emulated")]
    let mut classes = ClassesFile;
    #[cfg(not(feature = "emulated"))]
    let mut classes = Logged;
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
