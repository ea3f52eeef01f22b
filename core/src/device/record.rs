//! A device's record: its secret, the roles that it talks to, and its policy, as one block of bytes for its flash.
//!
//! ```text
//! "RNGS" · version (2 bytes, little-endian) · length of the body (2)
//! the body, in postcard format
//! CRC-32 (IEEE) of everything before (4)
//! ```

use heapless::Vec;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::Policy;
use crate::{
    net::secure::PublicIdentity,
    num::crc::crc32,
    prg::{Key, device_key::is_programmed},
    share::Role,
};

const MAGIC: [u8; 4] = *b"RNGS";
const VERSION: u16 = 1;
const HEAD_LEN: usize = 8;
const CHECK_LEN: usize = 4;

/// The most bytes of a record: what a device reads of its flash.
pub const MAX_RECORD_LEN: usize = 512;

/// The most parties that a device may meet.
pub const MAX_PEERS: usize = 4;

/// Another party that a device may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The other party's role.
    pub role: Role,
    /// Its public identity.
    pub identity: PublicIdentity,
}

/// The other parties that a device may meet.
pub type Peers = Vec<Peer, MAX_PEERS>;

/// What is programmed into a device apart from firmware and samples.
#[derive(Clone)]
pub struct Record {
    /// The root secret, from which all secrets of the device derive.
    pub root: Key,
    /// The dealer's public identity.
    pub dealer: PublicIdentity,
    /// The other parties that the device may meet.
    pub peers: Peers,
    /// What the device agrees to.
    pub policy: Policy,
}

/// Why a record cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RecordError {
    /// The memory does not begin with a record. Remedy: program one.
    Missing,
    /// The record has another version of the format. Remedy: make a new one.
    Version(u16),
    /// The record is cut off, its CRC does not match, or its secret is blank. Remedy: program it again.
    Damaged,
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordError::Missing => f.write_str("none is programmed"),
            RecordError::Version(version) => write!(
                f,
                "its record has version {version}, the firmware reads {VERSION}"
            ),
            RecordError::Damaged => f.write_str("its record is damaged"),
        }
    }
}

impl core::error::Error for RecordError {}

/// A record's body.
#[derive(Serialize, Deserialize)]
struct Body {
    root: [u8; Key::LEN],
    dealer: PublicIdentity,
    peers: Peers,
    policy: Policy,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.root.zeroize();
    }
}

impl Record {
    /// The record of a device that contributes and is no party: it meets nobody.
    pub fn of_contributor(root: Key) -> Self {
        Record {
            root,
            // Nobody has this identity.
            dealer: PublicIdentity([0; 32]),
            peers: Peers::new(),
            policy: Policy::default(),
        }
    }

    /// Writes the record to `out`. Returns its length.
    pub fn encode(&self, out: &mut Zeroizing<[u8; MAX_RECORD_LEN]>) -> usize {
        let body = Body {
            root: *self.root.reveal(),
            dealer: self.dealer,
            peers: self.peers.clone(),
            policy: self.policy.clone(),
        };
        let (head, rest) = out.split_at_mut(HEAD_LEN);
        // The largest record is shorter than the buffer: a test fills one.
        let len = postcard::to_slice(&body, rest).map_or(0, |body| body.len());
        head[..4].copy_from_slice(&MAGIC);
        head[4..6].copy_from_slice(&VERSION.to_le_bytes());
        head[6..].copy_from_slice(&(len as u16).to_le_bytes());
        let end = HEAD_LEN + len;
        let check = crc32([&out[..end]]).to_le_bytes();
        out[end..end + CHECK_LEN].copy_from_slice(&check);
        end + CHECK_LEN
    }

    /// Reads the record at the start of `memory`, which may be longer.
    #[inline(never)]
    pub fn decode(memory: &[u8]) -> Result<Self, RecordError> {
        let head: &[u8; HEAD_LEN] = memory.first_chunk().ok_or(RecordError::Missing)?;
        if head[..4] != MAGIC {
            return Err(RecordError::Missing);
        }
        let version = u16::from_le_bytes([head[4], head[5]]);
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let end = HEAD_LEN + usize::from(u16::from_le_bytes([head[6], head[7]]));
        let bytes = memory.get(..end).ok_or(RecordError::Damaged)?;
        let check = memory.get(end..end + CHECK_LEN);
        if check != Some(&crc32([bytes]).to_le_bytes()) {
            return Err(RecordError::Damaged);
        }
        let body: Body =
            postcard::from_bytes(&bytes[HEAD_LEN..]).map_err(|_| RecordError::Damaged)?;
        let root = Key::new(body.root);
        if !is_programmed(&root) {
            return Err(RecordError::Damaged);
        }
        Ok(Record {
            root,
            dealer: body.dealer,
            peers: body.peers.clone(),
            policy: body.policy.clone(),
        })
    }

    /// Whether the device may meet the party of `role` with this identity.
    pub fn permits(&self, role: Role, identity: PublicIdentity) -> bool {
        self.peers.contains(&Peer { role, identity })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{ModelId, policy::MAX_MODELS},
        *,
    };

    fn full() -> Record {
        let mut policy = Policy {
            reveal_to: [true; 2],
            least_batch: u32::MAX,
            least_audited_batch: u32::MAX,
            most_sessions: u32::MAX,
            ..Policy::default()
        };
        while policy.models.len() < MAX_MODELS {
            policy.models.push(ModelId([0xFF; 32])).unwrap();
        }
        let peer = |byte| Peer {
            role: Role::P1,
            identity: PublicIdentity([byte; 32]),
        };
        Record {
            root: Key::new([1; 32]),
            dealer: PublicIdentity([2; 32]),
            peers: [3, 4, 5, 6].map(peer).into_iter().collect(),
            policy,
        }
    }

    fn encoded(record: &Record) -> ([u8; MAX_RECORD_LEN], usize) {
        let mut bytes = Zeroizing::new([0xFF; MAX_RECORD_LEN]);
        let len = record.encode(&mut bytes);
        (*bytes, len)
    }

    #[test]
    fn the_largest_record_is_read_as_it_was_written() {
        let record = full();
        let (bytes, len) = encoded(&record);
        assert!(len > HEAD_LEN + CHECK_LEN, "the body did not fit");
        let read = Record::decode(&bytes).ok().unwrap();
        assert_eq!(read.root.reveal(), record.root.reveal());
        assert_eq!(
            (read.dealer, &read.peers, &read.policy),
            (record.dealer, &record.peers, &record.policy)
        );
        assert!(read.permits(Role::P1, PublicIdentity([4; 32])));
        assert!(!read.permits(Role::P0, PublicIdentity([4; 32])));
        assert!(!read.permits(Role::P1, PublicIdentity([7; 32])));
    }

    #[test]
    fn blank_and_damaged_memory_is_no_record() {
        let error = |memory: &[u8]| Record::decode(memory).err();
        assert_eq!(error(&[0xFF; 64]), Some(RecordError::Missing));
        assert_eq!(error(&[]), Some(RecordError::Missing));
        let (bytes, len) = encoded(&full());
        for byte in 6..len {
            let mut damaged = bytes;
            damaged[byte] ^= 4;
            assert_eq!(error(&damaged), Some(RecordError::Damaged), "{byte}");
        }
        assert_eq!(error(&bytes[..len - 1]), Some(RecordError::Damaged));
        let mut other = bytes;
        other[4] = 9;
        assert_eq!(error(&other), Some(RecordError::Version(9)));
        let blank = Record {
            root: Key::new([0xFF; 32]),
            ..full()
        };
        assert_eq!(error(&encoded(&blank).0), Some(RecordError::Damaged));
    }
}
