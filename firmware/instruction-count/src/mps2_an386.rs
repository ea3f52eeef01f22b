//! Arm's MPS2 board with a Cortex-M4 (AN386). With `-icount shift=5`, an instruction takes 32 ns of emulated time, and
//! timer 0 counts down once in 40 ns.

use cortex_m_rt::entry;

use crate::{ARENA, run};

/// CMSDK APB timer 0.
const CONTROL: *mut u32 = 0x4000_0000 as *mut u32;
const VALUE: *mut u32 = 0x4000_0004 as *mut u32;
const RELOAD: *mut u32 = 0x4000_0008 as *mut u32;
const ENABLE: u32 = 1;

/// The instruction counter that ringlet-core's profile reads.
#[unsafe(no_mangle)]
fn _ringlet_instructions() -> u32 {
    // SAFETY: reading this register has no side effects.
    let ticks = !unsafe { VALUE.read_volatile() };
    // 40 ns / 32 ns. The count jumps when the timer wraps, after five billion instructions.
    (u64::from(ticks) * 5 / 4) as u32
}

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    // SAFETY: the timer's own registers, which nothing else touches.
    unsafe {
        RELOAD.write_volatile(u32::MAX);
        VALUE.write_volatile(u32::MAX);
        CONTROL.write_volatile(ENABLE);
    }
    run(ARENA_WORDS)
}
