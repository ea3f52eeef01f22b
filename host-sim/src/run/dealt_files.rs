//! Files that the dealer makes ahead of time: a key for P0, a key and corrections for P1.
//!
//! ```text
//! magic (8) · begun (4) · images (32) · checksum of both (4) · role (1) · identity (16) · spare (4) · session · body · checksum (4)
//! ```
//!
//! The body is the role's key and, for P1, the corrections in the order in which one rank uses them; each of several reads its
//! own. Session and body come after their lengths, in 2 and 8 bytes. Numbers are little-endian.
//!
//! A file is for one run. Its iterations are spent in order, and a run that is cut off goes on with those that are left:
//! to use correlated randomness twice would reveal what it masks. So the file says how many have begun, and of which images.
//! The checksum at the end is that of the file as it was dealt, with zeros there.

use std::{
    cell::Cell,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use crc32fast::Hasher;
use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    Role,
    prg::Key,
    session::{
        Session,
        handshake::{DealtId, Hello, Mismatch, VERSION},
    },
};

use zeroize::Zeroizing;

use crate::error::Failure;

/// Ends in the version of the sessions that such files describe.
const MAGIC: [u8; 8] = [b'R', b'N', b'G', b'L', b'D', b'L', b'T', VERSION as u8];
/// Offset of the number of iterations that have begun.
const BEGUN: usize = MAGIC.len();
/// Offset of the digest of the images.
const IMAGES: usize = BEGUN + 4;
/// Bytes of a digest of images.
const DIGEST: usize = 32;
/// Offset of the checksum of both.
const MARK_CHECK: usize = IMAGES + DIGEST;
/// Offset of the role, after everything that changes.
const FIXED: usize = MARK_CHECK + 4;
/// Offset of the length of the session's description.
const DESCRIBED: usize = FIXED + 1 + 16 + 4;
/// Bytes before the session's description.
const HEAD: usize = DESCRIBED + 2;
/// Bytes that are read or written at a time.
pub const BLOCK: usize = 1 << 20;
/// The longest description of a session.
const MAX_SESSION: usize = 4096;

/// Bytes before the body, for a description of `session` bytes.
const fn head_len(session: usize) -> u64 {
    HEAD as u64 + session as u64 + 8
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

/// What both files of a dealt session say of it.
pub struct Dealing<'a> {
    /// Which dealt session it is.
    pub identity: DealtId,
    /// The session.
    pub session: &'a Session,
    /// Iterations beyond those of the session.
    pub spare: u32,
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
        dealing: &Dealing<'_>,
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
        let description = postcard::to_stdvec(dealing.session)
            .map_err(|e| failed(&path, &io::Error::other(e)))?;
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
        head.resize(FIXED, 0);
        head.push(role.index() as u8);
        head.extend(dealing.identity.0);
        head.extend(dealing.spare.to_le_bytes());
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

/// A checked file.
pub struct DealtFile {
    /// The mark is written and the corrections are read at places of their own.
    file: Arc<Mutex<File>>,
    /// Where in the file the corrections are.
    corrections: Range<u64>,
    /// The role's key.
    pub key: Key,
    /// Which dealt session it belongs to.
    pub identity: DealtId,
    /// Iterations beyond those of the session.
    pub spare: u32,
    /// Iterations that have begun.
    pub begun: u32,
    images: [u8; DIGEST],
    path: PathBuf,
    fault: Fault,
}

/// Why a file could not be read: a reader's rank is told only that its source failed.
pub(super) type Fault = Arc<Mutex<Option<Failure>>>;

impl DealtFile {
    /// Opens the file of `role` in `dir` and checks all of it: that it is whole, and made for this role and session, and
    /// unless the run `goes_on`, that no iteration of it has begun.
    pub fn open(dir: &Path, role: Role, session: &Session, goes_on: bool) -> Result<Self, Failure> {
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
        let mut head = [0; HEAD];
        let read = file.read(&mut head).map_err(damaged)?;
        if read < MAGIC.len() || head[..MAGIC.len()] != MAGIC {
            return Err(refused(
                "is not a dealt file of this version",
                "check --dealt",
            ));
        }
        let described = usize::from(u16::from_le_bytes([head[DESCRIBED], head[DESCRIBED + 1]]));
        let mut description = vec![0; described.min(MAX_SESSION)];
        file.read_exact(&mut description).map_err(damaged)?;
        let mut len = [0; 8];
        file.read_exact(&mut len).map_err(damaged)?;
        let body = u64::from_le_bytes(len);
        if body.checked_add(head_len(described) + 4) != Some(size) || body < Key::LEN as u64 {
            return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        check(&mut file, size).map_err(damaged)?;

        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_le_bytes(bytes)
        };
        let mut images = [0; DIGEST];
        images.copy_from_slice(&head[IMAGES..MARK_CHECK]);
        let begun = number(BEGUN);
        let is_fresh = head[BEGUN..FIXED].iter().all(|&byte| byte == 0);
        if !is_fresh && head[BEGUN..FIXED] != mark(begun, &images) {
            return Err(refused(
                "has a damaged mark of its use",
                "deal a new session; a copy of this one might serve twice",
            ));
        }
        if begun > 0 && !goes_on {
            return Err(refused(
                "has been used",
                "deal a new session, none may serve twice; or go on from a checkpoint with --resume",
            ));
        }
        if usize::from(head[FIXED]) != role.index() {
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
        identity.copy_from_slice(&head[FIXED + 1..][..16]);
        let start = head_len(described) + Key::LEN as u64;
        Ok(DealtFile {
            corrections: start..start + (body - Key::LEN as u64),
            file: Arc::new(Mutex::new(file)),
            key,
            identity: DealtId(identity),
            spare: number(FIXED + 17),
            begun,
            images,
            path,
            fault: Fault::default(),
        })
    }

    /// Where in the file the corrections are.
    pub fn corrections(&self) -> Range<u64> {
        self.corrections.clone()
    }

    /// The file, for reading and marking it. It stays locked against other runs until the last of these is dropped.
    pub(super) fn shared(&self) -> Arc<Mutex<File>> {
        self.file.clone()
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the reason lies if its corrections cannot be read.
    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    /// Marks `begun` iterations as begun, for good, by a run whose party has the images with this digest. Call it before
    /// anything that they mask is sent. Returns what marks further ones.
    ///
    /// The masks of samples last for the whole file, so a run that goes on has to have the same images.
    pub fn consume(&self, begun: u32, images: [u8; DIGEST]) -> Result<Mark, Failure> {
        if self.begun > 0 && self.images != images {
            return Err(Failure::new(
                format!(
                    "{} masks other images than these: the run had others when it began",
                    self.path.display()
                ),
                "give the images with which the run began, or deal a new session",
            ));
        }
        let mut mark = Mark {
            file: self.shared(),
            images,
            path: self.path.clone(),
        };
        mark.set(begun)?;
        Ok(mark)
    }
}

/// Says in a dealt file how many of its iterations have begun.
pub struct Mark {
    file: Arc<Mutex<File>>,
    images: [u8; DIGEST],
    path: PathBuf,
}

impl Mark {
    /// Marks `begun` iterations as begun, for good. The disk has the mark when this returns.
    pub fn set(&mut self, begun: u32) -> Result<(), Failure> {
        let bytes = mark(begun, &self.images);
        let put = |file: &mut File| -> io::Result<()> {
            file.seek(SeekFrom::Start(BEGUN as u64))?;
            file.write_all(&bytes)?;
            file.sync_data()
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        put(&mut file).map_err(|error| failed(&self.path, &error))
    }
}

/// What a file says of its use, with a checksum. It is short, so that a disk writes it whole or not at all.
fn mark(begun: u32, images: &[u8; DIGEST]) -> [u8; FIXED - BEGUN] {
    let mut mark = [0; FIXED - BEGUN];
    mark[..4].copy_from_slice(&begun.to_le_bytes());
    mark[4..4 + DIGEST].copy_from_slice(images);
    let checksum = crc32fast::hash(&mark[..4 + DIGEST]);
    mark[4 + DIGEST..].copy_from_slice(&checksum.to_le_bytes());
    mark
}

/// Reads the whole file and compares the checksum, which is that of the file as it was dealt.
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
            block[BEGUN..FIXED.min(count)].fill(0);
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
