//! The registers of the board's UART 0 (CMSDK APB UART) and its interrupt.

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::exception;
use ringlet_cortex_m::{Buffered, ReceiveQueue};
use ringlet_device::serial::{SerialLine, Uart};

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

static QUEUE: ReceiveQueue = ReceiveQueue::new();

/// Receives: the UART's interrupt is the only one that is enabled.
#[exception]
unsafe fn DefaultHandler(_number: i16) {
    QUEUE.receive_from(&mut Uart0);
}

/// The line over UART 0.
pub type Line = SerialLine<Buffered<Uart0>>;

/// Starts UART 0; once.
pub fn start(_: NVIC) -> Line {
    // SAFETY: the UART's own registers, which nothing else touches yet.
    unsafe {
        DIVIDER.write_volatile(CYCLES_PER_BIT);
        CONTROL.write_volatile(ENABLE);
        NVIC::unmask(Receive);
    }
    SerialLine::new(Buffered::new(Uart0, &QUEUE))
}

/// The registers of UART 0. The interrupt handler receives, and the line sends.
pub struct Uart0;

impl Uart for Uart0 {
    fn has_received(&mut self) -> bool {
        // SAFETY: reading this register has no side effects.
        unsafe { STATE.read_volatile() & RECEIVE_FULL != 0 }
    }

    fn receive(&mut self) -> Option<u8> {
        // SAFETY: the register of pending interrupts; only the receiver's is cleared.
        unsafe { INTERRUPTS.write_volatile(RECEIVED) };
        // SAFETY: the data register, which holds a byte.
        self.has_received()
            .then(|| unsafe { DATA.read_volatile() as u8 })
    }

    fn can_send(&mut self) -> bool {
        // SAFETY: reading this register has no side effects.
        unsafe { STATE.read_volatile() & TRANSMIT_FULL == 0 }
    }

    fn send(&mut self, byte: u8) {
        // SAFETY: the data register; writing it sends, and leaves what has been received.
        unsafe { DATA.write_volatile(byte.into()) };
    }
}
