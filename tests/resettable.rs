//! A board in QEMU that can be reset.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use ringlet::board::{Board, Emulated};

/// A board that can be reset.
pub struct Resettable {
    /// The board.
    pub board: Emulated,
    monitor: PathBuf,
}

impl Resettable {
    /// The board of this name with this image of samples and this record. Its files go to a new directory in `dir`.
    pub fn start(name: &str, dir: &Path, image: &Path, record: &[u8]) -> Self {
        let board = Board::named(name).expect("a board");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
        let firmware = board.firmware(&folder);
        assert!(
            firmware.is_file(),
            "tests/run builds {}",
            firmware.display()
        );
        // Each board counts its sessions beside its record.
        let own = tempfile::tempdir_in(dir).expect("a directory").keep();
        let (secret, monitor) = (own.join("record"), own.join("monitor"));
        std::fs::write(&secret, record).expect("a file");
        let server = format!("unix:{},server=on,wait=off", monitor.display());
        let board = board.start_with(&firmware, image, &secret, &["-qmp", &server]);
        Resettable {
            board: board.expect("a board"),
            monitor,
        }
    }

    /// Resets the board, as a power cut does.
    pub fn reset(&self) {
        let stream = UnixStream::connect(&self.monitor).expect("QEMU's monitor");
        let mut answers = BufReader::new(stream.try_clone().expect("a handle")).lines();
        let mut stream = stream;
        let mut next = || answers.next().expect("an answer").expect("an answer");
        next();
        for command in ["qmp_capabilities", "system_reset"] {
            writeln!(stream, "{{\"execute\":\"{command}\"}}").expect("a monitor");
            while !next().contains("return") {}
        }
    }
}
