//! The boards with firmware in `firmware/boards/` that QEMU emulates.

use std::path::{Path, PathBuf};

/// The line of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its serial port, as a pseudo-terminal.
    Serial,
    /// TCP, at this port of the board.
    Tcp(u16),
    /// Two FIFOs in the emulator's directory.
    Fifos,
}

/// A board with firmware in `firmware/boards/`.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name. Without `-uart` or `-fifo` it is also that of its folder in `firmware/boards/`.
    pub name: &'static str,
    /// A description.
    pub about: &'static str,
    /// The target of its firmware: a folder below the target directory.
    pub target: &'static str,
    /// QEMU's program and machine.
    pub emulator: [&'static str; 2],
    /// Address of the samples' image.
    pub samples: u32,
    /// Address of the record with its secret.
    pub record: u32,
    /// Its line.
    pub line: Line,
    /// Whether its firmware evaluates polynomials, which need much stack.
    pub polynomials: bool,
    /// Whether its firmware trains with private gradients.
    pub private_training: bool,
    /// Its memory.
    pub budget: Budget,
}

/// Memory of a board with its firmware, in bytes, from the linker and from a measured run of digits8.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Memory for the party: its arena and the other party's opened samples.
    pub party: u32,
    /// The most other static RAM.
    pub statics: u32,
    /// The stack: the most that is used, and its size.
    pub stack: [u32; 2],
    /// Flash: the most that is used, and its size.
    pub flash: [u32; 2],
}

const MPS2_AN386: Board = Board {
    name: "mps2-an386",
    about: "Arm's MPS2 with a Cortex-M4, by its UART",
    target: "emulated/thumbv7em-none-eabihf",
    emulator: ["qemu-system-arm", "mps2-an386"],
    samples: 0x0010_0000,
    record: 0x001F_0000,
    line: Line::Serial,
    polynomials: false,
    private_training: false,
    budget: Budget {
        party: 354_560,
        statics: 1_280,
        stack: [36_352, 36_864],
        flash: [179_200, 262_144],
    },
};

const RISCV_VIRT: Board = Board {
    name: "riscv-virt",
    about: "QEMU's RISC-V machine, rv32imac, by TCP",
    target: "riscv32imac-unknown-none-elf",
    emulator: ["qemu-system-riscv32", "virt"],
    samples: 0x8020_0000,
    record: 0x803F_0000,
    line: Line::Tcp(7001),
    polynomials: true,
    private_training: true,
    budget: Budget {
        party: 1_376_256,
        statics: 43_008,
        stack: [43_008, 131_072],
        flash: [324_608, 393_216],
    },
};

/// All boards that run in QEMU.
pub const BOARDS: [Board; 5] = [
    Board {
        name: "stm32f405",
        about: "STM32F405RG: Cortex-M4F, 128 KB of RAM, by its USART",
        target: "emulated/thumbv7em-none-eabihf",
        emulator: ["qemu-system-arm", "netduinoplus2"],
        samples: 0x0808_0000,
        record: 0x080E_0000,
        line: Line::Serial,
        polynomials: false,
        private_training: false,
        budget: Budget {
            party: 59_520,
            statics: 2_304,
            stack: [36_352, 37_888],
            flash: [184_320, 262_144],
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
            flash: [297_984, 393_216],
            ..RISCV_VIRT.budget
        },
        ..RISCV_VIRT
    },
];

impl Board {
    /// The board of this name.
    pub fn named(name: &str) -> Option<&'static Board> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// The package of its firmware, which is also the name of its folder.
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

    /// The firmware with which it contributes to collections, likewise.
    pub fn contributing_firmware(&self, folder: &Path) -> PathBuf {
        let name = format!("ringlet-{}-contribute", self.package());
        self.firmware(folder).with_file_name(name)
    }
}
