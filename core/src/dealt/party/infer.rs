//! Inference: the model of one party finds the classes of the other's samples.
//!
//! The model's owner has its weights in plaintext, and its shares are the weights themselves; the other party's
//! are zero. So it alone masks and opens them, once in a session. Of each batch the samples' owner opens its
//! masked samples, both run the stages as in training, and argmax makes shares of the classes of the logits. The
//! samples' owner alone gets the other's.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    data::Data,
    dealt::{party_context::PartyContext, stream_ids},
    gate::argmax::Argmax,
    model::cost_rows::activation_row,
    num::ring::{Ring, Word},
    session::{Batch, Task},
    share::{Share, observer::Observer},
};

use super::{Micro, Party};
use crate::session::RunError;

impl<R: Ring> Party<'_, R> {
    /// Loads the parameters of a stage, before the first [`Party::infer`], at the model's owner alone: weights divided by
    /// [`Stage::divisor`] and then biases, at [`Format::master`] fraction bits in Z_2^[`Format::wide`]. Weights are
    /// rounded to what is multiplied.
    ///
    /// Fails with [`RunError::Task`] in training and at the party that asks, and with [`RunError::Parameters`] if there
    /// is no such stage or it has more parameters or fewer.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    /// [`Format::master`]: crate::num::fixed_point::Format::master
    /// [`Format::wide`]: crate::num::fixed_point::Format::wide
    pub fn load_parameters(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = R::Wide>,
    ) -> Result<(), RunError> {
        if self.session.model_owner() != Some(self.role) {
            return Err(RunError::Task);
        }
        let format = self.session.format;
        let stages = self.network.stages.iter().zip(&mut self.stages);
        let Some((stage, memory)) = stages.into_iter().nth(stage) else {
            let given = values.into_iter().count();
            return Err(RunError::Parameters { needed: 0, given });
        };
        let (needed, weights) = (stage.parameters(), stage.linear.weight_len());
        // Below what is multiplied a share's step down would lean one way, and not the same at both parties.
        let half = R::Wide::ONE.left(format.fine()).right(1);
        let mut given = 0;
        for value in values {
            if given == needed {
                let given = given + 1;
                return Err(RunError::Parameters { needed, given });
            }
            let value = if given < weights && format.fine() > 0 {
                value.plus(half).right(format.fine()).left(format.fine())
            } else {
                value
            };
            memory.set_share(format, given, value);
            given += 1;
        }
        match given == needed {
            true => Ok(()),
            false => Err(RunError::Parameters { needed, given }),
        }
    }

    /// Classifies the samples of one iteration; each once and in order from 0. The party that asks hands the number of
    /// each sample, among its own, and its class to `sink`; the other's is not called.
    #[inline(never)]
    pub fn infer<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
        mut sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        if self.session.task != Task::Infer {
            return Err(RunError::Task);
        }
        let batch = self.session.batch(iteration);
        for (first, rows) in batch.micro_batches(self.session.micro_batch) {
            let rows = rows as usize;
            let micro = Micro { batch, first, rows };
            self.forward(cx, micro, data, observer)?;
            self.classify(cx, micro, &mut sink)?;
        }
        Ok(batch)
    }

    /// From shares of the logits to the classes, at the party that asks.
    #[inline(never)]
    fn classify<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        sink: &mut impl FnMut(u32, u8),
    ) -> Result<(), RunError> {
        let (network, session) = (self.network, self.session);
        cx.set_cost_row(activation_row(network.stages.len() - 1), false);
        let at = stream_ids::argmax(network, micro.batch.iteration, micro.first);
        let logits = Share::wrap_slice_mut(&mut self.front[..micro.rows * network.classes]);
        let argmax = self.gates.argmax::<R>();
        let shares = argmax.run(cx, at, micro.rows, logits, self.scratch)?;
        let classes = Argmax::answer(cx, session.asking(), shares)?;
        for (&sample, class) in self.samples.iter().zip(classes) {
            sink(session.own_number(sample), class.to_u64() as u8);
        }
        Ok(())
    }
}
