//! The chip's clocks: the internal oscillator, multiplied to the 168 MHz that the chip can run at. No crystal is
//! needed, so any board with the chip will do; the oscillator is exact to 1 %, which a serial line allows.

const CONTROL: *mut u32 = 0x4002_3800 as *mut u32;
const MULTIPLIER: *mut u32 = 0x4002_3804 as *mut u32;
const CONFIGURATION: *mut u32 = 0x4002_3808 as *mut u32;
const FLASH_ACCESS: *mut u32 = 0x4002_3C00 as *mut u32;

/// Five wait states, prefetch, and both caches.
const FLASH_AT_FULL_SPEED: u32 = 5 | 1 << 8 | 1 << 9 | 1 << 10;
/// 16 MHz / 16 * 336 / 2 from the internal oscillator; / 7 for what needs 48 MHz.
const MULTIPLY: u32 = 16 | 336 << 6 | 7 << 24;
const MULTIPLIER_ON: u32 = 1 << 24;
const MULTIPLIER_READY: u32 = 1 << 25;
/// Peripheral bus 1 has a quarter of the core's clock, bus 2 half of it.
const BUSES: u32 = 0b101 << 10 | 0b100 << 13;
const USE_MULTIPLIER: u32 = 0b10;
const USED: u32 = 0b11 << 2;
const MULTIPLIER_USED: u32 = 0b10 << 2;

const FULL_SPEED: u32 = 168_000_000;
const OSCILLATOR: u32 = 16_000_000;

/// How often a bit is looked at before it counts as one that will not come. It takes 300 microseconds at most
/// until the multiplier is ready.
const LOOKS: u32 = 100_000;

/// Clocks in Hz.
#[derive(Clone, Copy)]
pub struct Clocks {
    /// The core's.
    pub core: u32,
    /// Peripheral bus 2's.
    pub bus_2: u32,
}

/// Sets the clocks up; once, before anything that counts on them.
pub fn start() -> Clocks {
    // SAFETY: the clock's and the flash interface's own registers, which nothing else touches.
    unsafe {
        FLASH_ACCESS.write_volatile(FLASH_AT_FULL_SPEED);
        MULTIPLIER.write_volatile(MULTIPLY);
        CONTROL.write_volatile(CONTROL.read_volatile() | MULTIPLIER_ON);
        CONFIGURATION.write_volatile(BUSES);
        let there = CONFIGURATION.read_volatile() & BUSES == BUSES;
        if there && comes(CONTROL, MULTIPLIER_READY, MULTIPLIER_READY) {
            CONFIGURATION.write_volatile(BUSES | USE_MULTIPLIER);
            comes(CONFIGURATION, USED, MULTIPLIER_USED);
        }
        let used = CONFIGURATION.read_volatile() & USED == MULTIPLIER_USED;
        // An emulator may have no clock registers, and then runs at full speed whatever is asked of it.
        let core = if used || !there {
            FULL_SPEED
        } else {
            OSCILLATOR
        };
        Clocks {
            core,
            bus_2: core / 2,
        }
    }
}

/// Waits until the register's bits under `mask` have this value, but not for ever.
///
/// # Safety
/// `register` can be read, and reading it changes nothing.
unsafe fn comes(register: *mut u32, mask: u32, value: u32) -> bool {
    // SAFETY: as the caller promises.
    (0..LOOKS).any(|_| unsafe { register.read_volatile() } & mask == value)
}
