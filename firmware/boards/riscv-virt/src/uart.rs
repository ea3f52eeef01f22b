//! The machine's UART (16550A). Its queue of 16 bytes is emptied by whoever waits for a frame.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

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

/// The UART.
pub struct Uart(());

impl Uart {
    /// Starts it; once. The machine's clock has no say in its speed.
    pub fn start() -> Self {
        // SAFETY: the UART's own registers, which nothing else touches.
        unsafe {
            SHAPE.write_volatile(EIGHT_BITS);
            QUEUES.write_volatile(ENABLE_QUEUES);
            INTERRUPTS.write_volatile(RECEIVED);
        }
        machine::wake_by(SOURCE);
        Uart(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        // SAFETY: of its side effects, the errors that it clears, none is used.
        Ok(unsafe { STATE.read_volatile() } & RECEIVED != 0)
    }
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for byte in bytes {
            if !self.read_ready()? {
                break;
            }
            // SAFETY: a byte is there.
            *byte = unsafe { DATA.read_volatile() };
            count += 1;
        }
        Ok(count)
    }
}

impl WriteReady for Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        // SAFETY: as above.
        Ok(unsafe { STATE.read_volatile() } & TRANSMIT_EMPTY != 0)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for &byte in bytes {
            if !self.write_ready()? {
                break;
            }
            // SAFETY: the transmitter has room.
            unsafe { DATA.write_volatile(byte) };
            count += 1;
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
