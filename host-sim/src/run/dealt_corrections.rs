//! The corrections in a dealt file, as the ranks of P1 read them: each those of its own micro-batches.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::net::Finish;
use zeroize::Zeroizing;

use super::dealt_files::{BLOCK, DealtFile, Fault};
use crate::error::Failure;

/// Ranges of bytes that are still to be read, in their order.
type Ranges = Arc<Mutex<VecDeque<Range<u64>>>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the corrections of one rank. It reads nothing but what it has been given by [`Given`], and no read goes on from one
/// range into the next: a range holds the corrections of a micro-batch or of an update.
pub struct Corrections {
    file: Arc<Mutex<File>>,
    /// The file's name.
    name: String,
    fault: Fault,
    ranges: Ranges,
    /// What has been read ahead: corrections, so it is wiped when it is dropped.
    block: Zeroizing<Vec<u8>>,
    /// Where in the block the next byte is.
    next: usize,
}

/// Gives a rank what it may read of a dealt file.
pub struct Given(Ranges);

impl Corrections {
    /// Reads from `file`, beside any number of others.
    pub fn new(file: &DealtFile) -> (Self, Given) {
        let ranges = Ranges::default();
        let given = Given(ranges.clone());
        let reader = Corrections {
            file: file.shared(),
            name: file.path().display().to_string(),
            fault: file.fault(),
            ranges,
            block: Zeroizing::new(Vec::with_capacity(BLOCK)),
            next: 0,
        };
        (reader, given)
    }

    /// Reads the next block, which ends with the range at the latest.
    fn fill(&mut self, range: &Range<u64>) -> io::Result<()> {
        self.next = 0;
        // No more than there is room for, so that the block never grows.
        let len = (range.end - range.start).min(BLOCK as u64);
        self.block.resize(len as usize, 0);
        let mut file = locked(&self.file);
        // The mark and other ranks move the place in the file.
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut self.block)
    }

    /// Keeps why the file cannot be read, unless a rank has before.
    fn tell(&self, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it has become shorter".to_owned(),
            _ => error.to_string(),
        };
        locked(&self.fault).get_or_insert_with(|| {
            Failure::new(
                format!("{} cannot be read: {why}", self.name),
                "check the disk, and deal a new session: none may serve twice",
            )
        });
    }
}

impl Given {
    /// Gives the rank these ranges of the file, after what it has.
    pub fn give(&self, ranges: impl Iterator<Item = Range<u64>>) {
        locked(&self.0).extend(ranges.filter(|range| !range.is_empty()));
    }

    /// Bytes that the rank has not read.
    pub fn left(&self) -> u64 {
        let ranges = locked(&self.0);
        ranges.iter().map(|range| range.end - range.start).sum()
    }
}

impl ErrorType for Corrections {
    type Error = io::Error;
}

impl Read for Corrections {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let ranges = self.ranges.clone();
        let mut ranges = locked(&ranges);
        let enough = |range: &&mut Range<u64>| bytes.len() as u64 <= range.end - range.start;
        let Some(range) = ranges.front_mut().filter(enough) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if self.next == self.block.len() {
            self.fill(range).inspect_err(|error| self.tell(error))?;
        }
        let count = bytes.len().min(self.block.len() - self.next);
        bytes[..count].copy_from_slice(&self.block[self.next..self.next + count]);
        self.next += count;
        range.start += count as u64;
        if range.is_empty() {
            ranges.pop_front();
        }
        Ok(count)
    }
}

impl Write for Corrections {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file ends with its last correction; its checks are those of its reading.
impl Finish for Corrections {
    fn end(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn confirm(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use ringlet_core::{Role, prg::Key, session::handshake::DealtId};

    use super::*;
    use crate::run::{
        dealt_files::{Dealing, DealtWriter},
        dealt_positions::tests::session,
    };

    const LEN: usize = 3 * BLOCK + 17;

    /// A file whose corrections count up.
    fn file(dir: &std::path::Path) -> Result<DealtFile, Failure> {
        let session = session();
        let dealing = Dealing {
            identity: DealtId([7; 16]),
            session: &session,
            spare: 0,
        };
        let key = Key::new([9; Key::LEN]);
        let mut writer = DealtWriter::create(dir, Role::P1, &dealing, &key, LEN as u64)?;
        let bytes: Vec<u8> = (0..LEN).map(byte).collect();
        writer.write_all(&bytes).expect("room");
        writer.finish()?;
        DealtFile::open(dir, Role::P1, &session, false)
    }

    fn byte(at: usize) -> u8 {
        (at % 251) as u8
    }

    #[test]
    fn ranks_read_their_own_ranges_side_by_side() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file(dir.path()).expect("a file");
        let place = file.corrections().start;
        // Each takes every third piece, longer and shorter than a block.
        let ends = [0, 5, 5, BLOCK / 2, 2 * BLOCK, 2 * BLOCK + 1, LEN];
        std::thread::scope(|scope| {
            for rank in 0..3 {
                let (mut reader, given) = Corrections::new(&file);
                scope.spawn(move || {
                    for piece in (rank..6).step_by(3) {
                        let range = ends[piece]..ends[piece + 1];
                        let [start, end] = [range.start, range.end].map(|at| place + at as u64);
                        given.give(iter::once(start..end));
                        let mut bytes = vec![0; range.len()];
                        for part in bytes.chunks_mut(70_001) {
                            reader.read_exact(part).expect("corrections");
                        }
                        assert!(bytes.into_iter().eq(range.map(byte)), "{rank} {piece}");
                        assert_eq!(given.left(), 0);
                    }
                });
            }
        });
    }

    #[test]
    fn a_file_that_becomes_shorter_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file(dir.path()).expect("a file");
        let range = file.corrections();
        let (mut reader, given) = Corrections::new(&file);
        given.give(iter::once(range.clone()));
        let mut bytes = vec![0; BLOCK];
        reader.read_exact(&mut bytes).expect("the first block");
        assert!(locked(&file.fault()).is_none());
        locked(&file.shared())
            .set_len(range.start + BLOCK as u64)
            .expect("cut short");
        assert!(reader.read_exact(&mut bytes).is_err());
        let fault = locked(&file.fault()).take().expect("a reason").to_string();
        assert!(
            fault.contains("p1.dealt cannot be read: it has become shorter"),
            "{fault}"
        );
    }

    #[test]
    fn nothing_beyond_a_range_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file(dir.path()).expect("a file");
        let place = file.corrections().start;
        let (mut reader, given) = Corrections::new(&file);
        let mut read = |len: usize| {
            let mut bytes = vec![0; len];
            reader.read_exact(&mut bytes).map(|()| bytes)
        };
        assert!(read(1).is_err(), "nothing is given");
        let ranges =
            [0..10, 20..25].map(|range: Range<u64>| place + range.start..place + range.end);
        given.give(ranges.into_iter());
        assert!(read(11).is_err(), "it goes on into the next range");
        assert_eq!(
            read(10).expect("a range"),
            (0..10).map(byte).collect::<Vec<_>>()
        );
        assert_eq!(given.left(), 5);
        assert!(read(6).is_err(), "it goes on beyond the last range");
        assert_eq!(
            read(5).expect("a range"),
            (20..25).map(byte).collect::<Vec<_>>()
        );
        assert!(read(1).is_err(), "nothing is left");
    }
}
