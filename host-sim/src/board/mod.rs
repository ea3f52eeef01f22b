//! Boards that QEMU emulates: what to start, where samples and secret lie, and where to plug in.

pub mod firmware;

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{error::Failure, links::device_address::FIFOS};

/// How a board is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// By its serial port, a pseudo-terminal.
    Serial,
    /// By TCP, at this port of the board.
    Tcp(u16),
    /// By two FIFOs in the emulator's directory.
    Fifos,
}

/// A board with firmware of its own in `firmware/boards/`.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name, which is that of its folder in `firmware/boards/`.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The target that its firmware is built for, below the target directory.
    pub target: &'static str,
    /// QEMU's program and machine.
    pub emulator: [&'static str; 2],
    /// Address of the samples' image.
    pub samples: u32,
    /// Address of the 32-byte secret.
    pub secret: u32,
    /// How it is reached.
    pub line: Line,
    /// Whether its firmware evaluates polynomials, which take stack.
    pub polynomials: bool,
    /// What its firmware takes and has.
    pub budget: Budget,
}

/// Memory of a board's firmware, in bytes, as it is linked and as a run of digits8 has measured it.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// What it gives the party: its arena and the other party's opened samples.
    pub party: u32,
    /// Other static RAM, at most.
    pub statics: u32,
    /// The stack: what has been used of it, at most, and what there is.
    pub stack: [u32; 2],
    /// Flash: what is used of it, at most, and what there is.
    pub flash: [u32; 2],
}

const MPS2_AN386: Board = Board {
    name: "mps2-an386",
    about: "Arm's MPS2 with a Cortex-M4, by its UART",
    target: "thumbv7em-none-eabihf",
    emulator: ["qemu-system-arm", "mps2-an386"],
    samples: 0x0010_0000,
    secret: 0x001F_0000,
    line: Line::Serial,
    polynomials: false,
    budget: Budget {
        party: 354_560,
        statics: 1_280,
        stack: [30_720, 36_864],
        flash: [110_592, 131_072],
    },
};

const RISCV_VIRT: Board = Board {
    name: "riscv-virt",
    about: "QEMU's RISC-V machine, rv32imac, by TCP",
    target: "riscv32imac-unknown-none-elf",
    emulator: ["qemu-system-riscv32", "virt"],
    samples: 0x8020_0000,
    secret: 0x803F_0000,
    line: Line::Tcp(7001),
    polynomials: true,
    budget: Budget {
        party: 1_376_256,
        statics: 43_008,
        stack: [36_864, 131_072],
        flash: [208_896, 262_144],
    },
};

/// All boards that run in QEMU.
pub const BOARDS: [Board; 5] = [
    Board {
        name: "stm32f405",
        about: "STM32F405RG: Cortex-M4F, 128 KB of RAM, by its USART",
        target: "thumbv7em-none-eabihf",
        emulator: ["qemu-system-arm", "netduinoplus2"],
        samples: 0x0808_0000,
        secret: 0x080E_0000,
        line: Line::Serial,
        polynomials: false,
        budget: Budget {
            party: 60_928,
            statics: 2_304,
            stack: [30_720, 37_888],
            flash: [114_688, 131_072],
        },
    },
    MPS2_AN386,
    Board {
        name: "mps2-an386-fifo",
        about: "the same, by two FIFOs of the emulator",
        target: "fifo/thumbv7em-none-eabihf",
        line: Line::Fifos,
        ..MPS2_AN386
    },
    RISCV_VIRT,
    Board {
        name: "riscv-virt-uart",
        about: "the same, by its UART",
        target: "uart/riscv32imac-unknown-none-elf",
        line: Line::Serial,
        budget: Budget {
            statics: 4_096,
            flash: [181_248, 262_144],
            ..RISCV_VIRT.budget
        },
        ..RISCV_VIRT
    },
];

/// A board in QEMU, until it is dropped.
pub struct Emulated {
    child: Child,
    /// Where it is plugged in, as `ringlet party --peer` takes it.
    pub address: String,
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
    /// The board of this name.
    pub fn named(name: &str) -> Option<&'static Board> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// The package of its firmware, which is the name of that package's folder too.
    pub fn package(&self) -> &'static str {
        self.name
            .trim_end_matches("-uart")
            .trim_end_matches("-fifo")
    }

    /// Its firmware, below the folder `firmware/` of a checkout.
    pub fn firmware(&self, folder: &Path) -> PathBuf {
        folder
            .join("target")
            .join(self.target)
            .join("release")
            .join(format!("ringlet-{}", self.package()))
    }

    /// Makes sure, before the work starts, that QEMU is there.
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

    /// Starts QEMU with this firmware, image of samples and secret.
    pub fn start(&self, firmware: &Path, image: &Path, secret: &Path) -> Result<Emulated, Failure> {
        self.start_with(firmware, image, secret, &[])
    }

    /// The same with more arguments for QEMU.
    pub fn start_with(
        &self,
        firmware: &Path,
        image: &Path,
        secret: &Path,
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
            .args(["-device", &loader(&absolute(secret), self.secret)])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        if machine == "virt" {
            command.args(["-bios", "none"]);
        }
        let mut host = None;
        let folder = image.parent().unwrap_or(Path::new("."));
        match self.line {
            Line::Serial => {
                command.args(["-serial", "pty"]);
            }
            Line::Fifos => {
                let [incoming, outgoing] = FIFOS.map(|name| folder.join(name));
                make_fifos(&[&incoming, &outgoing])?;
                command
                    .current_dir(folder)
                    .args(["-serial", "null"])
                    .args(["-semihosting-config", "enable=on,target=native"]);
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
        };
        emulated.address = match host {
            Some(address) => {
                // QEMU takes connections before the board is there, and then tries it only every six
                // seconds.
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
    /// What QEMU said when it gave up.
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

/// A path that holds in any directory.
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
    // QEMU takes a comma as the end of the name unless it stands twice.
    let file = file.display().to_string().replace(',', ",,");
    format!("loader,file={file},addr={at:#x},force-raw=on")
}

/// Makes FIFOs anew, by the system's own program.
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
