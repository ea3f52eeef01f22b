//! What the leader asks helper and dealer, and what they answer: a length (4 bytes), then the postcard format.

use embedded_io::{Read, Write};
use ringlet_core::net::Link;
use serde::{Deserialize, Serialize};

use super::lists::List;
use crate::error::Failure;

/// The most bytes of a message: a group of uploads, or one that is as large as a task may allow.
pub const MOST_BYTES: usize = 24 << 20;

/// An upload as a follower gets it.
#[derive(Serialize, Deserialize)]
pub enum Offer<'a> {
    /// To the helper: all of its bytes, the signature included.
    Whole(&'a [u8]),
    /// To the dealer: no masked value.
    Sealed {
        /// Its name.
        id: [u8; 16],
        /// Its contributions.
        count: u16,
        /// The hash that its seals are bound to.
        hash: [u8; 32],
        /// The hash of all its bytes.
        digest: [u8; 32],
        /// The dealer's seal.
        seal: &'a [u8],
        /// The owner's name and signature, if the task names owners.
        signed: &'a [u8],
    },
}

/// What the leader asks.
#[derive(Serialize, Deserialize)]
pub enum Request<'a> {
    /// Open these uploads' seals, and keep what they hold in mind.
    Check(#[serde(borrow)] Vec<Offer<'a>>),
    /// Keep these uploads of the last check on the disk: the number of each, and the dealer's commitments to both seeds.
    Keep(Vec<(u32, [[u8; 16]; 2])>),
    /// Begin a list.
    BeginList(u32),
    /// Add these uploads to it.
    Listed(Vec<[u8; 16]>),
    /// Keep the list if it is this one.
    EndList(List),
    /// Remove these uploads.
    Remove(Vec<[u8; 16]>),
}

/// What a follower answers.
#[derive(Serialize, Deserialize)]
pub enum Reply {
    /// Commitments to the seeds of each upload of a check, P0's and P1's, as far as this role has them; nothing if its seal
    /// does not open.
    Checked(Vec<Option<[Option<[u8; 16]>; 2]>>),
    /// Done, and on the disk.
    Done,
    /// So many uploads of a list are not there; a list with them is not kept.
    Missing(u64),
    /// So many owners are in a list, and the task asks for more.
    TooFewOwners(u64),
    /// It cannot be done.
    Failed(String),
}

/// Sends a message.
pub fn send<T: Read + Write>(link: &mut Link<T>, message: &impl Serialize) -> Result<(), Failure> {
    let bytes = postcard::to_stdvec(message).map_err(|_| too_long())?;
    if bytes.len() > MOST_BYTES {
        return Err(too_long());
    }
    link.send(&(bytes.len() as u32).to_le_bytes())?;
    link.send(&bytes)?;
    Ok(link.flush()?)
}

/// Receives the bytes of a message into `bytes`.
pub fn receive<T: Read + Write>(link: &mut Link<T>, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let mut len = [0; 4];
    link.receive(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > MOST_BYTES {
        return Err(too_long());
    }
    bytes.resize(len, 0);
    Ok(link.receive(bytes)?)
}

/// Reads a message that came over `link`.
pub fn read<'a, T: Read + Write, M: Deserialize<'a>>(
    link: &Link<T>,
    bytes: &'a [u8],
) -> Result<M, Failure> {
    postcard::from_bytes(bytes).map_err(|_| {
        Failure::new(
            format!("{} sent what is no message of a collection", link.remote()),
            "run the same version of the program at all roles",
        )
    })
}

fn too_long() -> Failure {
    Failure::new(
        "a message between the roles is too long",
        "run the same version of the program at all roles",
    )
}
