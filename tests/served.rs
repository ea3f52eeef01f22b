//! The firmware's code behind a pseudo-terminal on this machine.

use std::{
    cell::RefCell,
    path::Path,
    thread::{self, JoinHandle},
    time::Duration,
};

use ringlet::links::serial::SerialLine;
use ringlet_core::{
    data::sample_image::SampleImage,
    net::serial::mux::{Mux, Timeouts},
    prg::Key,
};
use ringlet_device::{Device, Stopped, serve};
use serialport::{SerialPort, TTYPort};

/// A device that serves one session.
pub struct Served {
    /// Its address, for `ringlet party --peer`.
    pub address: String,
    outcome: JoinHandle<Result<(), Stopped>>,
    /// Keeps the terminal alive while nobody has it open.
    terminal: TTYPort,
}

impl Served {
    /// A device with the flash image in a file, a root secret, and `arena` 64-bit words of memory.
    pub fn start(image: &Path, root: [u8; 32], arena: usize) -> Self {
        let (mut line, terminal) = TTYPort::pair().expect("a pseudo-terminal");
        line.set_timeout(Duration::from_millis(50))
            .expect("a timeout");
        let address = terminal.name().expect("a pseudo-terminal has a name");
        let image = std::fs::read(image).expect("an image");
        let outcome = thread::spawn(move || {
            let reader = line.try_clone_native().expect("the same line");
            let line = SerialLine::new(reader, line).expect("threads");
            let clock = line.clock();
            let timeouts = Timeouts {
                resend: 100,
                silence: 20_000,
            };
            let mux = RefCell::new(Mux::new(line, clock, timeouts));
            let device = Device {
                memory: &mut vec![0; arena],
                store: SampleImage::new(&image),
                root: &Key::new(root),
                stack: None,
            };
            serve(&mux, device)
        });
        Served {
            address: format!("pty:{address}"),
            outcome,
            terminal,
        }
    }

    /// Waits for the end of the session. Returns how it ended.
    pub fn outcome(self) -> Result<(), Stopped> {
        let outcome = self.outcome.join().expect("no panic");
        drop(self.terminal);
        outcome
    }
}
