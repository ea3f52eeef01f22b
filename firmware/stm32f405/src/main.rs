//! Ringlet's party on the STM32F405RG, a Cortex-M4F with 1 MB of flash and 192 KB of RAM: USART 1 is the line.

#![no_std]
#![no_main]

mod clock;
mod usart;

use core::{
    cell::RefCell,
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering},
};

use cortex_m::peripheral::{SCB, syst::SystClkSource};
use cortex_m_rt::{ExceptionFrame, entry, exception};
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use ringlet_core::{
    prg::Key,
    store::Store,
    wire::{
        control::Crash,
        port::{Clock, Port},
    },
};
use ringlet_device::{Device, PATIENCE, crash, serve, stack::Stack};

/// The samples' image, programmed apart from the firmware: sectors 8 to 10 of the flash.
const SAMPLES: (*const u8, usize) = (0x0808_0000 as *const u8, 0x0006_0000);
/// 32 bytes of this device's own randomness, programmed apart from the firmware: sector 11.
const SECRET: *const [u8; Key::LEN] = 0x080E_0000 as *const [u8; Key::LEN];
/// 64-bit words of the arena: 59.5 KB of the 128 KB, so that all of RAM that is used stays below 96 KB.
const ARENA: usize = 7_616;

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u32:ms}", MILLISECONDS.load(Ordering::Relaxed));

#[exception]
fn SysTick() {
    MILLISECONDS.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" {
    /// Both ends of the stack, from the linker: it grows down from the start.
    static _stack_start: u32;
    static mut _stack_end: u32;
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
    // SAFETY: these are the ends of the stack that this runs on.
    let stack = unsafe { Stack::paint(&raw mut _stack_end, &raw const _stack_start) };
    let Some(mut core) = cortex_m::Peripherals::take() else {
        SCB::sys_reset()
    };
    let clocks = clock::start();
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(clocks.core / 1000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();
    let line = usart::Usart::start(&mut core.NVIC, clocks);

    // SAFETY: the range is flash, which nothing writes while the firmware runs.
    let flash = unsafe { core::slice::from_raw_parts(SAMPLES.0, SAMPLES.1) };
    // SAFETY: as above.
    let root = Key::new(unsafe { SECRET.read_volatile() });
    let port = RefCell::new(Port::new(line, Ticks, PATIENCE));
    loop {
        // A session that failed leaves nothing behind: the next one starts from the beginning.
        let device = Device {
            memory: &mut *ARENA_WORDS,
            store: Store::new(flash),
            root: &root,
            stack: Some(&stack),
        };
        let _ = serve(&port, device);
    }
}

/// A fault starts the firmware again, as a panic does: what overflows the stack ends here.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    crash::note(Crash::Fault);
    SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // Where is not told: that would keep the place of every check of a bound in flash, some 12 KB.
    #[cfg(feature = "defmt")]
    defmt::error!("the firmware panicked and starts again");
    crash::note(Crash::Panic);
    SCB::sys_reset()
}
