//! Where bytes lie: a file, a member of a ZIP archive, or the program itself. Gzipped ones are unpacked on the way.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};

use flate2::bufread::GzDecoder;
use zip::ZipArchive;

use crate::error::Failure;

/// The most that a byte of a deflated stream can become.
const MOST_INFLATED: u64 = 1032;

/// Where bytes lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A member of a ZIP archive.
    Member(PathBuf, String),
    /// The program, under this name.
    BuiltIn(&'static str, &'static [u8]),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Member(archive, name) => write!(f, "{name} of {}", archive.display()),
            Place::BuiltIn(name, _) => f.write_str(name),
        }
    }
}

impl Place {
    /// Lets `work` read the bytes, unpacked. Fails if they cannot be opened, or as `work` does.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&mut dyn BufRead) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Place::File(path) => {
                let mut file = BufReader::new(open(path)?);
                unpacked(self, &mut file, work)
            }
            Place::Member(path, name) => {
                let mut archive = archive(path)?;
                let member = archive
                    .by_name(name)
                    .map_err(|error| self.damaged(&error.to_string()))?;
                unpacked(self, &mut BufReader::new(member), work)
            }
            Place::BuiltIn(_, bytes) => unpacked(self, &mut &bytes[..], work),
        }
    }

    /// A limit of the number of bytes that there can be, unpacked.
    pub fn most_bytes(&self) -> Result<u64, Failure> {
        let unreadable = |error: io::Error| unreadable(&self.to_string(), &error);
        Ok(match self {
            Place::File(path) => {
                let mut start = [0; 2];
                let mut file = open(path)?;
                let read = fill(&mut file, &mut start).map_err(unreadable)?;
                let len = file.metadata().map_err(unreadable)?.len();
                match is_gzip(&start[..read]) {
                    true => len.saturating_mul(MOST_INFLATED),
                    false => len,
                }
            }
            Place::Member(path, _) => {
                let len = fs::metadata(path).map_err(unreadable)?.len();
                len.saturating_mul(MOST_INFLATED)
            }
            Place::BuiltIn(_, bytes) => bytes.len() as u64 * MOST_INFLATED,
        })
    }

    /// The failure of bytes that do not unpack, or end too early.
    pub fn damaged(&self, why: &str) -> Failure {
        Failure::new(
            format!("{self} is damaged: {why}"),
            "copy or fetch the file again",
        )
    }
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1F, 0x8B])
}

fn unpacked<T>(
    place: &Place,
    reader: &mut dyn BufRead,
    work: impl FnOnce(&mut dyn BufRead) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let start = reader.fill_buf();
    match start.map(is_gzip) {
        Ok(true) => work(&mut BufReader::new(GzDecoder::new(reader))),
        Ok(false) => work(reader),
        Err(error) => Err(place.damaged(&error.to_string())),
    }
}

fn open(path: &PathBuf) -> Result<File, Failure> {
    File::open(path).map_err(|error| unreadable(&path.display().to_string(), &error))
}

/// The failure to read what is called `name`.
pub fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        format!("{name} cannot be read: {error}"),
        "check the file and its permissions",
    )
}

fn archive(path: &PathBuf) -> Result<ZipArchive<BufReader<File>>, Failure> {
    ZipArchive::new(BufReader::new(open(path)?))
        .map_err(|error| Place::File(path.clone()).damaged(&error.to_string()))
}

/// The names of the members of a ZIP archive.
pub fn members(path: &PathBuf) -> Result<Vec<String>, Failure> {
    let names = archive(path)?;
    let names = names.file_names().map(|name| name.map(Into::into));
    let names: Result<Vec<String>, _> = names.collect();
    names.map_err(|error| Place::File(path.clone()).damaged(&error.to_string()))
}

/// Reads until `buffer` is full or the bytes end. Returns how many there were.
pub fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
