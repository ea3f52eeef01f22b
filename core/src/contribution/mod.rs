//! Contributions: samples that their owner masks once and sends away, for two servers and a dealer to train on.
//!
//! For a sample x with a one-hot label y the owner draws masks from two keys, K0 and K1, and sends E = x + A0 + A1 and
//! F = y + B0 + B1 to both servers, where Aj and Bj are streams of Kj. Server j, which is party Pj of a training, learns Kj, and
//! the dealer learns both. So a server sees a value that the other's mask hides, and the dealer, which can take the masks off,
//! never sees E nor F. E is what a training opens: it costs no byte more.
//!
//! An owner sends contributions in uploads. All keys of an upload come from two seeds, which HPKE (RFC 9180, base mode:
//! X25519, HKDF-SHA256, ChaCha20-Poly1305) seals to the identities of P0, P1 and the dealer:
//!
//! ```text
//! "RLC1" (4) · task (16) · upload (16) · number of contributions (2) · contributions · seals (80 + 80 + 112)
//! ```
//!
//! A contribution is the words of E, then those of F, each in little-endian order. A seal is the encapsulated key (32), the
//! sealed seed or seeds, and the tag (16); it covers the hash of all that comes before the seals. The dealer gets the hash and its
//! seal alone. Numbers of samples, task and upload are public.

#[cfg(feature = "uploads")]
mod received;
#[cfg(feature = "uploads")]
mod seal;
mod task;
#[cfg(all(test, feature = "uploads"))]
mod tests;
#[cfg(feature = "uploads")]
mod upload;

#[cfg(feature = "uploads")]
pub use received::{Header, Received, UploadError};
#[cfg(feature = "uploads")]
pub use seal::{Commitment, DEALER_SEAL_LEN, PARTY_SEAL_LEN, open_dealer_seal, open_party_seal};
pub use task::{CollectionTask, TaskError, TaskId};
#[cfg(feature = "uploads")]
pub use upload::Upload;

use crate::{
    num::ring::Word,
    prg::{self, Address, Key},
};

/// Gate numbers of the streams of a contribution's key.
const PIXELS: u32 = 0;
const LABEL: u32 = 1;

/// The name of an upload. An owner that is not sure whether an upload arrived sends it again under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub [u8; 16]);

/// What of a contribution a mask hides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The sample: as many words as the model's input has values.
    Pixels,
    /// The one-hot label: a word for each class.
    Label,
}

/// Writes the words `first`, `first + 1`, ... of one party's part of a mask to `out`. `key` is the contribution's key of that
/// party.
pub fn mask<W: Word>(key: &[u8; Key::LEN], part: Part, first: u64, out: &mut [W]) {
    let gate = match part {
        Part::Pixels => PIXELS,
        Part::Label => LABEL,
    };
    let address = Address {
        iteration: 0,
        gate,
        wire: 0,
    };
    prg::fill_once(&Key::new(*key), address, first, out);
}

/// The key of the contribution with this number in its upload, at the party whose seed it is.
pub fn key(seed: &Key, number: u16) -> Key {
    let address = Address {
        iteration: number.into(),
        gate: 0,
        wire: 0,
    };
    let Ok(key) = Key::filled(|bytes| {
        prg::fill_once(seed, address, 0, bytes);
        Ok::<_, core::convert::Infallible>(())
    });
    key
}
