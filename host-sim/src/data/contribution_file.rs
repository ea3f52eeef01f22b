//! Contributions as one role has them: what a party or a dealer reads to train on the samples of many owners.
//!
//! ```text
//! "RLCF", version 3, role, bytes of the task (2) · number of contributions (4) · number of the list (4) · list (16) · CRC-32 (4) ·
//! task · contributions
//! ```
//!
//! A contribution is the name of its upload (16), its number in it (2), the key of its masks (32) and its masked words at a party,
//! both keys (64) at the dealer, and a CRC-32 of all that. Numbers are little-endian; the task is in the postcard format. The file
//! holds secrets: with both parties' files samples can be read.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use ringlet_core::{
    contribution::{CollectionTask, UploadId},
    data::DataError,
    net::secure::Prologue,
    prg::Key,
    session::{ContributionList, handshake::Actor},
};
use zeroize::Zeroizing;

use super::file::Staged;
use crate::error::Failure;

const FORMAT: [u8; 5] = *b"RLCF\x03";
/// Bytes before the task.
const HEADER_LEN: usize = FORMAT.len() + 1 + 2 + 4 + 4 + 16 + 4;
/// Bytes of a contribution's name.
const NAME_LEN: usize = 16 + 2;
const CRC_LEN: usize = 4;
/// The most bytes of a task.
const MOST_TASK: usize = 4096;

/// A contribution to write.
pub struct Entry<'a> {
    /// The upload that it came with.
    pub upload: UploadId,
    /// Its number in the upload.
    pub number: u16,
    /// The keys of its masks: the party's own, or at the dealer P0's and P1's.
    pub keys: &'a [Key],
    /// Its masked words; none at the dealer.
    pub masked: &'a [u8],
}

/// The contributions of a file.
pub struct ContributionFile {
    path: PathBuf,
    file: Mutex<File>,
    /// Whose file it is.
    pub holder: Actor,
    /// The task that they are for.
    pub task: CollectionTask,
    /// Their number.
    pub count: u32,
    /// The number of their list in the collection.
    pub number: u32,
    /// The list that they are.
    pub list: ContributionList,
    /// Bytes before them.
    start: u64,
    /// For each contribution the one that is read in its place; none before some are left out.
    replaced: OnceLock<Vec<u32>>,
}

/// Names a list of contributions while they are counted.
struct Naming(Prologue, u32);

impl Naming {
    fn new(task: &CollectionTask, number: u32) -> Self {
        let mut hash = Prologue::new("ringlet contributions");
        hash.add(&task.id().0);
        hash.add(&number.to_le_bytes());
        Naming(hash, 0)
    }

    fn add(&mut self, name: &[u8]) -> Result<(), Failure> {
        self.0.add(name);
        self.1 = self.1.checked_add(1).ok_or_else(|| {
            Failure::new(
                "there are more contributions than can be numbered",
                "train on fewer",
            )
        })?;
        Ok(())
    }

    fn end(self) -> (u32, ContributionList) {
        let mut list = [0; 16];
        list.copy_from_slice(&self.0.hash()[..16]);
        (self.1, ContributionList(list))
    }
}

/// The number that stands for a role.
fn number_of(holder: Actor) -> u8 {
    match holder {
        Actor::Party(role) => role.index() as u8,
        _ => 2,
    }
}

/// Keys of a contribution, and bytes of its masked words.
fn parts(holder: Actor, task: &CollectionTask) -> (usize, usize) {
    match holder {
        Actor::Party(_) => (1, task.contribution_len()),
        _ => (2, 0),
    }
}

/// Bytes of a contribution in the file.
fn entry_len(holder: Actor, task: &CollectionTask) -> usize {
    let (keys, masked) = parts(holder, task);
    NAME_LEN + keys * Key::LEN + masked + CRC_LEN
}

/// Writes the file of a role, on the list of this number. Each call of `next` gives one contribution, in the order of the list, to the function that it gets,
/// or says that there are no more. Returns their number and the list's name.
pub fn write(
    path: &Path,
    (holder, task, number): (Actor, &CollectionTask, u32),
    mut next: impl FnMut(&mut dyn FnMut(Entry<'_>) -> Result<(), Failure>) -> Result<bool, Failure>,
) -> Result<(u32, ContributionList), Failure> {
    check_replaced(path)?;
    let (keys, masked) = parts(holder, task);
    let described = postcard::to_stdvec(task)
        .ok()
        .filter(|bytes| bytes.len() <= MOST_TASK)
        .ok_or_else(|| Failure::new("the task is too long", "describe it in fewer words"))?;
    let mut naming = Naming::new(task, number);
    let mut refused = None;
    let mut named = (0, ContributionList([0; 16]));
    let staged = Staged::new(path, |partial| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = BufWriter::new(options.open(partial)?);
        file.write_all(&[0; HEADER_LEN])?;
        file.write_all(&described)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(entry_len(holder, task)));
        let mut write_entry = |entry: Entry<'_>| {
            if (entry.keys.len(), entry.masked.len()) != (keys, masked) {
                return Err(Failure::new(
                    "a contribution does not have the form of the task",
                    "report this fault of the program",
                ));
            }
            bytes.clear();
            bytes.extend_from_slice(&entry.upload.0);
            bytes.extend_from_slice(&entry.number.to_le_bytes());
            naming.add(&bytes)?;
            for key in entry.keys {
                bytes.extend_from_slice(key.reveal());
            }
            bytes.extend_from_slice(entry.masked);
            let crc = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            file.write_all(&bytes)
                .map_err(|error| Failure::unwritten(path.display(), &error))
        };
        let all = loop {
            match next(&mut write_entry) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        if let Err(failure) = all {
            refused = Some(failure);
            return Err(io::Error::other("refused"));
        }
        named = std::mem::replace(&mut naming, Naming::new(task, number)).end();
        let mut file = file.into_inner()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(number_of(holder), &described, number, named))
    });
    if let Some(failure) = refused {
        return Err(failure);
    }
    staged?.appear()?;
    Ok(named)
}

/// Checks that a file which is there already holds contributions too: no other one is replaced.
fn check_replaced(path: &Path) -> Result<(), Failure> {
    let other = |why: &str| {
        Failure::new(
            format!("{} is there already, and {why}", path.display()),
            "give another name",
        )
    };
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(meta) if !meta.is_file() => return Err(other("is no plain file")),
        Ok(_) => {}
    }
    let mut start = [0; FORMAT.len() - 1];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    match read.is_ok() && FORMAT.starts_with(&start) {
        true => Ok(()),
        false => Err(other("holds something else than contributions")),
    }
}

/// The bytes before the task.
fn header(
    holder: u8,
    described: &[u8],
    number: u32,
    (count, list): (u32, ContributionList),
) -> Vec<u8> {
    let mut bytes = FORMAT.to_vec();
    bytes.push(holder);
    bytes.extend_from_slice(&(described.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&list.0);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(described);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes
}

impl ContributionFile {
    /// Opens the file of a role, and reads all of it once: every byte is checked.
    pub fn open(path: &Path, holder: Actor) -> Result<Self, Failure> {
        let unread = |error: io::Error| {
            Failure::new(
                format!("{} cannot be read: {error}", path.display()),
                "give the file that `ringlet collect export` has written",
            )
        };
        let damaged = |why: &str| {
            Failure::new(
                format!("{} holds no contributions: {why}", path.display()),
                "export it again with `ringlet collect export`",
            )
        };
        let file = File::open(path).map_err(unread)?;
        let len = file.metadata().map_err(unread)?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut start = [0; HEADER_LEN];
        match reader.read_exact(&mut start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged("it is too short"));
            }
            read => read.map_err(unread)?,
        }
        if start[..FORMAT.len()] != FORMAT {
            return Err(damaged("it is of another kind, or another version"));
        }
        let described = usize::from(u16::from_le_bytes([start[6], start[7]]));
        if described > MOST_TASK {
            return Err(damaged("its header is damaged"));
        }
        let count = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        let number = u32::from_le_bytes([start[12], start[13], start[14], start[15]]);
        let mut list = [0; 16];
        list.copy_from_slice(&start[16..32]);
        let mut task = vec![0; described];
        reader
            .read_exact(&mut task)
            .map_err(|_| damaged("it is too short"))?;
        if start[..] != header(start[5], &task, number, (count, ContributionList(list))) {
            return Err(damaged("its header is damaged"));
        }
        if start[5] != number_of(holder) {
            let whose = ["p0", "p1", "the dealer"].get(usize::from(start[5]));
            return Err(Failure::new(
                format!(
                    "{} is the file of {}",
                    path.display(),
                    whose.unwrap_or(&"no role")
                ),
                "give this role's own file",
            ));
        }
        let task: CollectionTask =
            postcard::from_bytes(&task).map_err(|_| damaged("its task cannot be read"))?;
        task.check()
            .map_err(|error| damaged(&format!("of its task: {error}")))?;
        let file = ContributionFile {
            path: path.to_owned(),
            start: (HEADER_LEN + described) as u64,
            holder,
            count,
            number,
            list: ContributionList(list),
            file: Mutex::new(reader.get_ref().try_clone().map_err(unread)?),
            task,
            replaced: OnceLock::new(),
        };
        let size = entry_len(holder, &file.task);
        if len != file.start + u64::from(count) * size as u64 {
            return Err(damaged("it does not have the length that it says"));
        }
        let mut naming = Naming::new(&file.task, number);
        let mut entry = Zeroizing::new(vec![0; size]);
        for contribution in 0..count {
            reader.read_exact(&mut entry).map_err(unread)?;
            if !is_whole(&entry) {
                return Err(damaged(&format!("contribution {contribution} is damaged")));
            }
            naming.add(&entry[..NAME_LEN])?;
        }
        match naming.end() == (count, file.list) {
            true => Ok(file),
            false => Err(damaged("its contributions are not those of its list")),
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves out contributions: where bit i % 8 of byte i / 8 of `broken` is set, the next one of the list that is not left out
    /// is read in the place of contribution i. The first call counts; each rank of a role makes the same.
    ///
    /// Fails if none is left.
    pub fn leave_out(&self, broken: &[u8]) -> Result<(), Failure> {
        let is_broken = |number: u32| broken[number as usize / 8] >> (number % 8) & 1 == 1;
        let Some(first) = (0..self.count).find(|&number| !is_broken(number)) else {
            return Err(Failure::new(
                format!(
                    "no contribution of {} has values that samples have",
                    self.path.display()
                ),
                "collect others",
            ));
        };
        let mut replaced: Vec<u32> = Vec::with_capacity(self.count as usize);
        let mut next = first;
        for number in (0..self.count).rev() {
            if !is_broken(number) {
                next = number;
            }
            replaced.push(next);
        }
        replaced.reverse();
        self.replaced.get_or_init(|| replaced);
        Ok(())
    }

    /// The name of a contribution: that of its upload, and its number in it. Fails as a read of the contribution does.
    pub fn name(&self, number: u32) -> Result<String, DataError> {
        let mut name = String::new();
        self.whole_entry(number, |entry| {
            let (upload, number) = entry[..NAME_LEN].split_at(NAME_LEN - 2);
            for byte in upload {
                let _ = write!(name, "{byte:02x}");
            }
            let _ = write!(name, "/{}", u16::from_le_bytes([number[0], number[1]]));
        })?;
        Ok(name)
    }

    /// Reads a contribution, or the one that takes its place. Fails as the core expects it if there is none of this number, or if it cannot be read any more.
    pub(super) fn entry(&self, number: u32, use_it: impl FnOnce(&[u8])) -> Result<(), DataError> {
        let replaced = self.replaced.get().and_then(|all| all.get(number as usize));
        self.whole_entry(*replaced.unwrap_or(&number), |entry| {
            use_it(&entry[NAME_LEN..entry.len() - CRC_LEN]);
        })
    }

    /// Reads all bytes of a contribution.
    fn whole_entry(&self, number: u32, use_it: impl FnOnce(&[u8])) -> Result<(), DataError> {
        let missing = DataError::Missing(number);
        if number >= self.count {
            return Err(missing);
        }
        let size = entry_len(self.holder, &self.task);
        let mut entry = Zeroizing::new(vec![0; size]);
        let at = self.start + u64::from(number) * size as u64;
        let mut file = self.file.lock().map_err(|_| missing)?;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut entry))
            .map_err(|_| missing)?;
        drop(file);
        if !is_whole(&entry) {
            return Err(missing);
        }
        use_it(&entry);
        Ok(())
    }
}

/// Whether the bytes of a contribution are those that were written.
fn is_whole(entry: &[u8]) -> bool {
    let (bytes, crc) = entry.split_at(entry.len() - CRC_LEN);
    crc == crc32fast::hash(bytes).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use ringlet_core::{
        Role,
        data::{ContributionKeys as _, Data as _, Normalisation},
        net::secure::Identity,
    };

    use super::*;
    use crate::data::masked_samples::{MaskKeys, MaskedSamples};

    fn task() -> CollectionTask {
        CollectionTask {
            input: [1, 2, 1],
            classes: 2,
            normalisation: Normalisation::NONE,
            fraction: 12,
            identities: [1, 2, 3].map(|byte| Identity::new(Key::new([byte; 32])).public()),
            terms: [0; 32],
        }
    }

    /// Writes a file of three contributions.
    fn written(path: &Path, holder: Actor) -> (u32, ContributionList) {
        let (keys, masked) = parts(holder, &task());
        let mut done = 0u8;
        write(path, (holder, &task(), 3), |put| {
            if done == 3 {
                return Ok(false);
            }
            let key = |party: usize| Key::new([10 * done + party as u8; 32]);
            put(Entry {
                upload: UploadId([done / 2; 16]),
                number: (done % 2).into(),
                keys: &(0..keys).map(key).collect::<Vec<_>>(),
                masked: &vec![done; masked],
            })?;
            done += 1;
            Ok(true)
        })
        .expect("a file")
    }

    #[test]
    fn roles_read_what_was_written_for_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("contributions");
        let mut lists = Vec::new();
        for holder in [Actor::Party(Role::P0), Actor::Party(Role::P1)] {
            lists.push(written(&path, holder));
            let file = ContributionFile::open(&path, holder).expect("a file");
            assert_eq!(
                (file.count, file.list, file.number),
                (lists[0].0, lists[0].1, 3)
            );
            assert_eq!(file.task, task());
            let mut data = MaskedSamples(&file);
            let (mut key, mut masked) = ([0; 32], [0; 8]);
            data.contribution(2, &mut key, &mut masked)
                .expect("a contribution");
            assert_eq!((key, masked), ([20; 32], [2; 8]));
            for (sample, len) in [(3, 8), (2, 4)] {
                let missing = Err(DataError::Missing(sample));
                let mut out = vec![0; len];
                assert_eq!(data.contribution(sample, &mut key, &mut out), missing);
            }
            let other = match holder {
                Actor::Dealer => Actor::Party(Role::P0),
                _ => Actor::Dealer,
            };
            assert!(ContributionFile::open(&path, other).is_err());
        }
        assert_eq!(written(&path, Actor::Dealer), lists[0]);
        let file = ContributionFile::open(&path, Actor::Dealer).expect("a file");
        let (mut p0, mut p1) = ([0; 32], [0; 32]);
        MaskKeys(&file).keys(1, [&mut p0, &mut p1]).expect("keys");
        assert_eq!((p0, p1), ([10; 32], [11; 32]));
    }

    #[test]
    fn the_next_contribution_takes_the_place_of_one_that_is_left_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("contributions");
        written(&path, Actor::Dealer);
        for (broken, wanted) in [
            (0b000, [0, 1, 2]),
            (0b010, [0, 2, 2]),
            (0b100, [0, 1, 0]),
            (0b110, [0, 0, 0]),
            (0b001, [1, 1, 2]),
        ] {
            let file = ContributionFile::open(&path, Actor::Dealer).expect("a file");
            file.leave_out(&[broken]).expect("some are left");
            for (sample, wanted) in (0..).zip(wanted) {
                let (mut p0, mut p1) = ([0; 32], [0; 32]);
                let keys = MaskKeys(&file).keys(sample, [&mut p0, &mut p1]);
                keys.expect("keys");
                assert_eq!(p0, [10 * wanted; 32], "{broken:b} {sample}");
            }
            assert_eq!(
                file.name(1).expect("a name"),
                format!("{}/1", "00".repeat(16))
            );
        }
        let file = ContributionFile::open(&path, Actor::Dealer).expect("a file");
        assert!(file.leave_out(&[0b111]).is_err());
    }

    #[test]
    fn files_of_another_kind_are_not_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("contributions");
        let refused = |path: &Path| {
            let made = write(path, (Actor::Dealer, &task(), 3), |_| Ok(false));
            made.expect_err("another file").to_string()
        };
        for other in [&b""[..], b"RLC", b"redb and more", b"text"] {
            fs::write(&path, other).expect("a file");
            assert!(refused(&path).contains("something else"));
            assert_eq!(fs::read(&path).expect("a file"), other);
        }
        assert!(refused(dir.path()).contains("no plain file"));
        fs::remove_file(&path).expect("a file");
        // One of contributions is, also of another version.
        written(&path, Actor::Dealer);
        let mut bytes = fs::read(&path).expect("a file");
        bytes[4] = 1;
        fs::write(&path, bytes).expect("a file");
        written(&path, Actor::Dealer);
        assert!(ContributionFile::open(&path, Actor::Dealer).is_ok());
    }

    #[test]
    fn a_damaged_file_is_refused_at_every_byte() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("contributions");
        let holder = Actor::Party(Role::P1);
        written(&path, holder);
        let bytes = fs::read(&path).expect("a file");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).expect("a file");
            assert!(ContributionFile::open(&path, holder).is_err(), "{at}");
            fs::write(&path, &bytes[..at]).expect("a file");
            assert!(ContributionFile::open(&path, holder).is_err(), "{at}");
        }
        // Contributions in another order are not those of the list.
        let size = entry_len(holder, &task());
        let start = bytes.len() - 3 * size;
        let mut moved = bytes[..start].to_vec();
        for number in [1, 0, 2] {
            moved.extend_from_slice(&bytes[start + number * size..][..size]);
        }
        fs::write(&path, &moved).expect("a file");
        assert!(ContributionFile::open(&path, holder).is_err());
    }
}
