//! The states of a device, as its host keeps them beside its own checkpoints. They are sealed under the device's secret:
//! the host cannot read them, and the device takes back none that were altered.

use std::{fs, path::PathBuf};

use ringlet_core::{
    Role,
    device::{channel, sealed_len},
    net::{Link, Remote, serial::mux::Channel},
    session::handshake::{CheckpointId, Checkpoints},
};

use super::device::{DeviceMux, await_ready, await_saving};
use crate::{data::file::Staged, error::Failure};

const MAGIC: [u8; 8] = *b"RNGLDEV1";
/// Bytes before the sealed state: magic, iteration, run.
const HEAD: usize = MAGIC.len() + 4 + 16;
/// The most states that are kept.
const KEPT: usize = 2;

/// The states of a device in a directory.
pub struct DeviceStates {
    dir: PathBuf,
    /// The earliest first.
    kept: Vec<CheckpointId>,
}

impl DeviceStates {
    /// The states in a directory that is there.
    pub fn open(dir: PathBuf) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                format!("{} cannot be read: {error}", dir.display()),
                "give the directory of --checkpoint",
            )
        };
        let mut kept = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|name| name == "sealed") {
                kept.extend(fs::read(&path).ok().and_then(|bytes| id_of(&bytes)));
            }
        }
        kept.sort_by_key(|id| id.iteration);
        Ok(DeviceStates { dir, kept })
    }

    /// The latest checkpoint that the device has in common with a party that has these.
    pub fn common(&self, checkpoints: &Checkpoints) -> Option<CheckpointId> {
        let mut own = checkpoints.kept.iter().rev();
        own.find(|id| self.kept.contains(id)).copied()
    }

    fn path(&self, id: CheckpointId) -> PathBuf {
        let name = format!("{}-{:010}.sealed", Role::P0, id.iteration);
        self.dir.join(name)
    }

    /// Gives the device at `mux` its state back with which the run begins, and waits until it has taken it. Later ones
    /// belong to a course that is given up, and are removed.
    pub fn begin(&mut self, common: Option<CheckpointId>, mux: &DeviceMux) -> Result<(), Failure> {
        let first = common.map_or(0, |id| id.iteration);
        let (stay, go) = self
            .kept
            .iter()
            .partition(|id| id.iteration < first || Some(**id) == common);
        self.kept = stay;
        let go: Vec<CheckpointId> = go;
        for id in go {
            let _ = fs::remove_file(self.path(id));
        }
        let Some(id) = common else { return Ok(()) };
        let path = self.path(id);
        let bytes = fs::read(&path).map_err(|error| {
            Failure::new(
                format!("{} cannot be read: {error}", path.display()),
                "give the directory of --checkpoint",
            )
        })?;
        let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
        control.send(bytes.get(HEAD..).unwrap_or_default())?;
        control.flush()?;
        await_ready(mux)
    }

    /// Receives the state of the checkpoint `id` from the device at `mux`, `len` bytes before they were sealed, and writes
    /// it. The last two are kept.
    pub fn keep(&mut self, id: CheckpointId, len: usize, mux: &DeviceMux) -> Result<(), Failure> {
        await_saving(mux)?;
        let mut bytes = vec![0; HEAD + sealed_len(len)];
        let (head, sealed) = bytes.split_at_mut(HEAD);
        head.copy_from_slice(&head_of(id));
        Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0).receive(sealed)?;
        Staged::write_secret(&self.path(id), &bytes)?.appear()?;
        self.kept.push(id);
        while self.kept.len() > KEPT {
            let oldest = self.kept.remove(0);
            let _ = fs::remove_file(self.path(oldest));
        }
        Ok(())
    }
}

fn head_of(id: CheckpointId) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&id.iteration.to_le_bytes());
    head[12..].copy_from_slice(&id.run);
    head
}

fn id_of(bytes: &[u8]) -> Option<CheckpointId> {
    let head: &[u8; HEAD] = bytes.first_chunk()?;
    let (iteration, run) = (head[8..12].try_into().ok()?, head[12..].try_into().ok()?);
    let id = CheckpointId {
        iteration: u32::from_le_bytes(iteration),
        run,
    };
    (*head == head_of(id)).then_some(id)
}
