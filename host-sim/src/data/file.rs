//! Files that appear whole or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::Failure;

/// Checks, before the work starts, that a file can be written at `path`. An existing file is replaced only if it is a
/// plain file.
pub fn check_writable(path: &Path) -> Result<(), Failure> {
    let refused = |why: &str, remedy: &str| {
        Failure::new(
            format!("{} cannot be written: {why}", path.display()),
            remedy,
        )
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(refused("it is not a plain file", "give the name of a file"));
        }
        Ok(_) | Err(_) => {}
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    if !dir.is_dir() {
        return Err(refused(
            "its directory does not exist",
            "make the directory first",
        ));
    }
    // To learn whether a file can be made there, make one.
    let probe = partial(path);
    fs::File::create_new(&probe)
        .map_err(|error| refused(&error.to_string(), "check the directory"))?;
    fs::remove_file(&probe).map_err(|error| refused(&error.to_string(), "check the directory"))
}

/// Writes a file that appears whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    appear(path, |partial| {
        fs::write(partial, bytes).map_err(|error| error.to_string())
    })
}

/// `write` makes the file under a temporary name; it gets its own name when it is whole.
pub(super) fn appear(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), Failure> {
    let partial = partial(path);
    write(&partial)
        .and_then(|()| fs::rename(&partial, path).map_err(|error| error.to_string()))
        .map_err(|error| {
            let _ = fs::remove_file(&partial);
            failed(path, &error)
        })
}

/// The error for a file that cannot be written.
pub(super) fn failed(path: &Path, error: &str) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "check the directory and the space left",
    )
}

/// The temporary name of a file until it is whole.
fn partial(path: &Path) -> PathBuf {
    // The process id keeps it apart from files of the user and of other runs.
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(partial)
}
