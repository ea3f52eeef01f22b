//! Boards in QEMU, with the firmware that `tests/run` builds.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ringlet::board::{Board, Emulated};
use ringlet_core::Role;

use crate::deployment::{Deployment, host, lax, record};

/// The root secret that every board is given.
pub const ROOT: [u8; 32] = [5; 32];

/// The identities of all roles, in files that the tests of one program share in a directory.
pub fn deployment(dir: &str) -> &'static Deployment {
    static ALL: OnceLock<Deployment> = OnceLock::new();
    ALL.get_or_init(|| {
        std::fs::create_dir_all(dir).expect("a directory");
        Deployment::new(Path::new(dir), ROOT)
    })
}

/// A board with what is in a file in its flash, and with these further options of QEMU. Its own files are in `dir`.
pub fn start_board(name: &str, flash: &Path, dir: &Path, qemu: &[&str]) -> Emulated {
    let secret = dir.join("record.bin");
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    std::fs::write(&secret, own).expect("a file");
    started(name, Board::firmware, (flash, &secret), qemu)
}

/// A board that contributes the samples in a file, with the record in another file in its flash.
pub fn start_contributor(name: &str, flash: &Path, record: &Path) -> Emulated {
    started(name, Board::contributing_firmware, (flash, record), &[])
}

fn started(
    name: &str,
    firmware: fn(&Board, &Path) -> PathBuf,
    (flash, record): (&Path, &Path),
    qemu: &[&str],
) -> Emulated {
    let board = Board::named(name).expect("a board");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let firmware = firmware(board, &folder);
    let missing = || format!("{} is missing: tests/run builds it", firmware.display());
    assert!(firmware.is_file(), "{}", missing());
    let board = board.start_with(&firmware, flash, record, qemu);
    board.expect("a board")
}

/// Checks the stack that a board has used, of which P1 speaks, against the board's budget.
pub fn keeps_to_its_budget(board: &str, said: &str) {
    let budget = Board::named(board).expect("a board").budget;
    let line = said.lines().find(|line| line.contains("of stack"));
    let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
    let stack = words.windows(4).find(|w| w[2..] == ["of", "stack"]);
    let stack = stack.expect("a figure");
    let kilobytes: f64 = stack[0].parse().expect("a number");
    assert_eq!(stack[1], "kB", "{said}");
    println!("{board}: {kilobytes} kB of stack");
    assert!(kilobytes * 1000.0 <= f64::from(budget.stack[0]), "{said}");
}
