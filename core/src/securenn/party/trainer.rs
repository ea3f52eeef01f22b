//! A computing party that trains.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    net::link::LinkError,
    network::Network,
    prg::Key,
    securenn::{context::PartyContext, gates::Computing, scale::Rate},
    session::{Batch, RunError, Session, Task},
    share::Share,
};

use super::Party;

/// One computing party of a training session. Its shares and intermediate values are wiped when it is dropped.
pub struct Trainer<'a>(Party<'a>);

impl<'a> Trainer<'a> {
    /// Sets up a party of a session that [`check`](crate::securenn::check) took, with its part of the initial weights,
    /// drawn from its own `secret`, which no one else may know.
    ///
    /// `memory` holds at least [`party_words`](crate::securenn::layout::party_words) words. Fails with
    /// [`RunError::Task`] if the session is for inference.
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        secret: &Key,
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        if session.task != Task::Train {
            return Err(RunError::Task);
        }
        let mut trainer = Trainer(Party::new(session, network, role, memory)?);
        trainer.0.draw_weights(secret);
        Ok(trainer)
    }

    /// Which party this is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Trains on the samples of one iteration.
    pub fn iterate<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        iteration: u32,
        data: &mut impl Data,
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let batch = party.session.batch(iteration);
        let momentum = Rate::momentum(party.session.momentum);
        if iteration == 0 {
            party.blind_weights(cx.pair());
        }
        for memory in &mut party.stages {
            for velocity in memory.velocity.iter_mut() {
                *velocity = momentum.of(party.role, *velocity);
            }
        }
        for (first, rows) in batch.micro_batches(party.session.micro_batch) {
            let micro = party.load(batch, first, rows, data)?;
            party.forward(cx, micro)?;
            party.loss(cx, micro)?;
            party.subtract_labels(micro, data)?;
            party.backward(cx, micro)?;
        }
        cx.flush()?;
        party.update();
        Ok(batch)
    }

    /// This party's shares of a stage's parameters, weights divided by [`Stage::divisor`] and then biases, in the
    /// ring and at the scale that [`Session::master`] gives; between iterations.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    pub fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<u64>> + '_ {
        self.0.parameters(stage)
    }

    /// Reveals the trained parameters to the session's receiver: the other party sends its shares. `sink` gets each
    /// stage's parameters as [`Trainer::parameters`] orders them; the sender's is not called.
    pub fn reveal<P: Read + Write, A: Read + Write>(
        &self,
        cx: &mut PartyContext<P, A>,
        sink: impl FnMut(usize, u64),
    ) -> Result<(), LinkError> {
        self.0.reveal(cx, sink)
    }
}
