//! An owner's run: it masks its samples and sends them in uploads. A run that was broken off sends the same uploads again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use ringlet_core::{
    contribution::{Upload, UploadError, UploadId},
    prg::{Address, Key, Prg},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{posting::Posting, signature::sign};
use crate::{
    config::task_file::TaskFile,
    console::bar::Bar,
    data::{Images, file::Staged, hexadecimal, owner_key},
    error::Failure,
    links::connect::ephemeral,
};

/// Pause between two notes of how far the run is.
const NOTE_PAUSE: Duration = Duration::from_secs(1);

/// What is kept of a run between its starts: from it and from the samples all uploads are made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct State {
    task: String,
    /// The hash of the samples.
    samples: String,
    per_upload: u16,
    /// The public key of the owner that signs the uploads.
    owner: Option<String>,
    /// All uploads' secrets come from it.
    secret: String,
    /// Uploads that were acknowledged.
    done: u32,
    /// The names of uploads that were withdrawn.
    #[serde(default)]
    withdrawn: Vec<String>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// A run of an owner.
pub struct Sending<'a> {
    task: &'a TaskFile,
    images: &'a Images,
    key: Option<&'a SigningKey>,
    path: PathBuf,
    state: State,
    root: Key,
}

/// What an owner has contributed.
pub struct Receipt {
    /// The names of its uploads, with which it can withdraw them; without those that it has withdrawn.
    pub uploads: Vec<UploadId>,
    /// Their contributions.
    pub contributions: usize,
    /// How many uploads it has withdrawn.
    pub withdrawn: usize,
    /// How many of them were acknowledged before this run.
    pub before: u32,
    /// Bytes of the uploads of this run.
    pub bytes: u64,
}

impl<'a> Sending<'a> {
    /// The run whose state is in the file at `path`, or a new one. Samples of the task's shape and classes go to it, `per_upload`
    /// in each upload.
    pub fn new(
        task: &'a TaskFile,
        images: &'a Images,
        key: Option<&'a SigningKey>,
        path: &Path,
        per_upload: Option<u16>,
    ) -> Result<Self, Failure> {
        let owner = key.map(|key| owner_key::public_text(&key.verifying_key()));
        let state = match path.exists() {
            true => resumed((task, images), owner, path, per_upload)?,
            false => begun((task, images), owner, path, per_upload)?,
        };
        let root = hexadecimal::bytes(&state.secret).ok_or_else(|| damaged(path, "its secret"))?;
        Ok(Sending {
            task,
            images,
            key,
            path: path.to_owned(),
            root: Key::new(root),
            state,
        })
    }

    /// Number of uploads.
    fn count(&self) -> u32 {
        self.images.len().div_ceil(self.state.per_upload.into()) as u32
    }

    /// The secret of an upload.
    fn secret(&self, number: u32) -> Result<Key, Failure> {
        let prg = Prg::new(self.root.clone());
        Key::filled(|bytes| {
            let address = Address {
                iteration: number,
                gate: 0,
                wire: 0,
            };
            prg.fill(address, 0, bytes);
            Ok(())
        })
    }

    /// The bytes of an upload, and its name.
    fn upload(&self, number: u32) -> Result<(UploadId, Vec<u8>), Failure> {
        let samples = self.samples_of(number);
        let mut bytes = Vec::new();
        let made = (|| {
            let mut write = |piece: &[u8]| {
                bytes.extend_from_slice(piece);
                Ok::<_, UploadError>(())
            };
            let secret = self.secret(number).map_err(|_| UploadError::Seal)?;
            let task = &self.task.task;
            let mut upload = Upload::begin(task, &secret, samples.len() as u16, &mut write)?;
            let id = upload.id();
            for sample in samples {
                let (pixels, label) = (self.images.image(sample), self.images.labels[sample]);
                upload.sample(pixels, label, &mut write)?;
            }
            Ok((id, upload.finish(&mut write)?))
        })();
        let (id, hash) = made.map_err(|error: UploadError| {
            Failure::new(error.to_string(), "get the task file again")
        })?;
        if let Some(key) = self.key {
            bytes.extend_from_slice(&sign(key, self.task.id, &hash));
        }
        Ok((id, bytes))
    }

    /// Sends what was not acknowledged yet. Waits so long for a leader that does not take uploads.
    pub fn run(&mut self, wait: Duration) -> Result<Receipt, Failure> {
        let mut posting = Posting::new(self.task, wait)?;
        let mut bar = Bar::of_things("owner", "contribution", self.images.len() as u64);
        let (before, mut bytes, mut noted) = (self.state.done, 0, Instant::now());
        for number in before..self.count() {
            let (_, upload) = self.upload(number)?;
            bytes += upload.len() as u64;
            let sent = posting.send(&upload, || Ok(()));
            let failed = match sent {
                Ok(answer) => answer.failure(),
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failed {
                bar.finish();
                self.note_done()?;
                return Err(match self.state.done {
                    0 => failure,
                    done => failure.with_remedy(format!(
                        "{done} of {} uploads were taken; the same command goes on",
                        self.count()
                    )),
                });
            }
            self.state.done = number + 1;
            let done = (self.state.done as usize * usize::from(self.state.per_upload))
                .min(self.images.len());
            bar.set(done as u64, String::new());
            if noted.elapsed() >= NOTE_PAUSE {
                self.note_done()?;
                noted = Instant::now();
            }
        }
        bar.finish();
        self.note_done()?;
        let (mut uploads, mut contributions) = (Vec::new(), 0);
        for number in 0..self.count() {
            let secret = self.secret(number)?;
            let named = Upload::begin(&self.task.task, &secret, 1, |_| Ok::<_, UploadError>(()));
            let named = named.map_err(|error| Failure::new(error.to_string(), ""))?;
            let name = hexadecimal::digits(&named.id().0);
            if !self.state.withdrawn.contains(&name) {
                uploads.push(named.id());
                contributions += self.samples_of(number).len();
            }
        }
        Ok(Receipt {
            withdrawn: self.count() as usize - uploads.len(),
            uploads,
            contributions,
            before,
            bytes,
        })
    }

    /// The samples of an upload.
    fn samples_of(&self, number: u32) -> std::ops::Range<usize> {
        let per_upload = usize::from(self.state.per_upload);
        let first = number as usize * per_upload;
        first..(first + per_upload).min(self.images.len())
    }

    /// Writes how far the run is. A run that is killed before sends its uploads again, and they are not taken twice.
    fn note_done(&self) -> Result<(), Failure> {
        write(&self.path, &self.state)
    }
}

/// Withdraws uploads, and notes so in the state of the run at `path`, if there is one.
pub fn withdraw(
    task: &TaskFile,
    uploads: &[UploadId],
    path: &Path,
    wait: Duration,
) -> Result<(), Failure> {
    let mut state = match path.exists() {
        true => Some(read(path)?),
        false => None,
    };
    let mut posting = Posting::new(task, wait)?;
    for &id in uploads {
        if let Some(failure) = posting.withdraw(id)?.failure() {
            return Err(failure);
        }
        if let Some(state) = &mut state {
            state.withdrawn.push(hexadecimal::digits(&id.0));
            write(path, state)?;
        }
    }
    Ok(())
}

fn begun(
    (task, images): (&TaskFile, &Images),
    owner: Option<String>,
    path: &Path,
    per_upload: Option<u16>,
) -> Result<State, Failure> {
    let state = State {
        task: task.id_text(),
        samples: hexadecimal::digits(&images.digest()),
        per_upload: task.per_upload(per_upload)?,
        owner,
        secret: hexadecimal::digits(ephemeral()?.reveal()),
        done: 0,
        withdrawn: Vec::new(),
    };
    // It is on the disk before the first upload leaves: no sample is ever masked twice.
    write(path, &state)?;
    Ok(state)
}

/// The state in a file. The same secret never masks other samples: their difference could be seen.
fn resumed(
    (task, images): (&TaskFile, &Images),
    owner: Option<String>,
    path: &Path,
    per_upload: Option<u16>,
) -> Result<State, Failure> {
    let state = read(path)?;
    let other = |what: &str| {
        Failure::new(
            format!("{} is of other {what}", path.display()),
            "give the same as before, or begin anew with another --state",
        )
    };
    if state.task != task.id_text() {
        return Err(other("tasks"));
    }
    if state.owner != owner {
        return Err(other("owners"));
    }
    if state.samples != hexadecimal::digits(&images.digest()) {
        return Err(other("samples"));
    }
    if per_upload.is_some_and(|given| given != state.per_upload) || state.per_upload == 0 {
        return Err(other("uploads, with another --per-upload"));
    }
    Ok(state)
}

/// The state in a file. It is a plain one: what a device gives might never end.
fn read(path: &Path) -> Result<State, Failure> {
    let meta = fs::metadata(path).map_err(|error| damaged(path, error))?;
    if !meta.is_file() {
        return Err(damaged(path, "it is no plain file"));
    }
    let text = fs::read_to_string(path).map_err(|error| damaged(path, error))?;
    let text = Zeroizing::new(text);
    serde_json::from_str(&text).map_err(|error| damaged(path, error))
}

fn write(path: &Path, state: &State) -> Result<(), Failure> {
    let text = Zeroizing::new(serde_json::to_string(state).unwrap_or_default());
    Staged::write_secret(path, text.as_bytes())?.appear()
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("{} holds no state of a contribution: {why}", path.display()),
        "name another file with --state",
    )
}
