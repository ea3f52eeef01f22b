//! The board's UART 0 (CMSDK APB UART): received bytes wait in a queue that its interrupt fills.

use core::convert::Infallible;

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::exception;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use ringlet_cortex_m::Received;

const BASE: usize = 0x4000_4000;
const DATA: *mut u32 = BASE as *mut u32;
const STATE: *mut u32 = (BASE + 4) as *mut u32;
const CONTROL: *mut u32 = (BASE + 8) as *mut u32;
const INTERRUPTS: *mut u32 = (BASE + 12) as *mut u32;
const DIVIDER: *mut u32 = (BASE + 16) as *mut u32;

const TRANSMIT_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 2;
/// Transmitter, receiver, and the receiver's interrupt.
const ENABLE: u32 = 1 | 2 | 8;
const RECEIVED: u32 = 2;
/// 25 MHz over 2 Mbaud, about.
const CYCLES_PER_BIT: u32 = 16;

/// The receiver's interrupt.
#[derive(Clone, Copy)]
struct Receive;

// SAFETY: it is interrupt 0 of this board, always.
unsafe impl InterruptNumber for Receive {
    fn number(self) -> u16 {
        0
    }
}

static RECEIVED_BYTES: Received = Received::new();

#[exception]
unsafe fn DefaultHandler(_number: i16) {
    // SAFETY: the receiver's registers; its interrupt is the only one that is enabled.
    let byte = unsafe {
        INTERRUPTS.write_volatile(RECEIVED);
        if STATE.read_volatile() & RECEIVE_FULL == 0 {
            return;
        }
        DATA.read_volatile() as u8
    };
    RECEIVED_BYTES.put(byte);
}

/// The UART.
pub struct Uart(());

impl Uart {
    /// Starts it; once.
    pub fn start(_: NVIC) -> Self {
        // SAFETY: the UART's own registers, which nothing else touches yet.
        unsafe {
            DIVIDER.write_volatile(CYCLES_PER_BIT);
            CONTROL.write_volatile(ENABLE);
            NVIC::unmask(Receive);
        }
        Uart(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!RECEIVED_BYTES.is_empty())
    }
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        Ok(RECEIVED_BYTES.take(bytes))
    }
}

impl WriteReady for Uart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        // SAFETY: a register without side effects on being read.
        Ok(unsafe { STATE.read_volatile() } & TRANSMIT_FULL == 0)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for &byte in bytes {
            if !self.write_ready()? {
                break;
            }
            // SAFETY: the transmitter has room for one byte.
            unsafe { DATA.write_volatile(byte.into()) };
            count += 1;
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
