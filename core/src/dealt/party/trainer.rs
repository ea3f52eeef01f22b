//! A computing party that trains.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    dealt::{audit::Audits, micro_batch::Micro, party_context::PartyContext},
    network::Network,
    num::ring::Ring,
    prg::Key,
    session::{Batch, RunError, Session, Task},
    share::{Share, observer::Observer},
};

use super::Party;

/// One computing party of a training session: its shares of the model, and what an iteration works in.
///
/// Its shares and intermediate values are wiped when it is dropped.
pub struct Trainer<'a, R: Ring>(Party<'a, R>);

impl<'a, R: Ring> Trainer<'a, R> {
    /// Sets up a party with its part of the initial weights, drawn from its own `secret`, which no one
    /// else may know: the sum of both parts is what training starts from.
    ///
    /// `memory` holds at least [`Plan::arena_words`] words, `opened_data` at least
    /// [`Plan::opened_data_words`]. Fails with [`RunError::Task`] if the session is for inference.
    ///
    /// [`Plan::arena_words`]: crate::dealt::plan::Plan::arena_words
    /// [`Plan::opened_data_words`]: crate::dealt::plan::Plan::opened_data_words
    #[inline(never)]
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        secret: &Key,
        memory: &'a mut [u64],
        opened_data: &'a mut [R],
    ) -> Result<Self, RunError> {
        if session.task != Task::Train {
            return Err(RunError::Task);
        }
        let mut trainer = Trainer(Party::new(session, network, role, memory, opened_data)?);
        trainer.0.draw_weights(secret);
        Ok(trainer)
    }

    /// Which party this is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Trains on the samples of one iteration.
    pub fn iterate<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let batch = party.session.batch(iteration);
        party.audit.begin(party.session.is_audited(iteration));
        for micro in Micro::all(batch, party.session.micro_batch) {
            party.begin_with_the_same_buffer();
            party.forward(cx, micro, data, observer)?;
            party.softmax(cx, micro)?;
            party.subtract_labels(micro, data)?;
            party.backward(cx, micro, observer)?;
        }
        party.update(cx, batch, observer)?;
        let audits = Audits::new(party.session, party.network, 0);
        party.audit.open(cx, audits)?;
        Ok(batch)
    }

    /// How many values left the range contract in the last iteration, if it was audited: for each cost row, as
    /// [`cost_row_names`] numbers them, forward and backward. The peer has learnt the same, and neither anything else.
    ///
    /// What is counted is what an [`Observer`] sees: the maps' outputs, which softmax and ReLU take, and again what a
    /// polynomial takes, in its own ring; the gradients by the stages' inputs, in the rings that the bits given up
    /// leave; and the velocities. A value so far out that it goes around its ring may count as inside; values on their
    /// way there do not. Gates inside others (a pool's differences, the softmax's steps) hold their own
    /// bounds if these hold.
    ///
    /// [`cost_row_names`]: crate::session::cost_row_names
    pub fn audited(&self) -> Option<&[[u32; 2]]> {
        self.0.audit.counts()
    }

    /// This party's shares of a stage's parameters, weights divided by [`Stage::divisor`] and then
    /// biases, at [`Format::master`] fraction bits in Z_2^[`Format::wide`]; between iterations.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    /// [`Format::master`]: crate::num::fixed_point::Format::master
    /// [`Format::wide`]: crate::num::fixed_point::Format::wide
    pub fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<R::Wide>> + '_ {
        self.0.parameters(stage)
    }

    /// Reveals the trained parameters to the session's receiver: the other party sends its shares.
    /// The receiver hands each stage's parameters, weights then biases, at the master weights' scale and
    /// in their ring, to `sink`; the sender's is not called.
    pub fn reveal<P: Read + Write, D: Read + Write>(
        &self,
        cx: &mut PartyContext<P, D>,
        sink: impl FnMut(usize, R::Wide),
    ) -> Result<(), RunError> {
        self.0.reveal(cx, sink)
    }
}
