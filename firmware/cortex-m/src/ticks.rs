//! The clock: milliseconds counted by the core's SysTick timer.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use ringlet_core::net::serial::mux::Clock;

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u32:ms}", MILLISECONDS.load(Ordering::Relaxed));

#[exception]
fn SysTick() {
    // ARMv6-M has no atomic addition. A load and a store are enough: nothing else writes the counter.
    let now = MILLISECONDS.load(Ordering::Relaxed);
    MILLISECONDS.store(now.wrapping_add(1), Ordering::Relaxed);
}

/// The time since SysTick was started.
pub struct Ticks(());

impl Ticks {
    /// Starts SysTick, given the core's frequency in Hz, at least 1000.
    pub fn start(mut timer: SYST, hertz: u32) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload((hertz / 1000).saturating_sub(1));
        timer.clear_current();
        timer.enable_counter();
        timer.enable_interrupt();
        Ticks(())
    }
}

impl Clock for Ticks {
    fn milliseconds(&mut self) -> u32 {
        MILLISECONDS.load(Ordering::Relaxed)
    }

    fn wait(&mut self) {
        // The interrupt of the next received byte or of the next millisecond wakes the core.
        cortex_m::asm::wfi();
    }
}
