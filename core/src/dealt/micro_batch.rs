//! The samples of an iteration that are worked on together.

use crate::{
    dealt::stream_ids::{self, Tensors, Use},
    gate::At,
    network::Network,
    session::{Batch, Session, Task},
};

/// The samples that are worked on at a time.
#[derive(Clone, Copy)]
pub(crate) struct Micro {
    pub batch: Batch,
    /// Row of the batch that comes first.
    pub first: u32,
    pub rows: usize,
}

impl Micro {
    /// The micro-batches of a batch, of `size` samples but for the last.
    pub fn all(batch: Batch, size: u32) -> impl Iterator<Item = Micro> {
        batch.micro_batches(size).map(move |(first, rows)| Micro {
            batch,
            first,
            rows: rows as usize,
        })
    }

    /// The address of one use of randomness by a stage's gates.
    pub fn at(self, stage: usize, which: Use) -> At {
        stream_ids::at(self.batch.iteration, stage, which, self.first)
    }

    /// The addresses of a stage's max pooling, forward and backward.
    pub fn max_pool(self, stage: usize) -> [At; 2] {
        [false, true]
            .map(|backward| stream_ids::max_pool(self.batch.iteration, stage, backward, self.first))
    }

    /// Whether the weights are opened with this micro-batch: the first of an iteration in which they are new.
    pub fn opens_weights(self, session: &Session) -> bool {
        let new = session.task == Task::Train || self.batch.iteration == 0;
        new && self.first == 0
    }

    /// The masks of the micro-batch's tensors.
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
