//! The chip's USART 1 on PA9 (transmit) and PA10 (receive), and its interrupt.

use cortex_m::peripheral::NVIC;
use ringlet_cortex_m::{Buffered, ReceiveQueue};
use ringlet_device::serial::{SerialLine, Uart};
use stm32_metapac::{
    self as pac, GPIOA, Interrupt, RCC,
    gpio::vals::{Moder, Ospeedr, Pupdr},
    interrupt,
    usart::{
        regs::{Brr, Dr},
        vals::Over8,
    },
};

use crate::clock::Clocks;

/// Bits a second.
const BAUD: u32 = if cfg!(feature = "fast-line") {
    2_000_000
} else {
    115_200
};

/// The pins of port A.
const TRANSMIT: usize = 9;
const RECEIVE: usize = 10;
/// The function of both pins that connects them to the USART.
const USART_FUNCTION: u8 = 7;

static QUEUE: ReceiveQueue = ReceiveQueue::new();

#[interrupt]
fn USART1() {
    QUEUE.receive_from(&mut Usart1);
}

/// The line over USART 1.
pub type Line = SerialLine<Buffered<Usart1>>;

/// Starts USART 1; once.
pub fn start(_: NVIC, clocks: Clocks) -> Line {
    RCC.ahb1enr().modify(|w| w.set_gpioaen(true));
    RCC.apb2enr().modify(|w| w.set_usart1en(true));
    // The USART has its clock two cycles later.
    RCC.apb2enr().read();
    GPIOA.afr(1).modify(|w| {
        w.set_afr(TRANSMIT - 8, USART_FUNCTION);
        w.set_afr(RECEIVE - 8, USART_FUNCTION);
    });
    GPIOA
        .ospeedr()
        .modify(|w| w.set_ospeedr(TRANSMIT, Ospeedr::HIGH_SPEED));
    // A receiver that nothing is connected to reads an idle line.
    GPIOA
        .pupdr()
        .modify(|w| w.set_pupdr(RECEIVE, Pupdr::PULL_UP));
    GPIOA.moder().modify(|w| {
        w.set_moder(TRANSMIT, Moder::ALTERNATE);
        w.set_moder(RECEIVE, Moder::ALTERNATE);
    });
    let cycles = (clocks.bus_2 + BAUD / 2) / BAUD;
    // The divider counts sixteenths of 16 cycles. Below 16 cycles a bit, the USART takes 8 samples a bit, and the
    // divider counts eighths of 8 cycles, with its integer part one bit higher.
    let (divider, sampling) = if cycles < 16 {
        (cycles >> 3 << 4 | cycles & 7, Over8::OVERSAMPLING8)
    } else {
        (cycles, Over8::OVERSAMPLING16)
    };
    pac::USART1.brr().write_value(Brr(divider));
    pac::USART1.cr1().write(|w| {
        w.set_re(true);
        w.set_te(true);
        w.set_rxneie(true);
        w.set_ue(true);
        w.set_over8(sampling);
    });
    // SAFETY: its handler touches the queue and the receiver only, and no critical section relies on the mask.
    unsafe { NVIC::unmask(Interrupt::USART1) };
    SerialLine::new(Buffered::new(Usart1, &QUEUE))
}

/// The registers of USART 1. The interrupt handler receives, and the line sends.
pub struct Usart1;

impl Uart for Usart1 {
    fn has_received(&mut self) -> bool {
        let state = pac::USART1.sr().read();
        state.rxne() || state.ore()
    }

    fn receive(&mut self) -> Option<u8> {
        // Reading the data register after the state clears an overrun too.
        self.has_received()
            .then(|| pac::USART1.dr().read().dr() as u8)
    }

    fn can_send(&mut self) -> bool {
        pac::USART1.sr().read().txe()
    }

    fn send(&mut self, byte: u8) {
        pac::USART1.dr().write_value(Dr(byte.into()));
    }
}
