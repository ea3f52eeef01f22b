//! Files that appear whole or not at all.

use std::{
    fs, io,
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
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| Failure::unwritten(path.display(), &error))
}

/// Writes a file that appears whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Staged::write(path, bytes)?.appear()
}

/// A whole file under a temporary name. It is removed if it does not [`appear`](Staged::appear).
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    partial: Option<PathBuf>,
}

impl Staged {
    /// Writes the file under its temporary name.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, Failure> {
        Staged::new(path, |partial| fs::write(partial, bytes))
    }

    /// `write` makes the file under the temporary name that it is given. The file is on the disk when this returns.
    pub(super) fn new(
        path: &Path,
        write: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Self, Failure> {
        let staged = Staged {
            path: path.to_owned(),
            partial: Some(partial(path)),
        };
        let partial = partial(path);
        write(&partial)
            .and_then(|()| sync(&partial))
            .map_err(|error| Failure::unwritten(path.display(), &error))?;
        Ok(staged)
    }

    /// Gives the file its own name.
    pub fn appear(mut self) -> Result<(), Failure> {
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        fs::rename(&partial, &self.path).map_err(|error| {
            let _ = fs::remove_file(&partial);
            Failure::unwritten(self.path.display(), &error)
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // It may not even have been made.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Waits until a file is on the disk.
fn sync(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.sync_all()
}

/// The temporary name of a file until it is whole.
fn partial(path: &Path) -> PathBuf {
    // The process id keeps it apart from files of the user and of other runs.
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_on_a_full_disk_leaves_no_part_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("table.csv");
        let made = Staged::new(&path, |partial| {
            std::os::unix::fs::symlink("/dev/full", partial)?;
            fs::write(partial, b"0,1")
        });
        let line = made.map_err(|failure| failure.to_string());
        let wanted = format!("{} cannot be written: the disk is full", path.display());
        assert!(line.is_err_and(|line| line.starts_with(&wanted)));
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}
