//! The signature of an upload. It follows the upload's bytes: the owner's name (8), then an Ed25519 signature (64).
//!
//! In HTTP headers the same would take twice the bytes, and an upload that somebody else passes on would lose it.

use ed25519_dalek::{Signature, Signer, SigningKey};
use ringlet_core::contribution::TaskId;

use super::refusal::Refusal;
use crate::config::task_file::{Contributors, OwnerName, owner_name};

/// Bytes of an owner's name and signature.
pub const SIGNED_LEN: usize = size_of::<OwnerName>() + Signature::BYTE_SIZE;

/// What is signed: the task's name, and the hash that the upload's seals are bound to.
fn message(task: TaskId, hash: &[u8; 32]) -> [u8; 64] {
    let mut message = [0; 64];
    message[..16].copy_from_slice(b"ringlet upload 1");
    message[16..32].copy_from_slice(&task.0);
    message[32..].copy_from_slice(hash);
    message
}

/// Signs an upload with this hash.
pub fn sign(key: &SigningKey, task: TaskId, hash: &[u8; 32]) -> [u8; SIGNED_LEN] {
    let mut signed = [0; SIGNED_LEN];
    let (name, signature) = signed.split_at_mut(size_of::<OwnerName>());
    name.copy_from_slice(&owner_name(&key.verifying_key()));
    signature.copy_from_slice(&key.sign(&message(task, hash)).to_bytes());
    signed
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
    let verified = owner.key.verify_strict(&message(task, hash), &signature);
    verified.map_err(|_| Refusal::BadSignature)?;
    Ok(Some(*name))
}
