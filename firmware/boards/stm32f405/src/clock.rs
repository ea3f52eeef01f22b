//! The chip's clocks: the internal oscillator, multiplied to 168 MHz, the most that the chip runs at. No crystal is
//! needed, so any board with the chip will do; the oscillator is exact to 1 %, which a serial line allows.

use stm32_metapac::{
    FLASH, RCC,
    flash::vals::Latency,
    rcc::{
        regs::Cfgr,
        vals::{Pllm, Plln, Pllp, Pllq, Ppre, Sw},
    },
};

const FULL_SPEED: u32 = 168_000_000;
const OSCILLATOR: u32 = 16_000_000;

/// How often a register is read before a change that it announces counts as one that will not come. The multiplier
/// is ready after 300 microseconds at most.
const ATTEMPTS: u32 = 100_000;

/// Clocks in Hz.
#[derive(Clone, Copy)]
pub struct Clocks {
    /// The core's.
    pub core: u32,
    /// Peripheral bus 2's.
    pub bus_2: u32,
}

/// Sets the clocks up; once, before anything that depends on them.
pub fn start() -> Clocks {
    FLASH.acr().write(|w| {
        w.set_latency(Latency::WS5);
        w.set_prften(true);
        w.set_icen(true);
        w.set_dcen(true);
    });
    // 16 MHz / 16 * 336 / 2 from the internal oscillator; / 7 for what needs 48 MHz.
    RCC.pllcfgr().write(|w| {
        w.set_pllm(Pllm::DIV16);
        w.set_plln(Plln::MUL336);
        w.set_pllp(Pllp::DIV2);
        w.set_pllq(Pllq::DIV7);
    });
    RCC.cr().modify(|w| w.set_pllon(true));
    // Peripheral bus 1 has a quarter of the core's clock, bus 2 half of it.
    let mut buses = Cfgr::default();
    buses.set_ppre1(Ppre::DIV4);
    buses.set_ppre2(Ppre::DIV2);
    RCC.cfgr().write_value(buses);
    // An emulator may lack these registers, which then read 0; it runs at full speed whatever is asked of it.
    let emulated = RCC.cfgr().read().ppre2() != Ppre::DIV2;
    if !emulated && becomes_true(|| RCC.cr().read().pllrdy()) {
        buses.set_sw(Sw::PLL1_P);
        RCC.cfgr().write_value(buses);
        becomes_true(multiplied);
    }
    let core = if emulated || multiplied() {
        FULL_SPEED
    } else {
        OSCILLATOR
    };
    Clocks {
        core,
        bus_2: core / 2,
    }
}

/// Whether the core runs at the multiplied clock.
fn multiplied() -> bool {
    RCC.cfgr().read().sws() == Sw::PLL1_P
}

/// Waits for a condition, up to [`ATTEMPTS`] reads of it.
fn becomes_true(condition: impl Fn() -> bool) -> bool {
    (0..ATTEMPTS).any(|_| condition())
}
