//! Ringlet's P0 on Arm's MPS2 board with a Cortex-M4 (AN386): UART 0 is the line.

#![no_std]
#![no_main]

mod uart;

use core::{
    cell::RefCell,
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering},
};

use cortex_m::peripheral::{SCB, syst::SystClkSource};
use cortex_m_rt::{entry, exception};
use ringlet_core::{
    prg::Key,
    store::Store,
    wire::port::{Clock, Patience, Port},
};
use ringlet_device::{Memory, serve};

/// The samples' image, programmed apart from the firmware.
const SAMPLES: (*const u8, usize) = (0x0010_0000 as *const u8, 0x000F_0000);
/// 32 bytes of this device's own randomness, programmed apart from the firmware.
const SECRET: *const [u8; Key::LEN] = 0x001F_0000 as *const [u8; Key::LEN];
/// 64-bit words of the arena.
const ARENA: usize = 48 * 1024;
/// The core's clock.
const HERTZ: u32 = 25_000_000;

const PATIENCE: Patience = Patience {
    resend: 500,
    silence: 300_000,
};

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    MILLISECONDS.fetch_add(1, Ordering::Relaxed);
}

struct Ticks;

impl Clock for Ticks {
    fn milliseconds(&mut self) -> u32 {
        MILLISECONDS.load(Ordering::Relaxed)
    }

    fn idle(&mut self) {
        // The next byte or the next millisecond wakes it.
        cortex_m::asm::wfi();
    }
}

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let Some(mut core) = cortex_m::Peripherals::take() else {
        SCB::sys_reset()
    };
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(HERTZ / 1000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();
    let line = uart::Uart::start(&mut core.NVIC);

    // SAFETY: the range is flash, which nothing writes while the firmware runs.
    let flash = unsafe { core::slice::from_raw_parts(SAMPLES.0, SAMPLES.1) };
    // SAFETY: as above.
    let root = Key::new(unsafe { SECRET.read_volatile() });
    let port = RefCell::new(Port::new(line, Ticks, PATIENCE));
    loop {
        // A session that failed leaves nothing behind: the next one starts from the beginning.
        let memory = Memory {
            arena: ARENA_WORDS,
            opened: &mut [],
        };
        let _ = serve(&port, Store::new(flash).ok(), &root, memory);
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    SCB::sys_reset()
}
