//! Micro-batches: the samples of an iteration that a role works on together.

use crate::{
    dealt::stream_ids::{self, Tensors, Use},
    gate::At,
    network::Network,
    session::{Batch, Rank, Session, Task},
};

/// A micro-batch of an iteration.
#[derive(Clone, Copy)]
pub(crate) struct MicroBatch {
    pub batch: Batch,
    /// Its first row in the batch.
    pub first: u32,
    /// Number of samples.
    pub rows: usize,
}

impl MicroBatch {
    /// The micro-batches of a batch. Each has `size` samples; the last may have fewer.
    pub fn all(batch: Batch, size: u32) -> impl Iterator<Item = MicroBatch> {
        Self::of_rank(Rank::ONLY, batch, size)
    }

    /// The micro-batches of a batch that `rank` works on.
    pub fn of_rank(rank: Rank, batch: Batch, size: u32) -> impl Iterator<Item = MicroBatch> {
        rank.micro_batches(batch, size)
            .map(move |(first, rows)| MicroBatch {
                batch,
                first,
                rows: rows as usize,
            })
    }

    /// One of its rows, as a micro-batch.
    #[cfg(feature = "private-training")]
    pub fn row(self, row: usize) -> MicroBatch {
        MicroBatch {
            first: self.first + row as u32,
            rows: 1,
            ..self
        }
    }

    /// Address of a gate of a stage, by its use.
    pub fn at(self, stage: usize, which: Use) -> At {
        stream_ids::at(self.batch.iteration, stage, which, self.first)
    }

    /// Addresses of a stage's max pooling, forward and backward.
    pub fn max_pool(self, stage: usize) -> [At; 2] {
        [false, true]
            .map(|backward| stream_ids::max_pool(self.batch.iteration, stage, backward, self.first))
    }

    /// Whether the parties open the weights with this micro-batch: the first one of each iteration in training, and of
    /// the session in inference.
    pub fn opens_weights(self, session: &Session) -> bool {
        let new = session.task == Task::Train || self.batch.iteration == 0;
        new && self.first == 0
    }

    /// The masks of the micro-batch's tensors. `samples` starts with its samples.
    pub fn tensors<'s>(
        self,
        session: &'s Session,
        network: &'s Network,
        samples: &'s [u32],
    ) -> Tensors<'s> {
        Tensors {
            session,
            network,
            samples: &samples[..self.rows],
            iteration: self.batch.iteration,
            first: self.first,
        }
    }
}
