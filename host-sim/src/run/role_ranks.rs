//! The ranks of a role, be they threads or processes.

use ringlet_core::{
    num::Word,
    session::{Rank, RankLost, Ranks},
};

use super::{mpi_ranks::MpiRanks, ranks::ThreadRanks};

/// What a rank exchanges with the others of its role. It is one type for both kinds, so that the protocol is compiled once.
pub enum RoleRanks<'a> {
    /// The others are threads of this process, or there are none.
    Threads(&'a mut ThreadRanks),
    /// The others are processes.
    Processes(&'a mut MpiRanks),
}

impl Ranks for RoleRanks<'_> {
    fn rank(&self) -> Rank {
        match self {
            RoleRanks::Threads(ranks) => ranks.rank(),
            RoleRanks::Processes(ranks) => ranks.rank(),
        }
    }

    fn broadcast(&mut self, from: u16, bytes: &mut [u8]) -> Result<(), RankLost> {
        match self {
            RoleRanks::Threads(ranks) => ranks.broadcast(from, bytes),
            RoleRanks::Processes(ranks) => ranks.broadcast(from, bytes),
        }
    }

    fn sum<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost> {
        match self {
            RoleRanks::Threads(ranks) => ranks.sum(words),
            RoleRanks::Processes(ranks) => ranks.sum(words),
        }
    }
}
