//! The device's checkpoints: its state, sealed for its host to keep, and taken back from it. The state passes in small
//! chunks, so it takes no memory of its own.

use embedded_io::{Read, Write};
use ringlet_core::{
    dealt::Trainer,
    device::{Belonging, Opener, Record, Sealer, StateError, Status},
    net::{Link, secure::PublicIdentity},
    prg::device_key::FRESH_LEN,
    session::{
        RunError,
        handshake::{CheckpointId, Hello},
    },
};

use crate::{Ring, Stopped};

/// What the checkpoints of a session need.
pub struct Keeping<'a> {
    /// The hello of the device, whose checkpoint is the one that it takes back.
    pub hello: &'a Hello,
    /// The other party's public identity.
    pub peer: PublicIdentity,
    /// Iterations from one checkpoint to the next; 0 if there are none.
    pub every: u32,
    /// The device's record.
    pub record: &'a [u8],
    /// The session's fresh value.
    pub fresh: [u8; FRESH_LEN],
    /// The run under way, as both parties name it.
    pub run: [u8; 16],
}

/// The checkpoint that a session begins with.
pub fn restored(hello: &Hello) -> Option<CheckpointId> {
    hello.checkpoints.kept.first().copied()
}

/// The iteration that a session begins with.
pub fn first(hello: &Hello) -> u32 {
    restored(hello).map_or(0, |id| id.iteration)
}

impl Keeping<'_> {
    fn belonging(&self, id: CheckpointId) -> Belonging<'_> {
        Belonging {
            role: self.hello.role,
            session: &self.hello.session,
            peer: self.peer,
            id,
        }
    }

    /// Takes back the state with which the session begins, if it does not begin anew, and tells the host.
    #[inline(never)]
    pub fn restore<T: Read + Write>(
        &self,
        control: &mut Link<T>,
        party: &mut Trainer<'_, Ring>,
    ) -> Result<(), Stopped> {
        let Some(id) = restored(self.hello) else {
            return Ok(());
        };
        let record = Record::decode(self.record).map_err(lost)?;
        let (belonging, len) = (self.belonging(id), party.state_len());
        let mut opener =
            Opener::new(control, &record.root, belonging, len).map_err(RunError::from)?;
        let read = party.read_state(id.iteration, |bytes| opener.read(bytes));
        match read {
            Ok(()) => {}
            Err(StateError::Link(error)) => return Err(RunError::from(error).into()),
            Err(_) => {
                opener.discard().map_err(RunError::from)?;
                return Err(Stopped::Refused(Status::Checkpoint));
            }
        }
        Ok(Status::Ready.send(control)?)
    }

    /// Gives the host the state before an iteration, if it is time for a checkpoint.
    #[inline(never)]
    pub fn before<T: Read + Write>(
        &self,
        control: &mut Link<T>,
        iteration: u32,
        party: &Trainer<'_, Ring>,
    ) -> Result<(), Stopped> {
        let over = iteration == self.hello.session.iterations();
        let due = self.every > 0 && (iteration.is_multiple_of(self.every) || over);
        if !due || restored(self.hello).is_some_and(|id| id.iteration == iteration) {
            return Ok(());
        }
        Status::Saving.send(control)?;
        let record = Record::decode(self.record).map_err(lost)?;
        let id = CheckpointId {
            iteration,
            run: self.run,
        };
        let (belonging, len) = (self.belonging(id), party.state_len());
        let mut sealer = Sealer::new(control, &record.root, &self.fresh, belonging, len)
            .map_err(RunError::from)?;
        Ok(party.write_state(|bytes| sealer.write(bytes).map_err(RunError::from))?)
    }
}

/// A record that cannot be read, which was read at the beginning of the session.
fn lost(error: ringlet_core::device::RecordError) -> Stopped {
    Stopped::Refused(Status::NoSecret(error))
}
