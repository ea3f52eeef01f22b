//! The machine: its timer, sleep until an interrupt, and reset.

use ringlet_core::net::serial::mux::Clock;
use riscv::register::mie;

/// The timer of the first hart (CLINT).
const COMPARE: *mut u32 = 0x0200_4000 as *mut u32;
const TIME: *const u32 = 0x0200_BFF8 as *const u32;
/// Ticks of the timer in a millisecond: it runs at 10 MHz.
const TICKS: u64 = 10_000;

/// The interrupt controller (PLIC), as the first hart sees it in machine mode.
const PRIORITIES: *mut u32 = 0x0C00_0000 as *mut u32;
const ENABLED: *mut u32 = 0x0C00_2000 as *mut u32;
const THRESHOLD: *mut u32 = 0x0C20_0000 as *mut u32;
const CLAIM: *mut u32 = 0x0C20_0004 as *mut u32;

/// The device through which a program ends QEMU or resets the machine.
const TEST: *mut u32 = 0x0010_0000 as *mut u32;
const RESET: u32 = 0x7777;

/// Resets the machine.
pub fn reset() -> ! {
    // SAFETY: the device's only register.
    unsafe { TEST.write_volatile(RESET) };
    halt()
}

/// Stops the program for good.
pub fn halt() -> ! {
    loop {
        riscv::asm::wfi();
    }
}

/// Lets a device end [`Timer::idle`], given its source number at the interrupt controller (1 to 31). No handler ever
/// runs: a pending interrupt ends the sleep, and the program then polls the device.
pub fn wake_by(source: usize) {
    // SAFETY: the controller's registers, which nothing else uses at this time.
    unsafe {
        PRIORITIES.add(source).write_volatile(1);
        ENABLED.write_volatile(ENABLED.read_volatile() | 1 << source);
        THRESHOLD.write_volatile(0);
        mie::set_mext();
    }
}

fn ticks() -> u64 {
    loop {
        // SAFETY: reading these registers has no side effects.
        let [high, low, again] = unsafe {
            [
                TIME.add(1).read_volatile(),
                TIME.read_volatile(),
                TIME.add(1).read_volatile(),
            ]
        };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

/// Milliseconds since the machine was started.
pub fn milliseconds() -> u64 {
    ticks() / TICKS
}

/// The port's clock.
pub struct Timer;

impl Clock for Timer {
    fn milliseconds(&mut self) -> u32 {
        milliseconds() as u32
    }

    fn wait(&mut self) {
        let wake = ticks() + TICKS;
        // SAFETY: the timer's and the controller's registers, which nothing else uses at this time. While its halves
        // are written, the time to wake up at never lies in the past.
        unsafe {
            COMPARE.add(1).write_volatile(u32::MAX);
            COMPARE.write_volatile(wake as u32);
            COMPARE.add(1).write_volatile((wake >> 32) as u32);
            mie::set_mtimer();
            riscv::asm::wfi();
            let source = CLAIM.read_volatile();
            if source != 0 {
                CLAIM.write_volatile(source);
            }
        }
    }
}
