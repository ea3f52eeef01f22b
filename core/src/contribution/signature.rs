//! The signature of an upload, where a task names owners. It follows the upload's bytes: the owner's name (8), which is the start
//! of its public key, then an Ed25519 signature (64).

use ed25519_dalek::{Signature, Signer, SigningKey};

use super::TaskId;
use crate::prg::Key;

/// Bytes of an owner's name.
pub const OWNER_NAME_LEN: usize = 8;
/// Bytes of an owner's name and signature.
pub const SIGNED_LEN: usize = OWNER_NAME_LEN + Signature::BYTE_SIZE;

/// What is signed: the task's name, and the hash that the upload's seals are bound to.
pub fn signed_message(task: TaskId, hash: &[u8; 32]) -> [u8; 64] {
    let mut message = [0; 64];
    message[..16].copy_from_slice(b"ringlet upload 1");
    message[16..32].copy_from_slice(&task.0);
    message[32..].copy_from_slice(hash);
    message
}

/// The public key of the owner that has this secret.
pub fn owner_key(secret: &Key) -> [u8; 32] {
    let key = SigningKey::from_bytes(secret.reveal());
    key.verifying_key().to_bytes()
}

/// The name and the signature of the owner that has this secret, for an upload with this hash.
#[inline(never)]
pub fn sign(secret: &Key, task: TaskId, hash: &[u8; 32]) -> [u8; SIGNED_LEN] {
    let key = SigningKey::from_bytes(secret.reveal());
    let public = key.verifying_key().to_bytes();
    let mut signed = [0; SIGNED_LEN];
    let (name, signature) = signed.split_at_mut(OWNER_NAME_LEN);
    name.copy_from_slice(&public[..OWNER_NAME_LEN]);
    signature.copy_from_slice(&key.sign(&signed_message(task, hash)).to_bytes());
    signed
}
