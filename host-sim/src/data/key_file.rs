//! Files with secrets: they are new, and no other user may read them.

use std::{fs::OpenOptions, io::Write, path::Path};

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

/// Writes secret bytes to a new file that no other user may read.
pub fn write_new(path: &Path, secret: &[u8]) -> Result<(), Failure> {
    check_new(path)?;
    write_secret(path, secret)
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
    written.map_err(|error| Failure::unwritten(path.display(), &error))
}
