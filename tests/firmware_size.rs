//! What the boards' firmware takes of flash and RAM, as linked.

use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, SectionFlags, SectionKind};
use ringlet::board::{BOARDS, Board};

/// The flash and the static RAM that firmware takes, as linked.
fn linked(firmware: &Path) -> [u64; 2] {
    let bytes = std::fs::read(firmware).expect("firmware: tests/run builds it");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let (mut flash, mut ram) = (0, 0);
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            continue;
        };
        // Some linker scripts count the stack and a heap as sections.
        let room = [Ok(".stack"), Ok(".heap")].contains(&section.name());
        if sh_flags & u64::from(object::elf::SHF_ALLOC) == 0 || room {
            continue;
        }
        if section.kind() != SectionKind::UninitializedData {
            flash += section.size();
        }
        if sh_flags & u64::from(object::elf::SHF_WRITE) != 0 {
            ram += section.size();
        }
    }
    [flash, ram]
}

/// The folder of the firmware.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware")
}

/// A board that contributes takes at most so much flash and static RAM. Its network's buffers are most of the last one's RAM.
#[test]
fn firmware_that_contributes_is_small() {
    for (name, most_flash, most_ram) in [
        ("stm32f405", 78 * 1024, 4 * 1024),
        ("mps2-an386", 72 * 1024, 4 * 1024),
        ("riscv-virt", 128 * 1024, 42 * 1024),
    ] {
        let board = Board::named(name).expect("a board");
        let [flash, ram] = linked(&board.contributing_firmware(&folder()));
        println!("{name}, contributing: {flash} bytes of flash, {ram} of static RAM");
        assert!(flash <= most_flash && ram <= most_ram, "{name}");
    }
}

/// Checks the linked flash and static RAM against the budgets.
#[test]
fn firmware_takes_what_the_plan_says() {
    for board in &BOARDS {
        let [flash, ram] = linked(&board.firmware(&folder()));
        let budget = board.budget;
        let statics = ram - u64::from(budget.party);
        println!(
            "{}: {flash} bytes of flash, {statics} of static RAM besides the party's",
            board.name
        );
        assert!(
            statics <= budget.statics.into(),
            "{}: {statics}",
            board.name
        );
        assert!(flash <= budget.flash[0].into(), "{}: {flash}", board.name);
        assert!(budget.flash[0] <= budget.flash[1], "{}", board.name);
        assert!(budget.stack[0] <= budget.stack[1], "{}", board.name);
    }
    // The targets: digits8 in 96 KiB, convnet2 in 384 KiB, both in 180 KiB of flash: 168 for training, 6 for classifying and for
    // frozen layers, and 6 for residual connections, dropout, kernels of two sides and the options of training.
    for (name, most) in [("stm32f405", 96), ("mps2-an386", 384)] {
        let budget = Board::named(name).expect("a board").budget;
        let all = budget.party + budget.statics + budget.stack[0];
        assert!(
            all <= most * 1024 && budget.flash[0] <= 180 * 1024,
            "{name}"
        );
    }
}
