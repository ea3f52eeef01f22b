//! Inference: the model of one party finds the classes of the other's samples.
//!
//! The model's owner has its weights in plaintext, and its shares are the weights themselves; the other party's
//! are zero. So it alone masks and opens them, once in a session. Of each batch the samples' owner opens its
//! masked samples, both run the stages as in training, and argmax makes shares of the classes of the logits. The
//! samples' owner alone gets the other's.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    dealt::{micro_batch::Micro, party_context::PartyContext, stream_ids},
    gate::argmax::Argmax,
    model::cost_rows::activation_row,
    network::Network,
    num::ring::{Ring, Word},
    session::{Batch, RunError, Session, Task},
    share::{Share, observer::Observer},
};

use super::Party;

/// One computing party of an inference session.
///
/// Its shares and intermediate values are wiped when it is dropped.
pub struct Classifier<'a, R: Ring>(Party<'a, R>);

impl<'a, R: Ring> Classifier<'a, R> {
    /// Sets up a party whose weights are zero: those of the model's owner until it loads them with
    /// [`Classifier::load_parameters`], and those of the other party for good.
    ///
    /// `memory` holds at least [`Plan::arena_words`] words. Fails with [`RunError::Task`] if the session is for
    /// training.
    ///
    /// [`Plan::arena_words`]: crate::dealt::plan::Plan::arena_words
    #[inline(never)]
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        if session.task != Task::Infer {
            return Err(RunError::Task);
        }
        // Nothing is opened twice, so no opening is kept.
        Ok(Classifier(Party::new(
            session,
            network,
            role,
            memory,
            &mut [],
        )?))
    }

    /// Which party this is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Loads the parameters of a stage, before the first [`Classifier::classify`], at the model's owner alone: weights divided by
    /// [`Stage::divisor`] and then biases, at [`Format::master`] fraction bits in Z_2^[`Format::wide`]. Weights are
    /// rounded to what is multiplied.
    ///
    /// Fails with [`RunError::NotModelOwner`] at the party that asks, and with [`RunError::Parameters`] if there
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
        let party = &mut self.0;
        if party.session.model_owner() != Some(party.role) {
            return Err(RunError::NotModelOwner);
        }
        let format = party.session.format;
        let stages = party.network.stages.iter().zip(&mut party.stages);
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
    pub fn classify<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
        mut sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let batch = party.session.batch(iteration);
        for micro in Micro::all(batch, party.session.micro_batch) {
            party.forward(cx, micro, data, observer)?;
            party.find_classes(cx, micro, &mut sink)?;
        }
        Ok(batch)
    }
}

impl<R: Ring> Party<'_, R> {
    /// From shares of the logits to the classes, at the party that asks.
    #[inline(never)]
    fn find_classes<P: Read + Write, D: Read + Write>(
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
