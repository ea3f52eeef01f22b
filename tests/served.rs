//! The firmware's code behind a pseudo-terminal on this machine.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use ringlet::links::serial::{LineClock, SerialLine};
use ringlet_core::{
    data::sample_image::SampleImage,
    device::ModelImage,
    net::serial::mux::{Mux, Timeouts},
    prg::device_key::FRESH_LEN,
};
use ringlet_device::{
    Device, Stopped, backbone_behind,
    classes::Classes,
    contribute::{self, Contributor},
    fresh::{Counter, Fresh, SLOT_LEN, Storage, StorageError},
    serve,
};
use serialport::{SerialPort, TTYPort};

use crate::success;

/// The memory of a device's counter of sessions, which outlasts a reset. Blank at first, so the first fresh value is
/// [`fresh`]`(1)`.
#[derive(Clone)]
pub struct CounterMemory(Arc<Mutex<[[u8; SLOT_LEN]; 2]>>);

impl Default for CounterMemory {
    fn default() -> Self {
        CounterMemory(Arc::new(Mutex::new([[u8::MAX; SLOT_LEN]; 2])))
    }
}

impl CounterMemory {
    /// A copy as it is now, as an attacker might restore it.
    pub fn copy(&self) -> Self {
        CounterMemory(Arc::new(Mutex::new(*self.0.lock().expect("no panic"))))
    }
}

impl Storage for CounterMemory {
    fn read(&mut self, slot: usize) -> Result<[u8; SLOT_LEN], StorageError> {
        Ok(self.0.lock().expect("no panic")[slot])
    }

    fn write(&mut self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), StorageError> {
        self.0.lock().expect("no panic")[slot] = *bytes;
        Ok(())
    }
}

/// An image of so many built-in digits from the number `first` on.
pub fn pack(dir: &Path, first: u32, count: u32) -> PathBuf {
    let out = dir.join(format!("samples-{first}.bin"));
    let path = out.to_str().expect("UTF-8");
    let [first, count] = [first, count].map(|number| number.to_string());
    success(&[
        "data", "pack", "--out", path, "--first", &first, "--count", &count,
    ]);
    out
}

/// The fresh value of the session number `session` of a device that counts, from 1.
pub fn fresh(session: u64) -> [u8; FRESH_LEN] {
    u128::from(session).to_le_bytes()
}

/// Keeps the classes that a device finds.
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Classes for Kept {
    fn found(&mut self, classes: &[u8]) {
        self.0.lock().expect("no panic").extend(classes);
    }
}

/// The mux of a device's line.
type DeviceMux = RefCell<Mux<SerialLine, LineClock>>;

/// What a device does.
type Work = JoinHandle<Result<(), Stopped>>;

/// Runs a device's work in a thread. Returns the address of its line, the thread, and what keeps the line alive while nobody has
/// it open.
fn on_terminal(
    work: impl FnOnce(&DeviceMux) -> Result<(), Stopped> + Send + 'static,
) -> (String, Work, TTYPort) {
    let (mut line, terminal) = TTYPort::pair().expect("a pseudo-terminal");
    line.set_timeout(Duration::from_millis(50))
        .expect("a timeout");
    let address = terminal.name().expect("a pseudo-terminal has a name");
    let outcome = thread::spawn(move || {
        let reader = line.try_clone_native().expect("the same line");
        let line = SerialLine::new(reader, line).expect("threads");
        let clock = line.clock();
        let timeouts = Timeouts {
            resend: 100,
            silence: 20_000,
        };
        work(&RefCell::new(Mux::new(line, clock, timeouts)))
    });
    (format!("pty:{address}"), outcome, terminal)
}

/// A device that contributes once.
pub struct Contributing {
    /// Its address, for `ringlet contribute --device`.
    pub address: String,
    outcome: Work,
    terminal: TTYPort,
}

impl Contributing {
    /// A device with this flash image and record.
    pub fn start(image: Vec<u8>, record: Vec<u8>) -> Self {
        let (address, outcome, terminal) = on_terminal(move |mux| {
            let contributor = Contributor {
                image: &image,
                record: &record,
                stack: None,
            };
            contribute::serve(mux, &contributor)
        });
        Contributing {
            address,
            outcome,
            terminal,
        }
    }

    /// Waits for the end of the contribution. Returns how it ended.
    pub fn outcome(self) -> Result<(), Stopped> {
        let outcome = self.outcome.join().expect("no panic");
        drop(self.terminal);
        outcome
    }
}

/// A device that serves one session.
pub struct Served {
    /// Its address, for `ringlet party --peer`.
    pub address: String,
    /// The classes that it has found.
    pub found: Arc<Mutex<Vec<u8>>>,
    outcome: Work,
    /// Keeps the terminal alive while nobody has it open.
    terminal: TTYPort,
}

impl Served {
    /// A new device with the flash image in a file, a record, and `arena` 64-bit words of memory.
    pub fn start(image: &Path, record: &[u8], arena: usize) -> Self {
        let counter = Counter::new(CounterMemory::default());
        Self::with(image, record, arena, counter)
    }

    /// The same with another source of fresh values.
    pub fn with(
        image: &Path,
        record: &[u8],
        arena: usize,
        fresh: impl Fresh + Send + 'static,
    ) -> Self {
        Self::serving(image, record, arena, fresh, |_| false)
    }

    /// A device that serves one session after another until one ends well.
    pub fn until_done(image: &Path, record: &[u8], arena: usize) -> Self {
        let counter = Counter::new(CounterMemory::default());
        Self::serving(image, record, arena, counter, Result::is_err)
    }

    /// A device that serves a further session after an outcome after which it `goes_on`.
    fn serving(
        image: &Path,
        record: &[u8],
        arena: usize,
        mut fresh: impl Fresh + Send + 'static,
        goes_on: fn(&Result<(), Stopped>) -> bool,
    ) -> Self {
        let image = std::fs::read(image).expect("an image");
        let record = record.to_vec();
        let found = Arc::new(Mutex::new(Vec::new()));
        let mut kept = Kept(found.clone());
        let (address, outcome, terminal) = on_terminal(move |mux| {
            loop {
                let store = SampleImage::new(&image);
                let device = Device {
                    memory: &mut vec![0; arena],
                    store,
                    backbone: backbone_behind(&image, &store),
                    model: ModelImage::new(&image),
                    classes: &mut kept,
                    record: &record,
                    fresh: &mut fresh,
                    stack: None,
                };
                let outcome = serve(mux, device);
                if !goes_on(&outcome) {
                    return outcome;
                }
            }
        });
        Served {
            address,
            found,
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
