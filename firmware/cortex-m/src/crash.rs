//! Both kinds of crash start the firmware again, and the next host hears which it was.

use core::{arch::naked_asm, panic::PanicInfo};

use cortex_m::peripheral::SCB;
use ringlet_core::device::Crash;
use ringlet_device::crash;

/// What the processor does on a fault. What overflows the stack ends here too, and below it there is no memory to
/// push to; so the handler begins at the stack's start.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn HardFault() -> ! {
    naked_asm!(
        "movw r0, #:lower16:_stack_start",
        "movt r0, #:upper16:_stack_start",
        "mov sp, r0",
        "b {fault}",
        fault = sym fault,
    )
}

extern "C" fn fault() -> ! {
    crash::note(Crash::Fault);
    SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // Where is not told: that would keep the place of every check of a bound in flash, some 12 KB.
    #[cfg(feature = "defmt")]
    defmt::error!("the firmware panicked and starts again");
    crash::note(Crash::Panic);
    SCB::sys_reset()
}
