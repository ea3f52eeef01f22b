//! QEMU's RISC-V machine `virt`. With `-icount shift=0`, its counter of retired instructions is exact.

use riscv::register::minstret;
use riscv_rt::entry;

use crate::{ARENA, run};

/// The instruction counter that ringlet-core's profile reads.
#[unsafe(no_mangle)]
fn _ringlet_instructions() -> u32 {
    minstret::read() as u32
}

#[entry]
fn main() -> ! {
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let arena = &raw mut ARENA_WORDS;
    // SAFETY: this runs once, and this is the only reference.
    run(unsafe { &mut *arena })
}
