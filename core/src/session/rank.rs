//! Ranks: the threads or processes of one role that share the work of an iteration.
//!
//! Rank r of a party speaks with rank r of the other party, and that of P1 with rank r of the dealer, over links of their
//! own; under SecureNN rank r of both parties speaks with rank r of the assistant. A rank works on every n-th micro-batch.
//! Masks are addressed by micro-batch, so the model is the same to the bit for any number of ranks. The first rank alone
//! keeps the model: it gives the others the weights, which it opens with a dealer, adds up all gradients and updates.

use serde::{Deserialize, Serialize};

use crate::num::ring::Word;

use super::Batch;

/// The most ranks of a role.
pub const MAX_RANKS: u16 = 256;

/// One of the ranks of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rank {
    index: u16,
    count: u16,
}

impl Rank {
    /// The rank of a role that has no other.
    pub const ONLY: Rank = Rank { index: 0, count: 1 };

    /// Rank `index` of `count`; none if there is no such rank.
    pub const fn new(index: u16, count: u16) -> Option<Rank> {
        match index < count && count <= MAX_RANKS {
            true => Some(Rank { index, count }),
            false => None,
        }
    }

    /// Its number, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many ranks the role has.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Whether it is the first rank, which keeps the model.
    pub const fn is_first(self) -> bool {
        self.index == 0
    }

    /// The number of the rank that works on a micro-batch, counted from 0 within its batch.
    pub fn of_micro_batch(self, micro_batch: usize) -> u16 {
        (micro_batch % usize::from(self.count)) as u16
    }

    /// Whether this rank works on a micro-batch.
    pub fn takes(self, micro_batch: usize) -> bool {
        self.of_micro_batch(micro_batch) == self.index
    }

    /// The micro-batches of `size` rows of a batch that this rank works on, as [`Batch::micro_batches`] gives them.
    pub fn micro_batches(self, batch: Batch, size: u32) -> impl Iterator<Item = (u32, u32)> {
        let all = batch.micro_batches(size).enumerate();
        all.filter(move |&(index, _)| self.takes(index))
            .map(|(_, micro_batch)| micro_batch)
    }
}

impl TryFrom<(u16, u16)> for Rank {
    type Error = &'static str;

    fn try_from((index, count): (u16, u16)) -> Result<Self, Self::Error> {
        Rank::new(index, count).ok_or("no such rank")
    }
}

impl From<Rank> for (u16, u16) {
    fn from(rank: Rank) -> Self {
        (rank.index, rank.count)
    }
}

/// Another rank of the role has ended before the run has. It knows the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RankLost;

/// What the ranks of a role do together. All ranks call the same functions, in the same order and with the same lengths.
///
/// What they exchange is as secret as the role's shares: it stays on the role's machines.
pub trait Ranks {
    /// This rank.
    fn rank(&self) -> Rank;

    /// Gives all ranks the bytes of the rank `from`.
    fn broadcast(&mut self, from: u16, bytes: &mut [u8]) -> Result<(), RankLost>;

    /// Adds up the words of all ranks modulo 2^[`Word::BITS`] at the first rank. Those of the others become zero.
    fn sum<W: Word>(&mut self, words: &mut [W]) -> Result<(), RankLost>;
}

/// The ranks of a role that has only one.
pub struct OneRank;

impl Ranks for OneRank {
    fn rank(&self) -> Rank {
        Rank::ONLY
    }

    fn broadcast(&mut self, _: u16, _: &mut [u8]) -> Result<(), RankLost> {
        Ok(())
    }

    fn sum<W: Word>(&mut self, _: &mut [W]) -> Result<(), RankLost> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_micro_batch_has_one_rank() {
        for count in 1..=MAX_RANKS {
            for micro in 0..600 {
                let ranks = (0..count).filter_map(|index| Rank::new(index, count));
                assert_eq!(ranks.filter(|rank| rank.takes(micro)).count(), 1);
            }
        }
    }

    #[test]
    fn a_rank_that_cannot_be_is_refused() {
        for (index, count) in [(0, 0), (1, 1), (5, 4), (0, MAX_RANKS + 1), (65535, 65535)] {
            assert_eq!(Rank::new(index, count), None, "{index} of {count}");
            let mut bytes = [0; 8];
            let bytes = postcard::to_slice(&(index, count), &mut bytes).expect("room");
            assert!(postcard::from_bytes::<Rank>(bytes).is_err());
        }
    }
}
