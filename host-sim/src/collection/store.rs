//! What a role keeps of a collection: one file, in which what was committed is on the disk.

use std::{fs::OpenOptions, path::Path};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase as _,
    ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
    backends::FileBackend,
};
use ringlet_core::contribution::{TaskId, UploadId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{config::task_file::OwnerName, error::Failure};

/// Memory for pages of the file.
const CACHE: usize = 16 << 20;

/// Uploads by name.
pub(super) const UPLOADS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("uploads");
/// Masked samples by the number of their upload, so that new ones come last in the file.
pub(super) const MASKED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("masked");
/// Names of uploads by number.
const ORDER: TableDefinition<'_, u64, &[u8; 16]> = TableDefinition::new("order");
/// Contributions of each owner.
const OWNERS: TableDefinition<'_, &[u8; 8], u64> = TableDefinition::new("owners");
/// Names of uploads that were withdrawn, and whether all roles have removed them.
const WITHDRAWN: TableDefinition<'_, &[u8; 16], bool> = TableDefinition::new("withdrawn");
/// Uploads of each list, by place.
pub(super) const LISTED: TableDefinition<'_, (u32, u64), &[u8; 16]> =
    TableDefinition::new("listed");
/// What is known of each list.
pub(super) const LISTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("lists");
/// Whose store this is, and its totals.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

const OWNED_BY: &str = "role and task";
const TOTALS: &str = "totals";

/// The seeds of an upload that a role knows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seeds {
    /// A party's own.
    Party([u8; 32]),
    /// Those of both parties: the dealer's.
    Both([[u8; 32]; 2]),
}

impl Drop for Seeds {
    fn drop(&mut self) {
        match self {
            Seeds::Party(seed) => seed.zeroize(),
            Seeds::Both(seeds) => seeds.zeroize(),
        }
    }
}

/// What a role keeps of an upload beside its masked samples.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    /// The place of its samples.
    pub number: u64,
    /// Hash of all its bytes.
    pub digest: [u8; 32],
    /// The owner that signed it.
    pub owner: Option<OwnerName>,
    /// Its contributions.
    pub count: u16,
    /// Its seeds.
    pub seeds: Seeds,
}

/// An upload to be kept.
pub struct Kept<'a> {
    /// Its name.
    pub id: UploadId,
    /// Hash of all its bytes.
    pub digest: [u8; 32],
    /// The owner that signed it, at the leader.
    pub owner: Option<OwnerName>,
    /// Its contributions.
    pub count: u16,
    /// Its seeds.
    pub seeds: Seeds,
    /// Its masked samples, which the dealer does not have.
    pub masked: Option<&'a [u8]>,
}

/// What a store says of a name.
pub enum Found {
    /// Nothing.
    Nothing,
    /// The upload was withdrawn.
    Withdrawn,
    /// The upload is there.
    Upload(Record),
}

/// Sums over all uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Uploads.
    pub uploads: u64,
    /// Their contributions.
    pub contributions: u64,
    /// Bytes of masked samples.
    pub bytes: u64,
    /// The number of the next upload.
    next: u64,
}

/// The store of a role.
pub struct Store {
    database: Database,
    name: String,
}

impl Store {
    /// Opens the store of `role` for a task, and makes it if it is not there.
    pub fn open(path: &Path, role: &str, task: TaskId) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let name = path.display().to_string();
        let file = options.open(path).map_err(|error| {
            Failure::new(
                format!("the store {name} cannot be opened: {error}"),
                "check the directory of --store and its permissions",
            )
        })?;
        let opened = FileBackend::new(file).and_then(|backend| {
            Builder::new()
                .set_cache_size(CACHE)
                .create_with_backend(backend)
        });
        let database = opened.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Failure::new(
                format!("another process uses the store {name}"),
                "ask the role that runs, or end it first",
            ),
            error => broken(&name, error),
        })?;
        let store = Store { database, name };
        let owned_by = format!("{role} {:?}", task.0);
        let write = store.write()?;
        store.done((|| {
            write.open_table(UPLOADS)?;
            write.open_table(MASKED)?;
            write.open_table(ORDER)?;
            write.open_table(OWNERS)?;
            write.open_table(WITHDRAWN)?;
            write.open_table(LISTED)?;
            write.open_table(LISTS)?;
            Ok(())
        })())?;
        let same = store.done((|| {
            let mut about = write.open_table(ABOUT)?;
            let there = about
                .get(OWNED_BY)?
                .map(|there| there.value() == owned_by.as_bytes());
            if there.is_none() {
                about.insert(OWNED_BY, owned_by.as_bytes())?;
            }
            Ok(there.unwrap_or(true))
        })())?;
        if !same {
            return Err(Failure::new(
                format!("the store {} is of another task or role", store.name),
                "name another file with --store",
            ));
        }
        store.commit(write)?;
        Ok(store)
    }

    /// Begins a change, which is on the disk when it is committed.
    pub(super) fn write(&self) -> Result<WriteTransaction, Failure> {
        let mut write = self.done(self.database.begin_write().map_err(Into::into))?;
        let durable = write.set_durability(Durability::Immediate);
        durable.map_err(|error| broken(&self.name, error))?;
        Ok(write)
    }

    /// Ends a change.
    pub(super) fn commit(&self, write: WriteTransaction) -> Result<(), Failure> {
        self.done(write.commit().map_err(Into::into))
    }

    /// Looks at what has been committed so far.
    pub(super) fn read(&self) -> Result<ReadTransaction, Failure> {
        self.done(self.database.begin_read().map_err(Into::into))
    }

    /// An error of the file as a failure.
    pub(super) fn done<T>(&self, result: Result<T, redb::Error>) -> Result<T, Failure> {
        result.map_err(|error| broken(&self.name, error))
    }

    /// What is known under a name.
    pub fn find(&self, id: UploadId) -> Result<Found, Failure> {
        let read = self.read()?;
        self.done((|| {
            if let Some(record) = read.open_table(UPLOADS)?.get(&id.0)? {
                return Ok(Found::Upload(record_of(record.value())?));
            }
            Ok(match read.open_table(WITHDRAWN)?.get(&id.0)? {
                Some(_) => Found::Withdrawn,
                None => Found::Nothing,
            })
        })())
    }

    /// Keeps uploads: when this returns, they are on the disk. What is there under a name already gives way, unless it is the same.
    pub fn keep(&self, uploads: &[Kept<'_>]) -> Result<(), Failure> {
        let write = self.write()?;
        self.done((|| {
            let mut totals = totals_in(&write)?;
            for upload in uploads {
                if is_same(&write, upload)? {
                    continue;
                }
                remove(&write, upload.id, &mut totals)?;
                insert(&write, upload, &mut totals)?;
            }
            put_totals(&write, &totals)
        })())?;
        self.commit(write)
    }

    /// Removes an upload. Returns whether it was there.
    pub fn remove(&self, id: UploadId) -> Result<bool, Failure> {
        let write = self.write()?;
        let there = self.done((|| {
            let mut totals = totals_in(&write)?;
            let there = remove(&write, id, &mut totals)?;
            put_totals(&write, &totals)?;
            Ok(there)
        })())?;
        self.commit(write)?;
        Ok(there)
    }

    /// At the leader: removes an upload, and notes that it was withdrawn. Returns whether it has been there.
    pub fn withdraw(&self, id: UploadId) -> Result<bool, Failure> {
        let write = self.write()?;
        let known = self.done((|| {
            let mut totals = totals_in(&write)?;
            let there = remove(&write, id, &mut totals)?;
            put_totals(&write, &totals)?;
            let mut withdrawn = write.open_table(WITHDRAWN)?;
            let before = withdrawn.get(&id.0)?.is_some();
            if there {
                withdrawn.insert(&id.0, false)?;
            }
            Ok(there || before)
        })())?;
        self.commit(write)?;
        Ok(known)
    }

    /// Withdrawn uploads that not all roles have removed as far as the leader knows.
    pub fn unconfirmed(&self) -> Result<Vec<UploadId>, Failure> {
        let read = self.read()?;
        self.done((|| {
            let mut found = Vec::new();
            for entry in read.open_table(WITHDRAWN)?.iter()? {
                let (id, confirmed) = entry?;
                if !confirmed.value() {
                    found.push(UploadId(*id.value()));
                }
            }
            Ok(found)
        })())
    }

    /// All roles have removed these uploads.
    pub fn confirm(&self, ids: &[UploadId]) -> Result<(), Failure> {
        let write = self.write()?;
        self.done((|| {
            let mut withdrawn = write.open_table(WITHDRAWN)?;
            for id in ids {
                withdrawn.insert(&id.0, true)?;
            }
            Ok(())
        })())?;
        self.commit(write)
    }

    /// Sums over all uploads.
    pub fn totals(&self) -> Result<Totals, Failure> {
        let read = self.read()?;
        self.done((|| {
            let about = read.open_table(ABOUT)?;
            let totals = about.get(TOTALS)?;
            totals.map_or(Ok(Totals::default()), |totals| parsed(totals.value()))
        })())
    }

    /// The number of owners that have signed uploads.
    pub fn owners(&self) -> Result<u64, Failure> {
        let read = self.read()?;
        self.done((|| Ok(read.open_table(OWNERS)?.len()?))())
    }

    /// Contributions of an owner.
    pub fn contributed_by(&self, owner: &OwnerName) -> Result<u64, Failure> {
        let read = self.read()?;
        self.done((|| {
            let owners = read.open_table(OWNERS)?;
            let count = owners.get(owner)?;
            Ok(count.map_or(0, |count| count.value()))
        })())
    }

    /// Gives the names of all uploads in their order to `take`.
    pub fn each(
        &self,
        mut take: impl FnMut(UploadId) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let read = self.read()?;
        let order = self.done(read.open_table(ORDER).map_err(Into::into))?;
        let order = self.done(order.iter().map_err(Into::into))?;
        for entry in order {
            let (_, id) = self.done(entry.map_err(Into::into))?;
            take(UploadId(*id.value()))?;
        }
        Ok(())
    }
}

fn broken(name: &str, error: impl Into<redb::Error>) -> Failure {
    match error.into() {
        redb::Error::Io(error) => Failure::unwritten(format!("the store {name}"), &error),
        error => Failure::new(
            format!("the store {name} cannot be used: {error}"),
            "check the disk, or name another file with --store",
        ),
    }
}

/// The error of a value that cannot be read.
pub(super) fn corrupted(error: postcard::Error) -> redb::Error {
    redb::Error::Corrupted(error.to_string())
}

/// Reads a value of the postcard format.
pub(super) fn parsed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, redb::Error> {
    postcard::from_bytes(bytes).map_err(corrupted)
}

/// What is kept of an upload.
pub(super) fn record_of(bytes: &[u8]) -> Result<Record, redb::Error> {
    parsed(bytes)
}

fn totals_in(write: &WriteTransaction) -> Result<Totals, redb::Error> {
    let about = write.open_table(ABOUT)?;
    let totals = about.get(TOTALS)?;
    totals.map_or(Ok(Totals::default()), |totals| parsed(totals.value()))
}

fn put_totals(write: &WriteTransaction, totals: &Totals) -> Result<(), redb::Error> {
    let value = postcard::to_stdvec(totals).map_err(corrupted)?;
    write.open_table(ABOUT)?.insert(TOTALS, value.as_slice())?;
    Ok(())
}

fn is_same(write: &WriteTransaction, upload: &Kept<'_>) -> Result<bool, redb::Error> {
    let uploads = write.open_table(UPLOADS)?;
    let there = uploads.get(&upload.id.0)?;
    there.map_or(Ok(false), |there| {
        Ok(record_of(there.value())?.digest == upload.digest)
    })
}

fn insert(
    write: &WriteTransaction,
    upload: &Kept<'_>,
    totals: &mut Totals,
) -> Result<(), redb::Error> {
    let record = Record {
        number: totals.next,
        digest: upload.digest,
        owner: upload.owner,
        count: upload.count,
        seeds: upload.seeds.clone(),
    };
    let value = zeroize::Zeroizing::new(postcard::to_stdvec(&record).map_err(corrupted)?);
    write
        .open_table(UPLOADS)?
        .insert(&upload.id.0, value.as_slice())?;
    write.open_table(ORDER)?.insert(totals.next, &upload.id.0)?;
    if let Some(masked) = upload.masked {
        write.open_table(MASKED)?.insert(totals.next, masked)?;
        totals.bytes += masked.len() as u64;
    }
    if let Some(owner) = &upload.owner {
        let mut owners = write.open_table(OWNERS)?;
        let before = owners.get(owner)?.map_or(0, |count| count.value());
        owners.insert(owner, before + u64::from(upload.count))?;
    }
    totals.next += 1;
    totals.uploads += 1;
    totals.contributions += u64::from(upload.count);
    Ok(())
}

fn remove(
    write: &WriteTransaction,
    id: UploadId,
    totals: &mut Totals,
) -> Result<bool, redb::Error> {
    let record = match write.open_table(UPLOADS)?.remove(&id.0)? {
        Some(record) => record_of(record.value())?,
        None => return Ok(false),
    };
    write.open_table(ORDER)?.remove(record.number)?;
    if let Some(masked) = write.open_table(MASKED)?.remove(record.number)? {
        totals.bytes -= masked.value().len() as u64;
    }
    if let Some(owner) = &record.owner {
        let mut owners = write.open_table(OWNERS)?;
        let before = owners.get(owner)?.map_or(0, |count| count.value());
        match before.saturating_sub(record.count.into()) {
            0 => owners.remove(owner)?,
            left => owners.insert(owner, left)?,
        };
    }
    totals.uploads -= 1;
    totals.contributions -= u64::from(record.count);
    Ok(true)
}
