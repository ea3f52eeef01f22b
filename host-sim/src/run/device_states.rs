//! The states of a device, as its host keeps them beside those of the other party. They are sealed under the device's secret:
//! the host cannot read them, and the device takes back none that were altered.

use std::{fs, path::PathBuf};

use ringlet_core::{
    Role,
    device::{NAME_LEN, channel, name_of, sealed_len},
    net::{Link, Remote, serial::mux::Channel},
    session::{
        Session,
        handshake::{CheckpointId, Checkpoints, HandshakeError, Mismatch},
    },
};

use super::{
    checkpoints::given_up,
    device::{DeviceMux, await_ready, await_saving},
};
use crate::{
    data::sealed_state_file::{list, path, read, write},
    error::Failure,
};

/// The most states that are kept.
const KEPT: usize = 2;

/// The states of a device in a directory.
pub struct DeviceStates {
    dir: PathBuf,
    /// The device's role.
    role: Role,
    session: Session,
    /// The earliest first.
    kept: Vec<CheckpointId>,
}

impl DeviceStates {
    /// The states of the device in a role in a directory that is there. Fails if one is of another session.
    pub fn open(dir: PathBuf, role: Role, session: &Session) -> Result<Self, Failure> {
        Ok(DeviceStates {
            kept: list(&dir, role, session)?,
            dir,
            role,
            session: session.clone(),
        })
    }

    /// The latest checkpoint that the device has in common with a party that has these.
    pub fn common(&self, checkpoints: &Checkpoints) -> Option<CheckpointId> {
        let mut own = checkpoints.kept.iter().rev();
        own.find(|id| self.kept.contains(id)).copied()
    }

    /// The checkpoints from which the device can go on.
    pub fn checkpoints(&self) -> Checkpoints {
        let latest = self.kept.len().saturating_sub(KEPT);
        Checkpoints {
            kept: self.kept[latest..].iter().copied().collect(),
            durable: true,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether the run has been further than at its beginning.
    pub fn has_begun(&self) -> bool {
        self.kept.iter().any(|id| id.iteration > 0)
    }

    /// Reads the sealed state of a checkpoint.
    pub fn read(&self, id: CheckpointId) -> Result<Vec<u8>, Failure> {
        read(&self.dir, self.role, id)
    }

    /// Removes the states of a course that is given up: those after the checkpoint `common`.
    pub fn give_up(&mut self, common: Option<CheckpointId>) {
        for id in given_up(&mut self.kept, common) {
            let _ = fs::remove_file(path(&self.dir, self.role, id.iteration));
        }
    }

    /// Gives the device at `mux` its state back with which the run begins, and waits until it has taken it. Later ones
    /// belong to a course that is given up, and are removed.
    pub fn begin(&mut self, common: Option<CheckpointId>, mux: &DeviceMux) -> Result<(), Failure> {
        // Nothing goes before what the run goes on from has been read.
        let sealed = common.map(|id| self.read(id)).transpose()?;
        self.give_up(common);
        let Some(sealed) = sealed else { return Ok(()) };
        let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
        control.send(&sealed)?;
        control.flush()?;
        await_ready(mux)
    }

    /// Receives the state of the checkpoint `id` from the device at `mux`, `len` bytes before they were sealed, and writes
    /// it. The last two are kept.
    pub fn keep(&mut self, id: CheckpointId, len: usize, mux: &DeviceMux) -> Result<(), Failure> {
        await_saving(mux)?;
        let (mut name, mut sealed) = ([0; NAME_LEN], vec![0; sealed_len(len)]);
        let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
        control.receive(&mut name)?;
        control.receive(&mut sealed)?;
        match name_of(&name) == id {
            true => self.write(id, &sealed),
            false => Err(HandshakeError::from(Mismatch::Foreign).into()),
        }
    }

    /// Writes the sealed state of a checkpoint. The last two are kept.
    pub fn write(&mut self, id: CheckpointId, sealed: &[u8]) -> Result<(), Failure> {
        write(&self.dir, self.role, &self.session, id, sealed)?;
        self.kept.retain(|kept| kept.iteration != id.iteration);
        self.kept.push(id);
        while self.kept.len() > KEPT {
            let oldest = self.kept.remove(0);
            let _ = fs::remove_file(path(&self.dir, self.role, oldest.iteration));
        }
        Ok(())
    }
}
