//! An upload as a server reads it.

use clatter::{crypto::hash::Blake2s, traits::Hash};

use super::{CollectionTask, DEALER_SEAL_LEN, PARTY_SEAL_LEN, TaskId, UploadError, UploadId};

/// The first bytes of an upload. The last one is the version.
const FORMAT: [u8; 4] = *b"RLC2";
/// Bytes before the contributions.
pub(super) const HEADER_LEN: usize = FORMAT.len() + 16 + 16 + 2;
/// Bytes after them.
const SEALS_LEN: usize = 2 * PARTY_SEAL_LEN + DEALER_SEAL_LEN;

/// What comes first in an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The task that it is for.
    pub task: TaskId,
    /// Its name.
    pub id: UploadId,
    /// Its contributions.
    pub count: u16,
}

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = HEADER_LEN;

    /// The header's bytes.
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&FORMAT);
        bytes[4..20].copy_from_slice(&self.task.0);
        bytes[20..36].copy_from_slice(&self.id.0);
        bytes[36..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// The header at the start of an upload's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, UploadError> {
        let Some((&[a, b, c, d, ref rest @ ..], _)) = bytes.split_first_chunk::<HEADER_LEN>()
        else {
            return Err(UploadError::Format);
        };
        if [a, b, c, d] != FORMAT {
            return Err(UploadError::Format);
        }
        let (mut task, mut id) = ([0; 16], [0; 16]);
        task.copy_from_slice(&rest[..16]);
        id.copy_from_slice(&rest[16..32]);
        Ok(Header {
            task: TaskId(task),
            id: UploadId(id),
            count: u16::from_le_bytes([rest[32], rest[33]]),
        })
    }

    /// Bytes of a whole upload with this header.
    pub fn upload_len(&self, task: &CollectionTask) -> usize {
        HEADER_LEN + usize::from(self.count) * task.contribution_len() + SEALS_LEN
    }
}

/// An upload of which the form has been checked. Its seals have not.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The header.
    pub header: Header,
    /// The contributions, one after the other.
    pub contributions: &'a [u8],
    /// The seals to P0 and P1.
    pub party_seals: [&'a [u8]; 2],
    /// The seal to the dealer.
    pub dealer_seal: &'a [u8],
    /// The hash that the seals are bound to.
    pub hash: [u8; 32],
}

impl<'a> Received<'a> {
    /// Reads the bytes of an upload to this task, which can be used. Fails unless format, task and length are right.
    pub fn read(task: &CollectionTask, bytes: &'a [u8]) -> Result<Self, UploadError> {
        let header = Header::read(bytes)?;
        if header.task != task.id() {
            return Err(UploadError::OtherTask);
        }
        if header.count == 0 || bytes.len() != header.upload_len(task) {
            return Err(UploadError::Length);
        }
        let (sealed, seals) = bytes.split_at(bytes.len() - SEALS_LEN);
        let (p0, rest) = seals.split_at(PARTY_SEAL_LEN);
        let (p1, dealer_seal) = rest.split_at(PARTY_SEAL_LEN);
        let mut of_sealed = Blake2s::default();
        of_sealed.input(sealed);
        let mut hash = [0; 32];
        hash.copy_from_slice(of_sealed.result().as_slice());
        Ok(Received {
            header,
            contributions: &sealed[HEADER_LEN..],
            party_seals: [p0, p1],
            dealer_seal,
            hash,
        })
    }
}
