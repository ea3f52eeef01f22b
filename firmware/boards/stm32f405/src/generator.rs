//! The chip's hardware generator of random words.

use stm32_metapac::{RCC, RNG};

/// How often the generator's state is read before it counts as broken. A word takes 40 cycles of 48 MHz.
const ATTEMPTS: u32 = 10_000;

/// Starts the generator. Returns a function that gives its next word, or `None` if it reports an error or gives none.
pub fn start() -> impl FnMut() -> Option<u32> {
    RCC.ahb2enr().modify(|w| w.set_rngen(true));
    RNG.cr().modify(|w| w.set_rngen(true));
    || {
        for _ in 0..ATTEMPTS {
            let state = RNG.sr().read();
            // Errors of the seed or of the clock, now or since the start.
            if state.secs() || state.cecs() || state.seis() || state.ceis() {
                return None;
            }
            if state.drdy() {
                return Some(RNG.dr().read());
            }
        }
        None
    }
}
