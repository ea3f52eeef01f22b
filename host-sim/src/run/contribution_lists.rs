//! Where a role that trains has its contributions from: a file of one list, or the store of a collection that goes on, which has a
//! new list for each epoch.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    session::{ContributionList, handshake::Actor},
};

use crate::{console, data::contribution_file::ContributionFile, error::Failure};

/// What the file of a store begins with.
const STORE: [u8; 4] = *b"redb";
/// Pause before the store is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a list is asked for again that could not be made.
const AWAY_PAUSE: Duration = Duration::from_secs(1);
/// The most lists among which one is looked for by its name.
const LATEST: u32 = 4;

/// What the name of a list's file has between the store's name and the list's number.
const LIST: &str = ".list-";

/// Where contributions are.
pub enum Place {
    /// In a file of one list.
    File(PathBuf),
    /// In the store of a collection.
    Store(StoreLists),
}

/// The lists of a store, as a role that trains takes them. The role of the collection runs and writes them.
pub struct StoreLists {
    store: PathBuf,
    holder: Actor,
}

impl Place {
    /// What `path` names, for a role.
    pub fn at(path: &Path, holder: Actor) -> Self {
        let mut start = [0; STORE.len()];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        match read.is_ok() && start == STORE {
            true => Place::Store(StoreLists {
                store: path.to_owned(),
                holder,
            }),
            // If it cannot be read, whoever opens it says so.
            false => Place::File(path.to_owned()),
        }
    }
}

impl StoreLists {
    /// The latest list.
    pub fn latest(&self) -> Result<Arc<ContributionFile>, Failure> {
        match self.numbers()?.last() {
            Some(&number) => self.list(number),
            None => Err(Failure::new(
                format!("{} has no list of contributions", self.store.display()),
                "make one with `ringlet collect list` at P0",
            )),
        }
    }

    /// The list of this name: what the role has written of it before, or one of the latest lists of the store.
    pub fn named(&self, name: ContributionList) -> Result<Arc<ContributionFile>, Failure> {
        if let Some(file) = self.written(name) {
            return Ok(file);
        }
        let mut failed = None;
        for number in self.numbers()?.into_iter().rev().take(LATEST as usize) {
            match self.list(number) {
                Ok(file) if file.list == name => return Ok(file),
                Ok(_) => drop(fs::remove_file(self.path(number))),
                // It may have what was withdrawn since.
                Err(failure) => failed = Some(failure),
            }
        }
        Err(failed.unwrap_or_else(|| {
            Failure::new(
                format!(
                    "{} does not have the list of contributions that the others have",
                    self.store.display()
                ),
                "give each role the store of its own role in one collection",
            )
        }))
    }

    /// At P0: has the list after that of a number made, unless it is there. Tries as long as `wait`, because a role of the
    /// collection may be away for a while.
    pub fn make_after(&self, number: u32, wait: Duration) -> Result<(), Failure> {
        if self.holder != Actor::Party(Role::P0) {
            return Ok(());
        }
        let next = number.saturating_add(1);
        let deadline = Instant::now() + wait;
        let mut told = false;
        loop {
            let made = self
                .numbers()
                .and_then(|numbers| match numbers.contains(&next) {
                    true => Ok(()),
                    false => self.make(),
                });
            match made {
                Err(failure) if Instant::now() < deadline => {
                    if !std::mem::replace(&mut told, true) {
                        console::note(&format!("p0: waiting for list {next}: {failure}"));
                    }
                    std::thread::sleep(AWAY_PAUSE);
                }
                made => return made,
            }
        }
    }

    /// The list after that of a number, once it is there. Waits as long as `wait`.
    pub fn after(&self, number: u32, wait: Duration) -> Result<Arc<ContributionFile>, Failure> {
        let next = number.saturating_add(1);
        let deadline = Instant::now() + wait;
        while !self.numbers()?.contains(&next) {
            if Instant::now() >= deadline {
                return Err(Failure::new(
                    format!("list {next} of contributions did not come"),
                    "see whether `ringlet collect` runs at all roles, and whether P0 goes on",
                ));
            }
            std::thread::sleep(PAUSE);
        }
        self.list(next)
    }

    /// Removes what the role has written of a list.
    pub fn forget(&self, number: u32) {
        let _ = fs::remove_file(self.path(number));
    }

    /// Removes what the role has written of all lists.
    pub fn forget_all(&self) {
        for (_, path) in self.all_written() {
            let _ = fs::remove_file(path);
        }
    }

    /// A list by its number, which is written beside the store.
    fn list(&self, number: u32) -> Result<Arc<ContributionFile>, Failure> {
        let path = self.path(number);
        self.export(number, &path)?;
        self.open(&path)
    }

    fn open(&self, path: &Path) -> Result<Arc<ContributionFile>, Failure> {
        ContributionFile::open(path, self.holder).map(Arc::new)
    }

    /// The list of this name, if the role has written it and not removed it.
    fn written(&self, name: ContributionList) -> Option<Arc<ContributionFile>> {
        self.all_written().into_iter().find_map(|(_, path)| {
            let file = self.open(&path).ok()?;
            (file.list == name).then_some(file)
        })
    }

    /// The lists that the role has written, and their files.
    fn all_written(&self) -> Vec<(u32, PathBuf)> {
        let dir = self.store.parent().filter(|dir| *dir != Path::new(""));
        let Ok(entries) = fs::read_dir(dir.unwrap_or(Path::new("."))) else {
            return Vec::new();
        };
        let number = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            let rest = name.strip_prefix(self.store.file_name()?.to_str()?)?;
            rest.strip_prefix(LIST)?.parse().ok()
        };
        let paths = entries.flatten().map(|entry| entry.path());
        paths
            .filter_map(|path| Some((number(&path)?, path)))
            .collect()
    }

    fn path(&self, number: u32) -> PathBuf {
        let mut path = self.store.as_os_str().to_owned();
        path.push(format!("{LIST}{number}"));
        PathBuf::from(path)
    }
}

#[cfg(feature = "collect")]
impl StoreLists {
    fn ask(
        &self,
        question: &crate::collection::control::Ask,
    ) -> Result<serde_json::Value, Failure> {
        match crate::collection::control::ask(&self.store, question)? {
            Some(answer) => Ok(answer),
            None => Err(Failure::new(
                format!("no role of a collection runs with {}", self.store.display()),
                "start `ringlet collect` with it, or train on a file of `ringlet collect export`",
            )),
        }
    }

    /// The numbers of the lists, in order.
    fn numbers(&self) -> Result<Vec<u32>, Failure> {
        let status = self.ask(&crate::collection::control::Ask::Status)?;
        let lists = status["lists"].as_array().map_or(&[][..], Vec::as_slice);
        let number = |list: &serde_json::Value| list["list"].as_u64()?.try_into().ok();
        Ok(lists.iter().filter_map(number).collect())
    }

    fn make(&self) -> Result<(), Failure> {
        self.ask(&crate::collection::control::Ask::List).map(|_| ())
    }

    fn export(&self, number: u32, path: &Path) -> Result<(), Failure> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.ask(&crate::collection::control::Ask::Export(number, path))
            .map(|_| ())
    }
}

#[cfg(not(feature = "collect"))]
impl StoreLists {
    fn numbers(&self) -> Result<Vec<u32>, Failure> {
        Err(not_built())
    }

    fn make(&self) -> Result<(), Failure> {
        Err(not_built())
    }

    fn export(&self, _: u32, _: &Path) -> Result<(), Failure> {
        Err(not_built())
    }
}

#[cfg(not(feature = "collect"))]
fn not_built() -> Failure {
    Failure::new(
        "this program was built without collections, and trains on no store",
        "build it with `cargo build --release --features collect`, or give a file of `ringlet collect export`",
    )
}
