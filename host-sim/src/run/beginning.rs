//! How the processes of a role begin: the first rank meets the first ranks of the other roles and tells those of its own
//! role, and each of them then meets the same rank of the others.

use std::net::TcpListener;

use ringlet_core::{
    Role,
    prg::Key,
    session::{RankLost, Ranks, RunError, handshake::Hello},
};
use zeroize::Zeroizing;

use super::{
    meeting::{FurtherRanksOf, RankReception},
    mpi_ranks::MpiRanks,
};
use crate::{
    error::Failure,
    links::{connect::Endpoint, reception::MakeEnd, secure::SecureEnd},
};

/// What the first rank of a role knows once it has met the other roles: the session, `KEYS` keys, and the iteration that
/// comes first.
pub struct Beginning<const KEYS: usize> {
    /// What a party of the session has said.
    pub hello: Hello,
    /// The keys of the role's session.
    pub keys: [Key; KEYS],
    /// The iteration that comes first.
    pub first: u32,
}

/// Another process of this role has ended, or is of another version.
fn lost(_: RankLost) -> Failure {
    RunError::RankLost.into()
}

impl<const KEYS: usize> Beginning<KEYS> {
    /// Gives this to the other ranks, as the first one.
    pub fn give(&self, ranks: &mut MpiRanks) -> Result<(), Failure> {
        let mut hello = postcard::to_stdvec(&self.hello).map_err(|_| lost(RankLost))?;
        let mut len = (hello.len() as u32).to_le_bytes();
        ranks.broadcast(0, &mut len).map_err(lost)?;
        ranks.broadcast(0, &mut hello).map_err(lost)?;
        let mut first = self.first.to_le_bytes();
        ranks.broadcast(0, &mut first).map_err(lost)?;
        for key in &self.keys {
            let mut bytes = Zeroizing::new(*key.reveal());
            ranks.broadcast(0, &mut bytes[..]).map_err(lost)?;
        }
        Ok(())
    }

    /// Takes it from the first rank, which gives it when all first ranks have met.
    pub fn take(ranks: &mut MpiRanks) -> Result<Self, Failure> {
        let (mut len, mut first) = ([0; 4], [0; 4]);
        ranks.broadcast(0, &mut len).map_err(lost)?;
        let mut hello = vec![0; u32::from_le_bytes(len) as usize];
        ranks.broadcast(0, &mut hello).map_err(lost)?;
        ranks.broadcast(0, &mut first).map_err(lost)?;
        let mut keys = [(); KEYS].map(|()| Key::new([0; Key::LEN]));
        for key in &mut keys {
            *key = Key::filled(|bytes| ranks.broadcast(0, bytes)).map_err(lost)?;
        }
        Ok(Beginning {
            hello: postcard::from_bytes(&hello).map_err(|_| lost(RankLost))?,
            keys,
            first: u32::from_le_bytes(first),
        })
    }
}

/// The links to this rank of each of the parties `roles`, which come to the listener with the session of `hello`.
pub fn await_rank<const PARTIES: usize>(
    place: (&TcpListener, &Endpoint),
    hello: &Hello,
    roles: &[Role; PARTIES],
    (ranks, make_end): (&MpiRanks, MakeEnd),
) -> Result<[SecureEnd; PARTIES], Failure> {
    let (index, count) = (ranks.rank().index(), ranks.rank().count());
    let of = FurtherRanksOf {
        roles,
        count,
        indices: index..index + 1,
    };
    let ends = RankReception::open(place, hello, of, make_end)?.all()?;
    ends.try_into().map_err(|_| lost(RankLost))
}
