//! A template for a board of one's own: Ringlet's party on a Raspberry Pi Pico 2 (RP2350), with embassy's HAL. UART 0
//! on GPIO 0 (transmit) and GPIO 1 (receive) is the line, at 115,200 baud.
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
use embassy_rp::{
    bind_interrupts, clocks,
    peripherals::{TRNG, UART0},
    trng::{self, Trng},
    uart::{BufferedInterruptHandler, BufferedUart, Config},
};
use ringlet_core::net::serial::mux::Mux;
use ringlet_cortex_m::Ticks;
use ringlet_device::{
    TIMEOUTS, classes::Logged, fresh::Random, hal_line::HalLine, programmed::Programmed, serve_all,
    stack::Stack,
};

/// (1) Flash: the address of the samples' image and the bytes that it may take. It is programmed apart from the
/// firmware.
const SAMPLES: (*const u8, usize) = (0x1010_0000 as *const u8, 0x0020_0000);
/// (1) Flash: the device's record, from `ringlet data secret`: its secret, the roles that it knows, its policy. A device
/// without one refuses to run. It is programmed apart from the firmware, too.
const RECORD: *const u8 = 0x103F_F000 as *const u8;
/// (2) Memory: 64-bit words of the arena, 354,560 bytes. `ringlet plan` says what a model takes: this holds
/// convnet2 with a micro-batch of one.
const ARENA: usize = 44_320;

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
    TRNG_IRQ => trng::InterruptHandler<TRNG>;
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
    let chip = embassy_rp::init(Default::default());

    // (3) Clock: SysTick counts milliseconds by the frequency of the core in Hz.
    let clock = Ticks::start(core.SYST, clocks::clk_sys_freq());

    // (4) Line: a UART that receives by interrupt.
    let (uart, transmit, receive) = (chip.UART0, chip.PIN_0, chip.PIN_1);
    let config = Config::default();
    let uart = BufferedUart::new(uart, transmit, receive, Interrupts, SEND, RECEIVE, config);
    let line = HalLine::new(uart);

    // (5) Fresh values: the chip's hardware generator, so that no key serves two sessions.
    let mut generator = Trng::new(chip.TRNG, Interrupts, trng::Config::default());
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
