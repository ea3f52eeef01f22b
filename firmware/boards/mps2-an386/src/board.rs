//! The board: its stack, clock and line, and what is programmed apart from the firmware. UART 0 is the line; with the feature
//! `fifo`, two FIFOs of the emulator are.

use cortex_m::peripheral::SCB;
use ringlet_cortex_m::Ticks;
use ringlet_device::{programmed::Programmed, stack::Stack};

#[cfg(feature = "fifo")]
use crate::fifo::Fifos as Line;
#[cfg(not(feature = "fifo"))]
use crate::uart::Line;

/// The samples' image, programmed apart from the firmware.
const SAMPLES: (*const u8, usize) = (0x0010_0000 as *const u8, 0x000F_0000);
/// The device's record, from `ringlet data secret`, programmed apart from the firmware.
const RECORD: *const u8 = 0x001F_0000 as *const u8;
/// The core's frequency in Hz.
const HERTZ: u32 = 25_000_000;

/// The board, started.
pub struct Board {
    pub line: Line,
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
        let ticks = Ticks::start(core.SYST, HERTZ);
        #[cfg(not(feature = "fifo"))]
        let line = crate::uart::start(core.NVIC);
        #[cfg(feature = "fifo")]
        let line = Line::start();
        Board {
            line,
            ticks,
            // SAFETY: the board's memory, which nothing writes while the firmware runs.
            programmed: unsafe { Programmed::new(SAMPLES, RECORD) },
            stack,
        }
    }
}
