//! Files with one 32-byte key: a device's secret, and the key that the device shares with its dealer.

use std::{fs::OpenOptions, io::Write, path::Path};

use ringlet_core::prg::Key;

use super::file::failed;
use crate::error::Failure;

/// Refuses a file that exists: a secret that is overwritten is lost to the device that has it.
pub fn check_new(path: &Path) -> Result<(), Failure> {
    match path.try_exists() {
        Ok(true) => Err(Failure::new(
            format!("{} exists already", path.display()),
            "name another file, or delete it if no device needs it",
        )),
        _ => Ok(()),
    }
}

/// Writes a key to a new file that no other user may read.
pub fn write_new(path: &Path, key: &Key) -> Result<(), Failure> {
    write_secret(path, key.reveal())
}

/// Writes a secret text to a new file that no other user may read.
pub fn write_new_text(path: &Path, text: &str) -> Result<(), Failure> {
    check_new(path)?;
    write_secret(path, text.as_bytes())
}

fn write_secret(path: &Path, secret: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(secret));
    written.map_err(|error| failed(path, &error.to_string()))
}

/// Reads the key that a device and its dealer share.
pub fn read(path: &Path) -> Result<Key, Failure> {
    let wrong = |why: String| {
        Failure::new(
            format!("{} holds no key: {why}", path.display()),
            "make one with `ringlet data secret`",
        )
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let count = bytes.len();
    let bytes = bytes.try_into();
    bytes
        .map(Key::new)
        .map_err(|_| wrong(format!("it has {count} bytes instead of {}", Key::LEN)))
}
