//! What the ranks of a party exchange within an iteration: weights, gradients, counts, and openings of samples.

use bytemuck::TransparentWrapper;

use crate::{
    num::ring::Ring,
    session::{Batch, Ranks, RunError},
    share::{Public, Share},
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// Gives the other ranks the weights as the first one holds their opening, and its shares of the biases.
    #[inline(never)]
    pub(super) fn share_weights(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        for memory in &mut self.stages {
            ranks.broadcast(0, bytemuck::cast_slice_mut(&mut *memory.weights))?;
            ranks.broadcast(0, memory.low_bytes)?;
        }
        Ok(())
    }

    /// Adds up the gradients and the counts of an audit at the first rank, where the velocities are.
    #[inline(never)]
    pub(super) fn sum_gradients(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        for memory in &mut self.stages {
            ranks.sum(Share::peel_slice_mut(&mut *memory.velocity))?;
        }
        Ok(ranks.sum(self.audit.shares())?)
    }

    /// Gives all ranks the openings of the peer's samples that each has stored: in later epochs another rank may work
    /// on them.
    #[inline(never)]
    pub(super) fn share_opened_data(
        &mut self,
        ranks: &mut impl Ranks,
        batch: Batch,
    ) -> Result<(), RunError> {
        if ranks.rank().count() == 1 || !self.session.opens_samples(self.start, batch.iteration) {
            return Ok(());
        }
        let len = self.network.stages[0].linear.input_len();
        let micro_batches = batch.micro_batches(self.session.micro_batch);
        for (index, (first, rows)) in micro_batches.enumerate() {
            let from = ranks.rank().of_micro_batch(index);
            let samples = &mut self.samples[..rows as usize];
            self.session.batch_samples(batch, first, samples);
            for &sample in samples.iter() {
                if self.session.owner(sample) == self.role {
                    continue;
                }
                let number = self.session.local_index(sample) as usize;
                let opened = &mut self.opened_data[number * len..][..len];
                let words = Public::peel_slice_mut(opened);
                ranks.broadcast(from, bytemuck::cast_slice_mut(words))?;
            }
        }
        Ok(())
    }
}
