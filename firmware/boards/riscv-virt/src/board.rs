//! The machine as a board: its stack and line, what is programmed apart from the firmware, and what happens when the firmware fails.
//! The line is a TCP connection; with the feature `uart`, it is the machine's UART.

use core::panic::PanicInfo;

use ringlet_core::device::Crash;
use ringlet_device::{crash_report, programmed::Programmed, stack::Stack};

#[cfg(not(feature = "uart"))]
use crate::ethernet::{Buffers, Connections, Ethernet as Line, NO_CONNECTIONS};
use crate::machine;
#[cfg(feature = "uart")]
use crate::uart::{self, Line};

/// The samples' image, loaded apart from the firmware, behind the RAM of `memory.x`. A real chip has it in flash.
const SAMPLES: (*const u8, usize) = (0x8020_0000 as *const u8, 0x001F_0000);
/// The device's record, from `ringlet data secret`, loaded in the same way.
const RECORD: *const u8 = 0x803F_0000 as *const u8;

/// The board, started.
pub struct Board {
    pub line: Line,
    pub programmed: Programmed,
    pub stack: Stack,
}

impl Board {
    /// Starts the board; once, on one hart.
    #[inline(always)]
    pub fn start() -> Self {
        // SAFETY: this runs on the stack of `memory.x`.
        let stack = unsafe { Stack::paint_linked() };
        #[cfg(feature = "uart")]
        let line = uart::start();
        #[cfg(not(feature = "uart"))]
        let line = {
            static mut BUFFERS: Buffers = Buffers::new();
            static mut CONNECTIONS: Connections = NO_CONNECTIONS;
            let (buffers, connections) = (&raw mut BUFFERS, &raw mut CONNECTIONS);
            // SAFETY: `main` starts the board once, on one hart, and these are the only references.
            let (buffers, connections) = unsafe { (&mut *buffers, &mut *connections) };
            let Some(line) = Line::start(buffers, connections) else {
                // Without a network card there is no line.
                machine::halt()
            };
            line
        };
        Board {
            line,
            // SAFETY: nothing writes this memory while the firmware runs.
            programmed: unsafe { Programmed::new(SAMPLES, RECORD) },
            stack,
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    crash_report::store(Crash::Panic);
    machine::reset()
}

/// Handles every exception: nothing here raises one on purpose.
// SAFETY: it has the name and the signature that riscv-rt documents for this handler.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception() -> ! {
    crash_report::store(Crash::Fault);
    machine::reset()
}
