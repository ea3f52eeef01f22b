//! Dropout: both parties multiply their shares by the same whole numbers, and nothing is sent.

use crate::{
    dealt::micro_batch::MicroBatch,
    network::Network,
    num::ring::Ring,
    session::{Session, Task},
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// Multiplies the input of a stage's map, in place, if the stage drops some of it.
    pub(super) fn drop_inputs(&mut self, micro: MicroBatch, index: usize) {
        let len = self.network.stages[index].linear.input_len();
        let values = &mut self.stages[index].operand[..micro.rows * len];
        multiply(self.session, self.network, micro, index, values);
    }

    /// The same for the gradient by this input, in the next buffer.
    pub(super) fn drop_gradients(&mut self, micro: MicroBatch, index: usize) {
        let len = self.network.stages[index].linear.input_len();
        let values = &mut self.next[..micro.rows * len];
        multiply(self.session, self.network, micro, index, values);
    }
}

/// Multiplies shares, one row for each sample: see [`Dropout`](crate::network::Dropout).
fn multiply<R: Ring>(
    session: &Session,
    network: &Network,
    micro: MicroBatch,
    index: usize,
    values: &mut [R],
) {
    let stage = &network.stages[index];
    let Some(dropout) = stage.dropout else {
        return;
    };
    let [kept, whole] = [dropout.kept(), dropout.whole()].map(|factor| R::from_u64(factor.into()));
    if session.task != Task::Train {
        for value in values {
            *value = value.times(whole);
        }
        return;
    }
    let rows = values.chunks_exact_mut(stage.linear.input_len());
    for (row, values) in (micro.first..).zip(rows) {
        let mut coins = session.coins(dropout, index, micro.batch.iteration, row);
        for value in values {
            // The coins are public.
            *value = match coins.drops() {
                true => R::ZERO,
                false => value.times(kept),
            };
        }
    }
}
