//! What the boards' firmware takes of flash and RAM, as linked.

use std::path::Path;

use object::{Object, ObjectSection, SectionFlags, SectionKind};
use ringlet::board::{BOARDS, Board};

/// Checks the linked flash and static RAM against the budgets.
#[test]
fn firmware_takes_what_the_plan_says() {
    for board in &BOARDS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
        let bytes = std::fs::read(board.firmware(&folder)).expect("firmware: tests/run builds it");
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
