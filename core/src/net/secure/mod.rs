//! Secure links: the Noise protocol (revision 34) over any transport, with the pattern KK.
//!
//! Both ends know each other's public identity. [`connect`] and [`accept`] run the handshake
//! `Noise_KK_25519_<cipher>_BLAKE2s`, whose prologue binds whatever both ends have agreed on before. After it each end
//! has a [`SecureTransport`]: what is written leaves in sealed frames, and a frame that was altered, repeated, left out
//! or put in another place is an error. [`Finish::finish`](super::Finish::finish) confirms the end of a session to both ends.
//!
//! The caller brings the cipher ([`Aead`]); [`ChaChaPoly`] runs everywhere.

mod aead;
mod cost;
mod handshake;
mod identity;
mod suite;
mod transport;

pub use aead::{Aead, ChaChaPoly, Forged, TAG_LEN};
pub use cost::{frame_bytes, handshake_bytes, wire_bytes};
pub use handshake::{Keys, Prologue, accept, connect};
pub use identity::{Identity, PublicIdentity};
pub use suite::Suite;
pub use transport::{SecureError, SecureTransport};

#[cfg(test)]
mod tests;
