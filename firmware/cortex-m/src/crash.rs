//! Both kinds of crash start the firmware again, and the next host hears which it was.

use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};
use ringlet_core::wire::control::Crash;
use ringlet_device::crash;

/// What overflows the stack ends here too.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
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
