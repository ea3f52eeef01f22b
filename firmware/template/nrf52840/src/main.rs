//! A template for a board of one's own: Ringlet's party on an nRF52840 (its development kit, PCA10056), with embassy's
//! HAL. UARTE 0 on P0.06 (transmit) and P0.08 (receive) is the line, at 115,200 baud.
//!
//! It builds in CI; it has not been tried on hardware.
//!
//! For another board, change what is marked (1) to (5), the memory map in `memory.x`, the HAL in `Cargo.toml` and the
//! target in `.cargo/config.toml`.

#![no_std]
#![no_main]

use core::cell::RefCell;

use cortex_m::peripheral::SCB;
use cortex_m_rt::entry;
use embassy_nrf::{
    bind_interrupts,
    buffered_uarte::{BufferedUarte, InterruptHandler},
    peripherals::UARTE0,
    rng::Rng,
    uarte::Config,
};
use ringlet_core::net::serial::mux::Mux;
use ringlet_cortex_m::Ticks;
use ringlet_device::{
    TIMEOUTS, classes::Logged, fresh::Random, hal_line::HalLine, programmed::Programmed, serve_all,
    stack::Stack,
};

/// (1) Flash: the address of the samples' image and the bytes that it may take. It is programmed apart from the
/// firmware.
const SAMPLES: (*const u8, usize) = (0x0008_0000 as *const u8, 0x0007_F000);
/// (1) Flash: the device's record, from `ringlet data secret`: its secret, the roles that it knows, its policy. A device
/// without one refuses to run. It is programmed apart from the firmware, too.
const RECORD: *const u8 = 0x000F_F000 as *const u8;
/// (2) Memory: 64-bit words of the arena, 60,928 bytes. `ringlet plan` says what a model takes: this holds digits8.
const ARENA: usize = 7_616;
/// (3) Clock: the core's frequency in Hz, by which SysTick counts milliseconds.
const HERTZ: u32 = 64_000_000;

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<UARTE0>;
});

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    static mut SEND: [u8; 512] = [0; 512];
    static mut RECEIVE: [u8; 1024] = [0; 1024];
    // SAFETY: this runs on the stack of `memory.x`.
    let stack = unsafe { Stack::paint_linked() };
    let Some(core) = cortex_m::Peripherals::take() else {
        SCB::sys_reset()
    };
    let chip = embassy_nrf::init(Default::default());

    // (3) Clock.
    let clock = Ticks::start(core.SYST, HERTZ);

    // (4) Line: a UART that receives by interrupt. This one counts received bytes with a timer.
    let uart = BufferedUarte::new(
        chip.UARTE0,
        chip.TIMER0,
        chip.PPI_CH0,
        chip.PPI_CH1,
        chip.PPI_GROUP0,
        chip.P0_08,
        chip.P0_06,
        Interrupts,
        Config::default(),
        RECEIVE,
        SEND,
    );
    let line = HalLine::new(uart);

    // (5) Fresh values: the chip's hardware generator, so that no key serves two sessions.
    let mut generator = Rng::new_blocking(chip.RNG);
    let mut fresh = Random(|| Some(generator.blocking_next_u32()));

    // SAFETY: flash, which nothing writes while the firmware runs.
    let programmed = unsafe { Programmed::new(SAMPLES, RECORD) };
    let mux = RefCell::new(Mux::new(line, clock, TIMEOUTS));
    serve_all(
        &mux,
        ARENA_WORDS,
        &programmed,
        &mut fresh,
        &mut Logged,
        &stack,
    )
}
