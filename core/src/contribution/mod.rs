//! Contributions: samples that their owner masks once and sends away, for two servers and a dealer to train on.
//!
//! For a sample x with a one-hot label y the owner draws masks from two keys, K0 and K1, and sends E = x + A0 + A1 and
//! F = y + B0 + B1 to both servers, where Aj and Bj are streams of Kj. Server j, which is party Pj of a training, learns Kj, and
//! the dealer learns both. So a server sees a value that the other's mask hides, and the dealer, which can take the masks off,
//! never sees E nor F.
//!
//! The masks are uniform in a ring of 16, 24 or 32 bits, the narrowest that holds the task's numbers with two bits to spare. It
//! does not depend on the ring of a training, which turns the masked values into shares in its own: see
//! [`gate::contributed`](crate::gate::contributed).
//!
//! An owner sends contributions in uploads. All keys of an upload come from two seeds, which HPKE (RFC 9180, base mode:
//! X25519, HKDF-SHA256, ChaCha20-Poly1305) seals to the identities of P0, P1 and the dealer:
//!
//! ```text
//! "RLC2" (4) · task (16) · upload (16) · number of contributions (2) · contributions · seals (80 + 80 + 112)
//! ```
//!
//! A contribution is the values of E, then those of F, each in two to four bytes in little-endian order. A seal is the encapsulated key (32), the
//! sealed seed or seeds, and the tag (16); it covers the hash of all that comes before the seals. The dealer gets the hash and its
//! seal alone. Numbers of samples, task and upload are public.

#[cfg(feature = "uploads")]
mod received;
#[cfg(feature = "uploads")]
mod sample_uploads;
#[cfg(feature = "uploads")]
mod seal;
#[cfg(feature = "signatures")]
mod signature;
mod task;
#[cfg(feature = "uploads")]
pub mod task_image;
#[cfg(all(test, feature = "uploads"))]
mod tests;
#[cfg(feature = "uploads")]
mod upload;
#[cfg(feature = "uploads")]
mod upload_error;

#[cfg(feature = "uploads")]
pub use received::{Header, Received};
#[cfg(feature = "uploads")]
pub use sample_uploads::SampleUploads;
#[cfg(feature = "uploads")]
pub use seal::{Commitment, DEALER_SEAL_LEN, PARTY_SEAL_LEN, open_dealer_seal, open_party_seal};
#[cfg(feature = "signatures")]
pub use signature::{OWNER_NAME_LEN, SIGNED_LEN, owner_key, sign, signed_message};
pub use task::{CollectionTask, TaskError, TaskId};
#[cfg(feature = "uploads")]
pub use task_image::{TaskImage, TaskImageError};
#[cfg(feature = "uploads")]
pub use upload::Upload;
#[cfg(feature = "uploads")]
pub use upload_error::UploadError;

pub use crate::prg::contributed::{Part, key, mask};

/// The name of an upload. An owner that is not sure whether an upload arrived sends it again under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub [u8; 16]);
