//! The board: its stack, clock and line, and what is programmed apart from the firmware. USART 1 is the line.

use cortex_m::peripheral::SCB;
use ringlet_cortex_m::Ticks;
use ringlet_device::{programmed::Programmed, stack::Stack};

use crate::{clock, usart};

/// The samples' image, programmed apart from the firmware: sectors 8 to 10 of the flash.
const SAMPLES: (*const u8, usize) = (0x0808_0000 as *const u8, 0x0006_0000);
/// The device's record, from `ringlet data secret`, programmed apart from the firmware: sector 11.
const RECORD: *const u8 = 0x080E_0000 as *const u8;

/// The board, started.
pub struct Board {
    pub line: usart::Line,
    pub ticks: Ticks,
    pub programmed: Programmed,
    pub stack: Stack,
}

impl Board {
    /// Starts the board; once.
    #[inline(always)]
    pub fn start() -> Self {
        // SAFETY: this runs on the stack of `memory.x`.
        let stack = unsafe { Stack::paint_linked() };
        let Some(core) = cortex_m::Peripherals::take() else {
            SCB::sys_reset()
        };
        let clocks = clock::start();
        let ticks = Ticks::start(core.SYST, clocks.core);
        Board {
            line: usart::start(core.NVIC, clocks),
            ticks,
            // SAFETY: flash, which nothing writes while the firmware runs.
            programmed: unsafe { Programmed::new(SAMPLES, RECORD) },
            stack,
        }
    }
}
