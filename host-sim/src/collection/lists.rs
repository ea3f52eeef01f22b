//! Lists of a store: the uploads of a training, in their order.

use redb::{ReadableTable as _, WriteTransaction};
use ringlet_core::contribution::UploadId;
use serde::{Deserialize, Serialize};

use super::store::{LISTED, LISTS, MASKED, Record, Store, UPLOADS, corrupted, parsed, record_of};
use crate::error::Failure;

/// What is known of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its uploads.
    pub uploads: u64,
    /// Their contributions.
    pub contributions: u64,
    /// The hash of their names in order: the same at all roles.
    pub digest: [u8; 32],
}

impl Store {
    /// The lists that there are.
    pub fn lists(&self) -> Result<Vec<(u32, List)>, Failure> {
        let read = self.read()?;
        self.done((|| {
            let lists = read.open_table(LISTS)?;
            let entries = lists.iter()?.map(|entry| {
                let (number, list) = entry?;
                Ok((number.value(), parsed(list.value())?))
            });
            entries.collect()
        })())
    }

    /// Begins a list under a number. What there was under it is forgotten.
    pub fn begin_list(&self, number: u32) -> Result<ListDraft<'_>, Failure> {
        let write = self.write()?;
        self.done((|| {
            write.open_table(LISTS)?.remove(number)?;
            let mut listed = write.open_table(LISTED)?;
            listed.retain_in((number, 0)..=(number, u64::MAX), |_, _| false)?;
            Ok(())
        })())?;
        Ok(ListDraft {
            store: self,
            write,
            number,
            list: List {
                uploads: 0,
                contributions: 0,
                digest: [0; 32],
            },
            hash: ring::digest::Context::new(&ring::digest::SHA256),
        })
    }

    /// Gives the uploads of a list in their order to `take`: name, record, and masked samples if this role has them. Fails if one
    /// was withdrawn.
    pub fn each_of_list(
        &self,
        number: u32,
        mut take: impl FnMut(UploadId, &Record, Option<&[u8]>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let read = self.read()?;
        let opened = (|| {
            let listed = read.open_table(LISTED)?;
            let entries = listed.range((number, 0)..=(number, u64::MAX))?;
            Ok((entries, read.open_table(UPLOADS)?, read.open_table(MASKED)?))
        })();
        let (entries, uploads, masked) = self.done(opened)?;
        for entry in entries {
            let (_, id) = self.done(entry.map_err(Into::into))?;
            let id = UploadId(*id.value());
            let record = self.done(uploads.get(&id.0).map_err(Into::into))?;
            let Some(record) = record else {
                return Err(Failure::new(
                    format!("an upload of list {number} was withdrawn"),
                    "make a new list with `ringlet collect list`",
                ));
            };
            let record = self.done(record_of(record.value()))?;
            let masked = self.done(masked.get(record.number).map_err(Into::into))?;
            take(id, &record, masked.as_ref().map(|masked| masked.value()))?;
        }
        Ok(())
    }
}

/// A list that is being made. It counts only when it is finished.
pub struct ListDraft<'a> {
    store: &'a Store,
    write: WriteTransaction,
    number: u32,
    list: List,
    hash: ring::digest::Context,
}

impl ListDraft<'_> {
    /// Adds an upload. Returns what is kept of it; nothing if it is not there, and then it is not in the list.
    pub fn add(&mut self, id: UploadId) -> Result<Option<Record>, Failure> {
        let ListDraft { write, list, .. } = self;
        let record = self.store.done((|| {
            let record = match write.open_table(UPLOADS)?.get(&id.0)? {
                Some(record) => record_of(record.value())?,
                None => return Ok(None),
            };
            let place = (self.number, list.uploads);
            write.open_table(LISTED)?.insert(place, &id.0)?;
            Ok(Some(record))
        })())?;
        if let Some(record) = &record {
            self.list.uploads += 1;
            self.list.contributions += u64::from(record.count);
            self.hash.update(&id.0);
        }
        Ok(record)
    }

    /// The list as it is now.
    pub fn list(&self) -> List {
        let mut list = self.list;
        let digest = self.hash.clone().finish();
        list.digest.copy_from_slice(digest.as_ref());
        list
    }

    /// Keeps the list.
    pub fn finish(self) -> Result<List, Failure> {
        let list = self.list();
        self.store.done((|| {
            let value = postcard::to_stdvec(&list).map_err(corrupted)?;
            self.write
                .open_table(LISTS)?
                .insert(self.number, value.as_slice())?;
            Ok(())
        })())?;
        self.store.commit(self.write)?;
        Ok(list)
    }
}
