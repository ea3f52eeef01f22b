//! Files that the dealer makes ahead of time: a key for P0, a key and corrections for P1.
//!
//! A file is `magic, state, role, identity, session, length, body, checksum`. The body is the role's key and, for P1,
//! the corrections in the order of their use. A file is for one run: to use correlated randomness twice would reveal
//! what it masks, so the state is set before anything is sent.

use std::{
    cell::Cell,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
    rc::Rc,
};

use crc32fast::Hasher;
use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    prg::Key,
    session::{
        Session,
        handshake::{DealtId, Hello, Mismatch},
    },
};

use zeroize::Zeroizing;

use crate::error::Failure;

const MAGIC: [u8; 8] = *b"RNGLDLT\x01";
/// Offset of the state.
const STATE: u64 = 8;
const FRESH: u8 = 0;
const USED: u8 = 1;
/// Bytes that are read or written at a time.
const BLOCK: usize = 1 << 20;
/// The longest description of a session.
const MAX_SESSION: usize = 4096;

/// Bytes before the body, for a description of `session` bytes.
const fn head_len(session: usize) -> u64 {
    8 + 1 + 1 + 16 + 2 + session as u64 + 8
}

/// The file of a role in the directory of a dealt session.
pub fn path(dir: &Path, role: Role) -> PathBuf {
    dir.join(match role {
        Role::P0 => "p0.key",
        Role::P1 => "p1.dealt",
    })
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::unwritten(path.display(), error)
}

/// A file that is being written. It gets its name when it is whole.
pub struct DealtWriter {
    file: File,
    /// What is not in the file yet: a key or corrections, so it is wiped when it is dropped.
    block: Zeroizing<Vec<u8>>,
    checksum: Hasher,
    partial: PathBuf,
    path: PathBuf,
    left: u64,
    fault: Rc<Cell<Option<Failure>>>,
}

impl DealtWriter {
    /// Starts the file of `role`, whose corrections will be `corrections` bytes.
    pub fn create(
        dir: &Path,
        role: Role,
        identity: DealtId,
        session: &Session,
        key: &Key,
        corrections: u64,
    ) -> Result<Self, Failure> {
        let path = path(dir, role);
        if path.exists() {
            return Err(Failure::new(
                format!("{} exists already", path.display()),
                "give an empty directory with --out",
            ));
        }
        let partial = path.with_extension("partial");
        let description =
            postcard::to_stdvec(session).map_err(|e| failed(&path, &io::Error::other(e)))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // The file holds a key, so no other user may read it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&partial).map_err(|e| failed(&path, &e))?;
        let mut writer = DealtWriter {
            file,
            block: Zeroizing::new(Vec::with_capacity(BLOCK)),
            checksum: Hasher::new(),
            partial,
            path,
            left: Key::LEN as u64 + corrections,
            fault: Rc::default(),
        };
        let mut head = MAGIC.to_vec();
        head.push(FRESH);
        head.push(role.index() as u8);
        head.extend(identity.0);
        head.extend((description.len() as u16).to_le_bytes());
        head.extend(description);
        head.extend(writer.left.to_le_bytes());
        writer.put(&head).map_err(|e| failed(&writer.path, &e))?;
        writer
            .body(key.reveal())
            .map_err(|e| failed(&writer.path, &e))?;
        Ok(writer)
    }

    /// Where the reason lies if a write fails: the link over this file tells only the kind of an error.
    pub fn fault(&self) -> Rc<Cell<Option<Failure>>> {
        self.fault.clone()
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        while !bytes.is_empty() {
            // The block never grows: its old memory would not be wiped.
            let room = BLOCK - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK {
                self.write_block()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.put(bytes)
    }

    /// Completes the file and gives it its name. Returns its size.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let path = self.path.clone();
        if self.left != 0 {
            return Err(failed(&path, &io::Error::other("corrections are missing")));
        }
        let checksum = self.checksum.clone().finalize().to_le_bytes();
        let finish = |writer: &mut Self| -> io::Result<u64> {
            writer.write_block()?;
            writer.file.write_all(&checksum)?;
            writer.file.sync_all()?;
            fs::rename(&writer.partial, &writer.path)?;
            Ok(fs::metadata(&writer.path)?.len())
        };
        finish(&mut self).map_err(|e| failed(&path, &e))
    }
}

impl Drop for DealtWriter {
    fn drop(&mut self) {
        // If the file was finished, this one is gone already.
        let _ = fs::remove_file(&self.partial);
    }
}

impl ErrorType for DealtWriter {
    type Error = io::Error;
}

impl Write for DealtWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.body(bytes);
        if let Err(error) = &written {
            self.fault.set(Some(failed(&self.path, error)));
        }
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for DealtWriter {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

/// A checked file that has not been used.
pub struct DealtFile {
    file: File,
    /// What has been read ahead: corrections, so it is wiped when it is dropped.
    block: Zeroizing<Vec<u8>>,
    /// Where in the block the next byte is.
    next: usize,
    left: u64,
    /// The role's key.
    pub key: Key,
    /// Which dealt session it belongs to.
    pub identity: DealtId,
    path: PathBuf,
}

impl DealtFile {
    /// Opens the file of `role` in `dir` and checks all of it: that it is whole and unused, and made for this role and
    /// session.
    pub fn open(dir: &Path, role: Role, session: &Session) -> Result<Self, Failure> {
        let path = path(dir, role);
        let name = path.display();
        let refused = |why: &str, remedy: &str| Failure::new(format!("{name} {why}"), remedy);
        let damaged = |_| {
            refused(
                "is cut short or damaged",
                "copy it again from where it was dealt",
            )
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| refused(&format!("cannot be opened: {error}"), "check --dealt"))?;
        // The lock holds until the file is closed. On systems without locks only the mark of a used file protects it.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(refused(
                "is in use by another run",
                "deal a session of its own to each run",
            ));
        }
        let size = file.metadata().map_err(damaged)?.len();
        let mut file = file;
        let mut head = [0; 28];
        file.read_exact(&mut head).map_err(damaged)?;
        if head[..8] != MAGIC {
            return Err(refused(
                "is not a dealt file of this version",
                "check --dealt",
            ));
        }
        let described = usize::from(u16::from_le_bytes([head[26], head[27]])).min(MAX_SESSION);
        let mut description = vec![0; described];
        file.read_exact(&mut description).map_err(damaged)?;
        let mut len = [0; 8];
        file.read_exact(&mut len).map_err(damaged)?;
        let body = u64::from_le_bytes(len);
        if body.checked_add(head_len(described) + 4) != Some(size) || body < Key::LEN as u64 {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        check(&mut file, size).map_err(damaged)?;

        if head[8] != FRESH {
            return Err(refused(
                "has been used",
                "deal a new session; none may serve twice",
            ));
        }
        if usize::from(head[9]) != role.index() {
            let other = role.other();
            return Err(refused(
                &format!("belongs to {other}"),
                "exchange the files",
            ));
        }
        let dealt: Session = postcard::from_bytes(&description)
            .map_err(|_| refused("was dealt by another version", "deal a new session"))?;
        if let Err(Mismatch::Differs(what)) =
            Hello::new(role, session).compare(&Hello::new(role, &dealt))
        {
            let why = format!("was dealt for another session, with different {what}");
            return Err(refused(&why, "deal one for these options"));
        }
        file.seek(SeekFrom::Start(head_len(described)))
            .map_err(damaged)?;
        let key = Key::filled(|key| file.read_exact(key)).map_err(damaged)?;
        let mut identity = [0; 16];
        identity.copy_from_slice(&head[10..26]);
        Ok(DealtFile {
            left: body - Key::LEN as u64,
            file,
            block: Zeroizing::new(Vec::with_capacity(BLOCK)),
            next: 0,
            key,
            identity: DealtId(identity),
            path,
        })
    }

    /// Marks the file as used, for good. Call it before anything that it masks is sent.
    pub fn consume(&mut self) -> Result<(), Failure> {
        let place = self
            .file
            .stream_position()
            .map_err(|e| failed(&self.path, &e))?;
        let mark = |file: &mut File| -> io::Result<()> {
            file.seek(SeekFrom::Start(STATE))?;
            file.write_all(&[USED])?;
            file.sync_all()
        };
        mark(&mut self.file).map_err(|e| failed(&self.path, &e))?;
        self.file
            .seek(SeekFrom::Start(place))
            .map_err(|e| failed(&self.path, &e))?;
        Ok(())
    }
}

/// Reads the whole file and compares the checksum, which is that of a fresh file.
fn check(file: &mut File, size: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut checksum = Hasher::new();
    let mut left = size - 4;
    let mut block = Zeroizing::new(vec![0; BLOCK]);
    let mut first = true;
    while left > 0 {
        let count = left.min(block.len() as u64) as usize;
        file.read_exact(&mut block[..count])?;
        if first {
            block[STATE as usize] = FRESH;
            first = false;
        }
        checksum.update(&block[..count]);
        left -= count as u64;
    }
    let mut wanted = [0; 4];
    file.read_exact(&mut wanted)?;
    if checksum.finalize().to_le_bytes() == wanted {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl ErrorType for DealtFile {
    type Error = io::Error;
}

impl Read for DealtFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.next == self.block.len() {
            self.next = 0;
            // No more than there is room for, so that the block never grows.
            self.block.resize(self.left.min(BLOCK as u64) as usize, 0);
            self.file.read_exact(&mut self.block)?;
        }
        let count = bytes.len().min(self.block.len() - self.next);
        bytes[..count].copy_from_slice(&self.block[self.next..self.next + count]);
        self.next += count;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Write for DealtFile {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
