//! The signature of an upload. It follows the upload's bytes: the owner's name (8), then an Ed25519 signature (64).
//!
//! In HTTP headers the same would take twice the bytes, and an upload that somebody else passes on would lose it.

use ed25519_dalek::{Signature, SigningKey};
use ringlet_core::{
    contribution::{self, TaskId, signed_message},
    prg::Key,
};

pub use ringlet_core::contribution::SIGNED_LEN;

use super::refusal::Refusal;
use crate::config::task_file::{Contributors, OwnerName};

/// Signs an upload with this hash.
pub fn sign(key: &SigningKey, task: TaskId, hash: &[u8; 32]) -> [u8; SIGNED_LEN] {
    contribution::sign(&Key::new(key.to_bytes()), task, hash)
}

/// The owner that has signed an upload with this hash; none where anybody may contribute. `signed` follows the upload's bytes.
pub fn owner(
    contributors: &Contributors,
    task: TaskId,
    hash: &[u8; 32],
    signed: &[u8],
) -> Result<Option<OwnerName>, Refusal> {
    let owners = match contributors {
        Contributors::Anybody if signed.is_empty() => return Ok(None),
        Contributors::Anybody => return Err(Refusal::Malformed),
        Contributors::Registered(_) if signed.is_empty() => return Err(Refusal::UnknownOwner),
        Contributors::Registered(owners) => owners,
    };
    let (name, signature) = signed.split_first_chunk().ok_or(Refusal::Malformed)?;
    let owner = owners.get(name).ok_or(Refusal::UnknownOwner)?;
    let signature = Signature::from_slice(signature).map_err(|_| Refusal::Malformed)?;
    let verified = owner
        .key
        .verify_strict(&signed_message(task, hash), &signature);
    verified.map_err(|_| Refusal::BadSignature)?;
    Ok(Some(*name))
}
