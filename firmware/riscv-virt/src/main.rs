//! Ringlet's party on QEMU's RISC-V machine `virt` (RV32): the line is a TCP connection on port 7001, or the
//! machine's UART with the feature `uart`.

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

use ringlet_core::{
    prg::Key,
    store::Store,
    wire::{control::Crash, port::Port},
};
use ringlet_device::{Device, PATIENCE, crash, serve, stack::Stack};
use riscv_rt::entry;

/// The samples' image, loaded apart from the firmware, behind the RAM of `memory.x`. On a part it would lie
/// in flash.
const SAMPLES: (*const u8, usize) = (0x8020_0000 as *const u8, 0x001F_0000);
/// 32 bytes of this device's own randomness, loaded the same way.
const SECRET: *const [u8; Key::LEN] = 0x803F_0000 as *const [u8; Key::LEN];
/// 64-bit words of the arena.
const ARENA: usize = 168 * 1024;

unsafe extern "C" {
    /// Both ends of the stack, from the linker: it grows down from the start.
    static _stack_start: u32;
    static mut _stack_end: u32;
}

#[entry]
fn main() -> ! {
    // SAFETY: these are the ends of the stack that this runs on.
    let stack = unsafe { Stack::paint(&raw mut _stack_end, &raw const _stack_start) };
    static mut ARENA_WORDS: [u64; ARENA] = [0; ARENA];
    let arena = &raw mut ARENA_WORDS;
    // SAFETY: `main` runs once, on one hart, and this is the only reference.
    let arena = unsafe { &mut *arena };
    #[cfg(feature = "uart")]
    let line = uart::Uart::start();
    #[cfg(not(feature = "uart"))]
    let line = {
        static mut BUFFERS: ethernet::Buffers = ethernet::Buffers::new();
        static mut CONNECTIONS: ethernet::Connections = ethernet::NO_CONNECTIONS;
        let (buffers, connections) = (&raw mut BUFFERS, &raw mut CONNECTIONS);
        // SAFETY: as above.
        let (buffers, connections) = unsafe { (&mut *buffers, &mut *connections) };
        let Some(line) = ethernet::Ethernet::start(buffers, connections) else {
            // Without a network card there is nothing to do.
            machine::halt()
        };
        line
    };

    // SAFETY: nothing writes this memory while the firmware runs.
    let image = unsafe { core::slice::from_raw_parts(SAMPLES.0, SAMPLES.1) };
    // SAFETY: as above.
    let root = Key::new(unsafe { SECRET.read_volatile() });
    let port = RefCell::new(Port::new(line, machine::Timer, PATIENCE));
    loop {
        // A session that failed leaves nothing behind: the next one starts from the beginning.
        let device = Device {
            memory: &mut *arena,
            store: Store::new(image),
            root: &root,
            stack: Some(&stack),
        };
        let _ = serve(&port, device);
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    crash::note(Crash::Panic);
    machine::reset()
}

/// What the runtime calls on an exception that nobody expects.
// SAFETY: it has the name and the signature that riscv-rt documents for this handler.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception() -> ! {
    crash::note(Crash::Fault);
    machine::reset()
}
