//! Checkpoints as files: a party's state between two iterations, sealed under the party's identity.
//!
//! ```text
//! magic (8) · salt (32) · sealed bytes · tag (16)
//! ```
//!
//! The key is derived from the identity's secret and the salt by HKDF-SHA256 (RFC 5869), so it serves one file only;
//! the cipher is ChaCha20-Poly1305 (RFC 8439) with a nonce of zeros, and covers magic and salt too.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use ringlet_core::{
    Role,
    net::secure::Identity,
    session::{
        Session,
        handshake::{CheckpointId, Hello, VERSION},
    },
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::Staged;
use crate::error::Failure;

const MAGIC: [u8; 8] = *b"RNGLCKP1";
const SALT: usize = 32;
const TAG: usize = 16;

/// What a checkpoint's file holds beside the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u16,
    role: Role,
    /// The checkpoint's name.
    pub id: CheckpointId,
    session: Session,
}

impl Head {
    /// The head of the checkpoint `id` of a party.
    pub fn new(role: Role, session: &Session, id: CheckpointId) -> Self {
        Head {
            version: VERSION,
            role,
            id,
            session: session.clone(),
        }
    }

    /// Whether this version of the program wrote it for this role.
    pub fn is_of(&self, role: Role) -> bool {
        self.version == VERSION && self.role == role
    }

    /// Fails if the file at `path` is of another session, and names the parameter that differs. The session of the next epoch may
    /// go on from the end of this one.
    pub fn check_session(&self, path: &Path, session: &Session) -> Result<(), Failure> {
        let is_end = self.id.iteration == self.session.iterations();
        if is_end && session.goes_on_from(&self.session) {
            return Ok(());
        }
        let hello = |session: &Session| Hello::new(self.role, session);
        let compared = hello(session).compare(&hello(&self.session));
        compared.map_err(|mismatch| {
            Failure::new(
                format!("{} is of another session: {mismatch}", path.display()),
                "start with the options of that session, or with another --checkpoint directory",
            )
        })
    }
}

/// A checkpoint: what a party needs to go on.
#[derive(Clone, PartialEq)]
pub struct Checkpoint {
    /// Its name, with the iteration that comes next.
    pub id: CheckpointId,
    /// The party's state, as `Trainer::write_state` gives it.
    pub state: Zeroizing<Vec<u8>>,
}

/// The file of a party's checkpoint before an iteration.
pub fn path(dir: &Path, role: Role, iteration: u32) -> PathBuf {
    dir.join(format!("{role}-{iteration:010}.checkpoint"))
}

/// The checkpoints of a party in a directory, the earliest first: their iterations and files.
pub fn list(dir: &Path, role: Role) -> Result<Vec<(u32, PathBuf)>, Failure> {
    list_with(dir, role, ".checkpoint")
}

/// The files of a party in a directory with this ending, the earliest iteration first.
pub(super) fn list_with(
    dir: &Path,
    role: Role,
    ending: &str,
) -> Result<Vec<(u32, PathBuf)>, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            format!("{} cannot be read: {error}", dir.display()),
            "give the directory of --checkpoint",
        )
    };
    let prefix = format!("{role}-");
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(ending));
        if let Some(iteration) = number.and_then(|number| number.parse().ok()) {
            found.push((iteration, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn cipher(identity: &Identity, salt: &[u8]) -> Option<LessSafeKey> {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(identity.secret().reveal());
    let expanded = extracted
        .expand(&[b"ringlet checkpoint"], &CHACHA20_POLY1305)
        .ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Writes a checkpoint that appears whole or not at all, and that no other user may read. The disk has it when this
/// returns.
pub fn write(
    dir: &Path,
    role: Role,
    session: &Session,
    checkpoint: &Checkpoint,
    identity: &Identity,
) -> Result<(), Failure> {
    let path = path(dir, role, checkpoint.id.iteration);
    let lost = |error: String| Failure::unwritten(path.display(), &io::Error::other(error));
    let mut head = [0; MAGIC.len() + SALT];
    head[..MAGIC.len()].copy_from_slice(&MAGIC);
    getrandom::fill(&mut head[MAGIC.len()..]).map_err(|error| lost(error.to_string()))?;
    let text = Head::new(role, session, checkpoint.id);
    let text = postcard::to_stdvec(&text).map_err(|error| lost(error.to_string()))?;
    let len = head.len() + 4 + text.len() + checkpoint.state.len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(len + TAG));
    bytes.extend(head);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text);
    bytes.extend(checkpoint.state.iter());
    let sealed = cipher(identity, &head[MAGIC.len()..]).and_then(|cipher| {
        let body = &mut bytes[head.len()..];
        let tag = cipher.seal_in_place_separate_tag(nonce(), Aad::from(head), body);
        tag.ok()
    });
    let tag = sealed.ok_or_else(|| lost("it cannot be sealed".to_owned()))?;
    bytes.extend(tag.as_ref());
    Staged::write_secret(&path, &bytes)?.appear()?;
    // The name too must be on the disk. Systems that cannot say so still have the file.
    let _ = fs::File::open(dir).and_then(|dir| dir.sync_all());
    Ok(())
}

/// Reads a checkpoint. Fails if the file is damaged or of another identity, and if it is of another session: then the
/// error names the parameter that differs.
pub fn read(
    path: &Path,
    role: Role,
    session: &Session,
    identity: &Identity,
) -> Result<Checkpoint, Failure> {
    let (head, checkpoint) = unseal(path, role, identity)?;
    head.check_session(path, session)?;
    Ok(checkpoint)
}

/// Reads a checkpoint of any session, which comes with it. Fails if the file is damaged or of another identity.
pub fn open(
    path: &Path,
    role: Role,
    identity: &Identity,
) -> Result<(Session, Checkpoint), Failure> {
    let (head, checkpoint) = unseal(path, role, identity)?;
    Ok((head.session, checkpoint))
}

fn unseal(path: &Path, role: Role, identity: &Identity) -> Result<(Head, Checkpoint), Failure> {
    let damaged = |why: &str| {
        Failure::new(
            format!("{} is no checkpoint of this party: {why}", path.display()),
            "give the directory and the identity with which it was made",
        )
    };
    let bytes = fs::read(path).map_err(|error| damaged(&error.to_string()))?;
    let mut bytes = Zeroizing::new(bytes);
    let (head, sealed) = bytes
        .split_at_mut_checked(MAGIC.len() + SALT)
        .filter(|(head, _)| head[..MAGIC.len()] == MAGIC)
        .ok_or_else(|| damaged("it does not begin like one"))?;
    let opened = cipher(identity, &head[MAGIC.len()..]).and_then(|cipher| {
        let opened = cipher.open_in_place(nonce(), Aad::from(&*head), sealed);
        opened.ok().map(|opened| &*opened)
    });
    let opened =
        opened.ok_or_else(|| damaged("it is damaged, or sealed under another identity"))?;
    let text_and_state = opened.split_first_chunk::<4>().and_then(|(len, rest)| {
        let len = u32::from_le_bytes(*len) as usize;
        rest.split_at_checked(len)
    });
    let (text, state) = text_and_state.ok_or_else(|| damaged("it is cut off"))?;
    let head: Head =
        postcard::from_bytes(text).map_err(|_| damaged("it was made by another version"))?;
    if !head.is_of(role) {
        return Err(damaged(
            "it was made by another version, or by the other party",
        ));
    }
    let (id, state) = (head.id, Zeroizing::new(state.to_vec()));
    Ok((head, Checkpoint { id, state }))
}
