//! What the ranks of a party exchange within an iteration: shares of the weights, gradients and counts.
//!
//! The party's truncation depends on its very shares, so all ranks have the same ones of the weights. Each stream of masks
//! belongs to one micro-batch of the run, and each micro-batch to one rank, so ranks that have the same keys never draw the
//! same mask. What belongs to no micro-batch is the first rank's: the blinding of the weights, and the audit of velocities.

use crate::session::{Rank, Ranks, RunError};

use super::Party;

impl Party<'_> {
    /// Fails if there is no work for so many ranks.
    pub(super) fn check_rank(&self, rank: Rank) -> Result<(), RunError> {
        match rank.count() > 1 && rank.count() > self.session.most_ranks() {
            true => Err(RunError::TooManyRanks),
            false => Ok(()),
        }
    }

    /// Gives the other ranks the first one's shares of the weights and biases.
    pub(super) fn share_weights(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        for memory in &mut self.stages {
            ranks.broadcast(0, bytemuck::cast_slice_mut(&mut *memory.master))?;
        }
        Ok(())
    }

    /// Adds up the gradients at the first rank, where the velocities are. Those of the others become zero.
    pub(super) fn sum_gradients(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        for memory in &mut self.stages {
            ranks.sum(&mut *memory.velocity)?;
        }
        Ok(())
    }

    /// Adds up this party's shares of the counts of an audit at the first rank.
    pub(super) fn sum_counts(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        Ok(ranks.sum(self.audit.shares())?)
    }
}
