//! The states of a device, as its host keeps them beside its own checkpoints. They are sealed under the device's secret:
//! the host cannot read them, and the device takes back none that were altered.

use std::{fs, path::PathBuf};

use ringlet_core::{
    Role,
    device::{channel, sealed_len},
    net::{Link, Remote, serial::mux::Channel},
    session::handshake::{CheckpointId, Checkpoints},
};

use super::{
    checkpoints::given_up,
    device::{DeviceMux, await_ready, await_saving},
};
use crate::{data::file::Staged, error::Failure};

const MAGIC: [u8; 8] = *b"RNGLDEV1";
/// Bytes before the sealed state: magic, iteration, run, length of the sealed state.
const HEAD: usize = MAGIC.len() + 4 + 16 + 4;
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
        // Nothing goes before what the run goes on from has been read.
        let bytes = common.map(|id| self.read(id)).transpose()?;
        for id in given_up(&mut self.kept, common) {
            let _ = fs::remove_file(self.path(id));
        }
        let Some(bytes) = bytes else { return Ok(()) };
        let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
        control.send(bytes.get(HEAD..).unwrap_or_default())?;
        control.flush()?;
        await_ready(mux)
    }

    /// Reads the file of a checkpoint.
    fn read(&self, id: CheckpointId) -> Result<Vec<u8>, Failure> {
        let path = self.path(id);
        let failed = |why: &str| {
            Failure::new(
                format!("{} cannot be read: {why}", path.display()),
                "remove it, and the run goes back to the checkpoint before it",
            )
        };
        let bytes = fs::read(&path).map_err(|error| failed(&error.to_string()))?;
        match id_of(&bytes) == Some(id) {
            true => Ok(bytes),
            false => Err(failed("it is damaged or of another run")),
        }
    }

    /// Receives the state of the checkpoint `id` from the device at `mux`, `len` bytes before they were sealed, and writes
    /// it. The last two are kept.
    pub fn keep(&mut self, id: CheckpointId, len: usize, mux: &DeviceMux) -> Result<(), Failure> {
        await_saving(mux)?;
        let mut bytes = vec![0; HEAD + sealed_len(len)];
        let (head, sealed) = bytes.split_at_mut(HEAD);
        head.copy_from_slice(&head_of(id, sealed.len()));
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

fn head_of(id: CheckpointId, len: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&id.iteration.to_le_bytes());
    head[12..28].copy_from_slice(&id.run);
    head[28..].copy_from_slice(&(len as u32).to_le_bytes());
    head
}

/// The checkpoint of a file; none if it is no state, or not whole.
fn id_of(bytes: &[u8]) -> Option<CheckpointId> {
    let head: &[u8; HEAD] = bytes.first_chunk()?;
    let (iteration, run) = (head[8..12].try_into().ok()?, head[12..28].try_into().ok()?);
    let id = CheckpointId {
        iteration: u32::from_le_bytes(iteration),
        run,
    };
    (*head == head_of(id, bytes.len() - HEAD)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_whole_is_no_state() {
        let id = CheckpointId {
            iteration: 7,
            run: [3; 16],
        };
        let mut bytes = head_of(id, 20).to_vec();
        bytes.extend([9; 20]);
        assert_eq!(id_of(&bytes), Some(id));
        for len in 0..bytes.len() {
            assert_eq!(id_of(&bytes[..len]), None, "{len}");
        }
        for at in 0..MAGIC.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(id_of(&other), None, "{at}");
        }
        bytes.push(9);
        assert_eq!(id_of(&bytes), None);
    }
}
