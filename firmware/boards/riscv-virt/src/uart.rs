//! The registers of the machine's UART (16550A). It receives into its own queue of 16 bytes, which the line reads.

use ringlet_device::serial::{self, SerialLine};

use crate::machine;

const BASE: usize = 0x1000_0000;
const DATA: *mut u8 = BASE as *mut u8;
const INTERRUPTS: *mut u8 = (BASE + 1) as *mut u8;
const QUEUES: *mut u8 = (BASE + 2) as *mut u8;
const SHAPE: *mut u8 = (BASE + 3) as *mut u8;
const STATE: *mut u8 = (BASE + 5) as *mut u8;

/// Its source number at the interrupt controller.
const SOURCE: usize = 10;

const RECEIVED: u8 = 1;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// Both queues, emptied at the start.
const ENABLE_QUEUES: u8 = 7;
const EIGHT_BITS: u8 = 3;

/// The line over the UART.
pub type Line = SerialLine<Uart>;

/// Starts the UART; once. QEMU's UART has no baud rate to set.
pub fn start() -> Line {
    // SAFETY: the UART's own registers, which nothing else touches.
    unsafe {
        SHAPE.write_volatile(EIGHT_BITS);
        QUEUES.write_volatile(ENABLE_QUEUES);
        INTERRUPTS.write_volatile(RECEIVED);
    }
    machine::wake_by(SOURCE);
    SerialLine::new(Uart)
}

/// The UART's registers.
pub struct Uart;

impl serial::Uart for Uart {
    fn has_received(&mut self) -> bool {
        // SAFETY: reading this register clears error bits, which nothing uses, and nothing else.
        unsafe { STATE.read_volatile() & RECEIVED != 0 }
    }

    fn receive(&mut self) -> Option<u8> {
        // SAFETY: the data register, which holds a byte.
        self.has_received().then(|| unsafe { DATA.read_volatile() })
    }

    fn can_send(&mut self) -> bool {
        // SAFETY: as in `has_received`.
        unsafe { STATE.read_volatile() & TRANSMIT_EMPTY != 0 }
    }

    fn send(&mut self, byte: u8) {
        // SAFETY: the data register; writing it sends, and leaves what has been received.
        unsafe { DATA.write_volatile(byte) };
    }
}
