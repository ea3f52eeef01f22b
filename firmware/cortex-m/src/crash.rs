//! What a fault and a panic do: both note the crash and reset the processor. The next host is told which it was.

use core::{arch::naked_asm, panic::PanicInfo};

use cortex_m::peripheral::SCB;
use ringlet_core::device::Crash;
use ringlet_device::crash_report;

/// Handles every fault of the processor. A stack overflow faults too and leaves no room to push to; so the handler
/// moves the stack pointer back to the start of the stack first. It has instructions of ARMv6-M only.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn HardFault() -> ! {
    naked_asm!(
        "ldr r0, 2f",
        "mov sp, r0",
        "bl {fault}",
        ".balign 4",
        "2: .word _stack_start",
        fault = sym fault,
    )
}

extern "C" fn fault() -> ! {
    crash_report::store(Crash::Fault);
    SCB::sys_reset()
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // The message and the location are left out: they would keep the text of every bounds check in flash, some 12 KB.
    #[cfg(feature = "defmt")]
    defmt::error!("the firmware panicked and starts again");
    crash_report::store(Crash::Panic);
    SCB::sys_reset()
}
