//! The sealed state of a device as a file, for its host, which cannot read the state.
//!
//! ```text
//! magic (8) · length of the head (4) · head · length of the sealed state (4) · sealed state
//! ```
//!
//! The head says what the state belongs to. The device itself sees whether the state was altered.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ringlet_core::{
    Role,
    session::{Session, handshake::CheckpointId},
};

use super::{
    checkpoint_file::{Head, list_with},
    file::Staged,
};
use crate::error::Failure;

const MAGIC: [u8; 8] = *b"RNGLDEV2";

const ENDING: &str = ".sealed";

/// The file of a device's state before an iteration.
pub fn path(dir: &Path, role: Role, iteration: u32) -> PathBuf {
    dir.join(format!("{role}-{iteration:010}{ENDING}"))
}

/// The checkpoints whose states are in a directory, the earliest first. Files that are not whole are left out.
///
/// Fails if the directory cannot be read, and if a state is of another session: then the error names the parameter that
/// differs.
pub fn list(dir: &Path, role: Role, session: &Session) -> Result<Vec<CheckpointId>, Failure> {
    let mut found = Vec::new();
    for (_, path) in list_with(dir, role, ENDING)? {
        let Ok(bytes) = fs::read(&path) else { continue };
        if let Some((head, _)) = parts(&bytes).filter(|(head, _)| head.is_of(role)) {
            head.check_session(&path, session)?;
            found.push(head.id);
        }
    }
    Ok(found)
}

/// Writes the state of a checkpoint. It appears whole or not at all, and the disk has it when this returns.
pub fn write(
    dir: &Path,
    role: Role,
    session: &Session,
    id: CheckpointId,
    sealed: &[u8],
) -> Result<(), Failure> {
    let path = path(dir, role, id.iteration);
    let head = postcard::to_stdvec(&Head::new(role, session, id));
    let head =
        head.map_err(|error| Failure::unwritten(path.display(), &io::Error::other(error)))?;
    Staged::write_secret(&path, &whole(&head, sealed))?.appear()?;
    // The name too must be on the disk. Systems that cannot say so still have the file.
    let _ = fs::File::open(dir).and_then(|dir| dir.sync_all());
    Ok(())
}

/// Reads the sealed state of a checkpoint.
pub fn read(dir: &Path, role: Role, id: CheckpointId) -> Result<Vec<u8>, Failure> {
    let path = path(dir, role, id.iteration);
    let failed = |why: &str| {
        Failure::new(
            format!("{} cannot be read: {why}", path.display()),
            "remove it, and the run goes back to the checkpoint before it",
        )
    };
    let bytes = fs::read(&path).map_err(|error| failed(&error.to_string()))?;
    match parts(&bytes) {
        Some((head, sealed)) if head.is_of(role) && head.id == id => Ok(sealed.to_vec()),
        _ => Err(failed("it is damaged or of another run")),
    }
}

fn whole(head: &[u8], sealed: &[u8]) -> Vec<u8> {
    let len = |part: &[u8]| (part.len() as u32).to_le_bytes();
    [&MAGIC[..], &len(head), head, &len(sealed), sealed].concat()
}

/// The head and the sealed state of a file; none if it is no state, or not whole.
fn parts(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (head, rest) = part(rest)?;
    let (sealed, rest) = part(rest)?;
    let head = postcard::from_bytes(head).ok()?;
    rest.is_empty().then_some((head, sealed))
}

/// What follows its length, and the rest.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    use ringlet_core::{
        data::Normalisation,
        model::Model,
        num::Format,
        session::{ClassList, Headroom, KnownBackbone, Protocol, Task},
    };

    const ID: CheckpointId = CheckpointId {
        iteration: 7,
        run: [3; 16],
    };

    fn session(batch: u32) -> Session {
        Session {
            model: Model::built_in("digits8").expect("built in"),
            format: Format::new::<u32>(12).expect("widths that fit"),
            headroom: Headroom::NONE,
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol: Protocol::DEALT,
            samples: [40, 0],
            contributions: None,
            batch,
            micro_batch: 10,
            epochs: 2,
            limit: 0,
            learning_rate: 1 << 20,
            momentum: 0,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 3,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: 0,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_no_state() {
        let head = postcard::to_stdvec(&Head::new(Role::P1, &session(10), ID)).expect("bytes");
        let mut bytes = whole(&head, &[9; 20]);
        let (read, sealed) = parts(&bytes).expect("whole");
        assert!(read.is_of(Role::P1) && !read.is_of(Role::P0));
        assert_eq!((read.id, sealed), (ID, &[9; 20][..]));
        for len in 0..bytes.len() {
            assert!(parts(&bytes[..len]).is_none(), "{len}");
        }
        for at in 0..MAGIC.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(parts(&other).is_none(), "{at}");
        }
        bytes.push(9);
        assert!(parts(&bytes).is_none());
    }

    #[test]
    fn a_state_is_found_by_its_role_and_refused_in_another_session() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        write(dir, Role::P1, &session(10), ID, &[9; 20]).expect("a file");
        std::fs::write(path(dir, Role::P1, 8), b"torn").expect("a file");
        let found = |role, batch| list(dir, role, &session(batch));
        assert_eq!(found(Role::P1, 10).expect("a list"), [ID]);
        assert_eq!(found(Role::P0, 10).expect("a list"), []);
        let line = found(Role::P1, 20).expect_err("another session");
        assert!(line.to_string().contains("different batch sizes"), "{line}");
        assert_eq!(read(dir, Role::P1, ID).expect("a state"), [9; 20]);
        let other = CheckpointId { run: [4; 16], ..ID };
        assert!(read(dir, Role::P1, other).is_err());
    }
}
