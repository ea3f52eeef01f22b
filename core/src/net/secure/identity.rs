//! Identities: the X25519 key pairs by which the ends of a secure link know each other.

use clatter::{bytearray::ByteArray, crypto::dh::X25519, traits::Dh};
use serde::{Deserialize, Serialize};

use crate::prg::Key;

/// The public half of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIdentity(pub [u8; 32]);

/// An identity: a secret that one role, device or owner has, and its public half.
#[derive(Clone)]
pub struct Identity {
    secret: Key,
    public: PublicIdentity,
}

impl Identity {
    /// The identity of a secret: 32 bytes that nobody can guess.
    pub fn new(secret: Key) -> Self {
        let public = X25519::pubkey(&ByteArray::from_slice(secret.reveal()));
        Identity {
            public: PublicIdentity(public),
            secret,
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicIdentity {
        self.public
    }

    /// The secret half.
    pub fn secret(&self) -> &Key {
        &self.secret
    }
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Identity").field(&self.public).finish()
    }
}
