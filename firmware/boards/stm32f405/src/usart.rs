//! The registers of the chip's USART 1, on PA9 (transmit) and PA10 (receive), and its interrupt.

use cortex_m::{interrupt::InterruptNumber, peripheral::NVIC};
use cortex_m_rt::exception;
use ringlet_cortex_m::{Buffered, ReceiveQueue};
use ringlet_device::serial::{SerialLine, Uart};

use crate::clock::Clocks;

/// Bits a second.
const BAUD: u32 = if cfg!(feature = "fast-line") {
    2_000_000
} else {
    115_200
};

const CLOCKS_OF_PINS: *mut u32 = 0x4002_3830 as *mut u32;
const CLOCKS_OF_BUS_2: *mut u32 = 0x4002_3844 as *mut u32;
const PORT_A: u32 = 1;
const USART_1: u32 = 1 << 4;

const PINS_MODE: *mut u32 = 0x4002_0000 as *mut u32;
const PINS_SPEED: *mut u32 = 0x4002_0008 as *mut u32;
const PINS_PULL: *mut u32 = 0x4002_000C as *mut u32;
const PINS_FUNCTION: *mut u32 = 0x4002_0024 as *mut u32;

const BASE: usize = 0x4001_1000;
const STATE: *mut u32 = BASE as *mut u32;
const DATA: *mut u32 = (BASE + 4) as *mut u32;
const DIVIDER: *mut u32 = (BASE + 8) as *mut u32;
const CONTROL: *mut u32 = (BASE + 12) as *mut u32;

const OVERRUN: u32 = 1 << 3;
const RECEIVED: u32 = 1 << 5;
const TRANSMIT_EMPTY: u32 = 1 << 7;
/// Receiver, transmitter, the receiver's interrupt, and the whole.
const ENABLE: u32 = 1 << 2 | 1 << 3 | 1 << 5 | 1 << 13;
/// Eight samples a bit in the place of 16.
const COARSE: u32 = 1 << 15;

/// The USART's interrupt.
#[derive(Clone, Copy)]
struct Interrupt;

// SAFETY: it is interrupt 37 of this chip, always.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        37
    }
}

static QUEUE: ReceiveQueue = ReceiveQueue::new();

/// Receives: the USART's interrupt is the only one that is enabled.
#[exception]
unsafe fn DefaultHandler(_number: i16) {
    QUEUE.receive_from(&mut Usart1);
}

/// Sets the bits under `mask` to `value`.
///
/// # Safety
/// Nothing else touches the register at the same time.
unsafe fn change(register: *mut u32, mask: u32, value: u32) {
    // SAFETY: as the caller promises.
    unsafe { register.write_volatile(register.read_volatile() & !mask | value) };
}

/// Starts USART 1; once.
pub fn start(_: NVIC, clocks: Clocks) -> SerialLine<Buffered<Usart1>> {
    let cycles = (clocks.bus_2 + BAUD / 2) / BAUD;
    // In sixteenths of 16 cycles, or in eighths of 8, whose place is one bit higher.
    let (divider, coarse) = if cycles < 16 {
        (cycles >> 3 << 4 | cycles & 7, COARSE)
    } else {
        (cycles, 0)
    };
    // SAFETY: the registers of the USART, of its pins and of their clocks, which nothing else touches.
    unsafe {
        change(CLOCKS_OF_PINS, PORT_A, PORT_A);
        change(CLOCKS_OF_BUS_2, USART_1, USART_1);
        // A clock is there two cycles after it has been asked for.
        CLOCKS_OF_BUS_2.read_volatile();
        // Both pins are the USART's, function 7; the way out is fast, the way in is high when nothing drives it.
        change(PINS_FUNCTION, 0xFF << 4, 0x77 << 4);
        change(PINS_SPEED, 0b11 << 18, 0b10 << 18);
        change(PINS_PULL, 0b11 << 20, 0b01 << 20);
        change(PINS_MODE, 0b1111 << 18, 0b1010 << 18);
        DIVIDER.write_volatile(divider);
        CONTROL.write_volatile(ENABLE | coarse);
        NVIC::unmask(Interrupt);
    }
    SerialLine::new(Buffered::new(Usart1, &QUEUE))
}

/// The registers of USART 1. The interrupt handler receives, and the line sends.
pub struct Usart1;

impl Uart for Usart1 {
    fn has_received(&mut self) -> bool {
        // SAFETY: reading this register has no side effects before the data register is read.
        unsafe { STATE.read_volatile() & (RECEIVED | OVERRUN) != 0 }
    }

    fn receive(&mut self) -> Option<u8> {
        // SAFETY: the data register; reading it after the state clears an overrun too.
        self.has_received()
            .then(|| unsafe { DATA.read_volatile() as u8 })
    }

    fn can_send(&mut self) -> bool {
        // SAFETY: as in `has_received`.
        unsafe { STATE.read_volatile() & TRANSMIT_EMPTY != 0 }
    }

    fn send(&mut self, byte: u8) {
        // SAFETY: the data register; writing it sends, and leaves what has been received.
        unsafe { DATA.write_volatile(byte.into()) };
    }
}
