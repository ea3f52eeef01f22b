//! QEMU with a board: where samples and record lie in memory, and where the board's line is.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use ringlet_core::device::Record;
use tempfile::TempDir;

use super::boards::{Board, Line};
use crate::{
    data::{
        Images,
        flash_image::{flash_image, record_image},
    },
    error::Failure,
    links::device_address::{DeviceAddress, FIFOS},
};

/// A board in QEMU. It ends when it is dropped.
pub struct Emulated {
    child: Child,
    /// The address of its line, for `ringlet party --peer`.
    pub address: String,
    /// The directory of its files, if it goes with the emulator.
    files: Option<TempDir>,
}

impl Emulated {
    /// The emulator's process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Board {
    /// Starts QEMU with these images and this record in the board's flash. Returns the address of its line too.
    pub fn start_with_images(
        &self,
        firmware: &Path,
        images: &Images,
        record: &Record,
    ) -> Result<(Emulated, DeviceAddress), Failure> {
        self.start_with_flash(firmware, &flash_image(images)?, record)
    }

    /// The same with a flash image of samples and what lies behind them.
    pub fn start_with_flash(
        &self,
        firmware: &Path,
        flash: &[u8],
        record: &Record,
    ) -> Result<(Emulated, DeviceAddress), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::new(
                format!("the board's flash cannot be written to a temporary directory: {error}"),
                "check the space left there, and TMPDIR",
            )
        };
        let dir = tempfile::tempdir().map_err(cannot)?;
        let (samples, secret) = (dir.path().join("samples"), dir.path().join("record"));
        fs::write(&samples, flash).map_err(cannot)?;
        fs::write(&secret, &*record_image(record)).map_err(cannot)?;
        let mut emulated = self.start(firmware, &samples, &secret)?;
        // QEMU may read the files after it has started.
        emulated.files = Some(dir);
        let address = DeviceAddress::parse(&emulated.address)?;
        let address = address.ok_or_else(|| Failure::new("QEMU names no line of the board", ""))?;
        Ok((emulated, address))
    }

    /// Checks, before the work starts, that QEMU is installed.
    pub fn check_emulator(&self) -> Result<(), Failure> {
        let [program, _] = self.emulator;
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null());
        let status = version.status().map_err(|error| missing(program, &error))?;
        if status.success() {
            Ok(())
        } else {
            Err(missing(program, &status))
        }
    }

    /// Starts QEMU with this firmware, image of samples and record. The board counts its sessions in files beside the
    /// record.
    pub fn start(&self, firmware: &Path, image: &Path, record: &Path) -> Result<Emulated, Failure> {
        self.start_with(firmware, image, record, &[])
    }

    /// The same with more arguments for QEMU.
    pub fn start_with(
        &self,
        firmware: &Path,
        image: &Path,
        record: &Path,
        more: &[&str],
    ) -> Result<Emulated, Failure> {
        let [program, machine] = self.emulator;
        let mut command = Command::new(program);
        command
            .args(more)
            .args(["-M", machine, "-display", "none", "-monitor", "none"])
            .arg("-kernel")
            .arg(absolute(firmware))
            .args(["-device", &loader(&absolute(image), self.samples)])
            .args(["-device", &loader(&absolute(record), self.record)])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        if machine == "virt" {
            command.args(["-bios", "none"]);
        }
        let mut host = None;
        let folder = absolute(record.parent().unwrap_or(Path::new(".")));
        command
            .current_dir(&folder)
            .args(["-semihosting-config", "enable=on,target=native"]);
        match self.line {
            Line::Serial => {
                command.args(["-serial", "pty"]);
            }
            Line::Fifos => {
                let [incoming, outgoing] = FIFOS.map(|name| folder.join(name));
                make_fifos(&[&incoming, &outgoing])?;
                command.args(["-serial", "null"]);
                host = Some(format!("fifo:{}", folder.display()));
            }
            Line::Tcp(port) => {
                let at = free_address()?;
                command
                    .args(["-serial", "null", "-device", "virtio-net-device,netdev=n"])
                    .args(["-netdev", &format!("user,id=n,hostfwd=tcp:{at}-:{port}")]);
                host = Some(format!("tcp:{at}"));
            }
        }
        let mut child = command.spawn().map_err(|error| missing(program, &error))?;
        let output = child.stdout.take();
        let mut emulated = Emulated {
            child,
            address: String::new(),
            files: None,
        };
        emulated.address = match host {
            Some(address) => {
                // QEMU accepts connections before the board is there, and then retries only every six seconds.
                thread::sleep(Duration::from_secs(1));
                if !matches!(emulated.child.try_wait(), Ok(None)) {
                    return Err(emulated.complaint());
                }
                address
            }
            None => {
                let mut line = String::new();
                if let Some(output) = output {
                    let _ = BufReader::new(output).read_line(&mut line);
                }
                let terminal = line
                    .split_whitespace()
                    .find(|word| word.starts_with("/dev/"));
                match terminal {
                    Some(path) => format!("pty:{path}"),
                    None => return Err(emulated.complaint()),
                }
            }
        };
        Ok(emulated)
    }
}

impl Emulated {
    /// The failure of a QEMU that gave up, with its message.
    fn complaint(&mut self) -> Failure {
        let mut said = String::new();
        let _ = self.child.kill();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut said);
        }
        let said = said.lines().next().unwrap_or("it said nothing");
        Failure::new(
            format!("QEMU did not start the board: {said}"),
            "see that the firmware is built, and QEMU 7 or newer",
        )
    }
}

/// A path that is valid in any directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn missing(program: &str, why: &impl fmt::Display) -> Failure {
    Failure::new(
        format!("{program} cannot be started: {why}"),
        "install QEMU (Debian: qemu-system-arm and qemu-system-misc)",
    )
}

fn loader(file: &Path, at: u32) -> String {
    // For QEMU a single comma ends the name.
    let file = file.display().to_string().replace(',', ",,");
    format!("loader,file={file},addr={at:#x},force-raw=on")
}

/// Makes new FIFOs, with the system's `mkfifo`.
fn make_fifos(paths: &[&Path]) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(
            format!("no FIFOs for the board: {why}"),
            "choose a board with another line",
        )
    };
    for path in paths {
        let _ = std::fs::remove_file(path);
    }
    let made = Command::new("mkfifo").args(paths).status();
    match made {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn free_address() -> Result<String, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address
        .map(|address| address.to_string())
        .map_err(|error| Failure::new(format!("no free port: {error}"), "close some programs"))
}
