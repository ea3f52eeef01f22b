//! Ringlet's party on QEMU's RISC-V machine `virt` (RV32). The line is a TCP connection on port 7001; with the feature
//! `uart`, it is the machine's UART.

#![no_std]
#![no_main]

#[cfg(not(any(feature = "ethernet", feature = "uart")))]
compile_error!("there is no line: choose the feature `ethernet` or `uart`");

#[cfg(not(feature = "uart"))]
mod ethernet;
mod machine;
#[cfg(not(feature = "uart"))]
mod nic;
#[cfg(feature = "uart")]
mod uart;

use core::{cell::RefCell, panic::PanicInfo};

use ringlet_core::{device::Crash, net::serial::mux::Mux};
use ringlet_device::{
    TIMEOUTS,
    classes::ClassesFile,
    crash_report,
    fresh::{Counter, CounterFiles},
    programmed::Programmed,
    serve_all,
    stack::Stack,
};
use riscv_rt::entry;

/// The samples' image, loaded apart from the firmware, behind the RAM of `memory.x`. A real chip has it in flash.
const SAMPLES: (*const u8, usize) = (0x8020_0000 as *const u8, 0x001F_0000);
/// The device's record, from `ringlet data secret`, loaded in the same way.
const RECORD: *const u8 = 0x803F_0000 as *const u8;
/// 64-bit words of the arena.
const ARENA: usize = 168 * 1024;

#[entry]
fn main() -> ! {
    // SAFETY: this runs on the stack of `memory.x`.
    let stack = unsafe { Stack::paint_linked() };
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let arena = &raw mut ARENA_WORDS;
    // SAFETY: `main` runs once, on one hart, and this is the only reference.
    let arena = unsafe { &mut *arena };
    #[cfg(feature = "uart")]
    let line = uart::start();
    #[cfg(not(feature = "uart"))]
    let line = {
        static mut BUFFERS: ethernet::Buffers = ethernet::Buffers::new();
        static mut CONNECTIONS: ethernet::Connections = ethernet::NO_CONNECTIONS;
        let (buffers, connections) = (&raw mut BUFFERS, &raw mut CONNECTIONS);
        // SAFETY: as above.
        let (buffers, connections) = unsafe { (&mut *buffers, &mut *connections) };
        let Some(line) = ethernet::Ethernet::start(buffers, connections) else {
            // Without a network card there is no line.
            machine::halt()
        };
        line
    };

    // SAFETY: nothing writes this memory while the firmware runs.
    let programmed = unsafe { Programmed::new(SAMPLES, RECORD) };
    // The machine is QEMU's own, so sessions are counted in files, by semihosting.
    let mut fresh = Counter::new(CounterFiles);
    let mut classes = ClassesFile;
    let mux = RefCell::new(Mux::new(line, machine::Timer, TIMEOUTS));
    serve_all(&mux, arena, &programmed, &mut fresh, &mut classes, &stack)
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    crash_report::store(Crash::Panic);
    machine::reset()
}

/// Handles every exception: nothing here raises one on purpose.
// SAFETY: it has the name and the signature that riscv-rt documents for this handler.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception() -> ! {
    crash_report::store(Crash::Fault);
    machine::reset()
}
