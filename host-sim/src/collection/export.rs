//! What a training reads of a list: a file of its contributions one after the other, with the keys that a role knows.

use std::path::Path;

use ringlet_core::{
    contribution::{CollectionTask, key},
    prg::Key,
    session::{ContributionList, handshake::Actor},
};

use super::store::{Seeds, Store};
use crate::{
    data::contribution_file::{Entry, write},
    error::Failure,
};

/// Writes the contributions of a list, as `holder` has them, to a file. Returns their number, and the name by which roles compare
/// their files.
pub fn export(
    store: &Store,
    list: u32,
    (holder, task): (Actor, &CollectionTask),
    path: &Path,
) -> Result<(u32, ContributionList), Failure> {
    if !store.lists()?.iter().any(|(number, _)| *number == list) {
        return Err(Failure::new(
            format!("there is no list {list}"),
            "`ringlet collect status` prints the lists",
        ));
    }
    let len = task.contribution_len();
    write(path, (holder, task, list), |put| {
        store.each_of_list(list, |upload, record, masked| {
            let seeds = match &record.seeds {
                Seeds::Party(seed) => vec![Key::new(*seed)],
                Seeds::Both(seeds) => seeds.iter().map(|seed| Key::new(*seed)).collect(),
            };
            for number in 0..record.count {
                let keys: Vec<Key> = seeds.iter().map(|seed| key(seed, number)).collect();
                let first = usize::from(number) * len;
                let masked = masked.map_or(Some(&[][..]), |masked| masked.get(first..first + len));
                put(Entry {
                    upload,
                    number,
                    keys: &keys,
                    masked: masked.ok_or_else(|| {
                        Failure::new("an upload in the store is cut off", "restore the store")
                    })?,
                })?;
            }
            Ok(())
        })?;
        Ok(false)
    })
}
