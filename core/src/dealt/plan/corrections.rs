//! The corrections that the dealer sends to P1 in training: how many, and which of them belong to a rank.

use core::ops::Range;

use crate::{
    dealt::micro_batch::MicroBatch,
    num::ring::Ring,
    session::{Rank, Session},
};

use super::Plan;

impl Plan<'_> {
    /// Bytes of corrections that the dealer sends to P1 in a training session, audits included.
    pub fn corrections<R: Ring>(&self) -> u64 {
        self.run_corrections::<R>(0)
    }

    /// As [`Plan::corrections`], in a run that begins at iteration `start`.
    pub fn run_corrections<R: Ring>(&self, start: u32) -> u64 {
        (start..self.session.iterations())
            .map(|iteration| self.iteration_corrections::<R>(iteration))
            .sum()
    }

    /// Bytes of corrections in an iteration of training, its audit included.
    pub fn iteration_corrections<R: Ring>(&self, iteration: u32) -> u64 {
        self.corrections_of_rows::<R>(iteration, self.session.batch(iteration).len)
    }

    /// Which of the corrections of an iteration of training belong to `rank`, if one rank of the dealer sends them all: ranges
    /// of bytes, one for each micro-batch of the rank, and at the first rank a last one for the update.
    pub fn rank_corrections<R: Ring>(
        &self,
        rank: Rank,
        iteration: u32,
    ) -> impl Iterator<Item = Range<u64>> {
        let session: &Session = self.session;
        let (batch, size) = (session.batch(iteration), session.micro_batch);
        let of_rows = |rows| self.corrections_of_rows::<R>(iteration, rows);
        // Without rows there is left what the update takes.
        let update = of_rows(0);
        let whole = of_rows(size) - update;
        let end = of_rows(batch.len);
        let micro_batches = MicroBatch::of_rank(rank, batch, size).map(move |micro| {
            // Only the last one of a batch may have fewer rows, and the update follows it.
            let start = u64::from(micro.first / size) * whole;
            start..(start + whole).min(end - update)
        });
        micro_batches.chain(rank.is_first().then_some(end - update..end))
    }

    /// Bytes of corrections in an iteration over so many rows.
    fn corrections_of_rows<R: Ring>(&self, iteration: u32, rows: u32) -> u64 {
        (self.iteration::<R>(rows) + self.audit_of::<R>(iteration, rows)).dealer_bytes
    }
}
