//! A computing party that classifies.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    network::Network,
    securenn::{context::PartyContext, gates::Computing},
    session::{Batch, RunError, Session, Task},
};

use super::Party;

/// One computing party of an inference session. Its shares and intermediate values are wiped when it is dropped.
pub struct Classifier<'a>(Party<'a>);

impl<'a> Classifier<'a> {
    /// Sets up a party of a session that [`check`](crate::securenn::check) took, whose weights are zero: those of the
    /// model's owner until it loads them, and those of the other party for good.
    ///
    /// `memory` holds at least [`party_words`](crate::securenn::layout::party_words) words. Fails with
    /// [`RunError::Task`] if the session is for training.
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        if session.task != Task::Infer {
            return Err(RunError::Task);
        }
        Ok(Classifier(Party::new(session, network, role, memory)?))
    }

    /// Which party this is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Takes a stage's parameters as this party's shares: weights divided by [`Stage::divisor`], then biases, in
    /// the ring and at the scale that [`Session::master`] gives.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    pub fn load_parameters(&mut self, stage: usize, values: impl IntoIterator<Item = u64>) {
        self.0.load_parameters(stage, values);
    }

    /// Finds the classes of the samples of one iteration. `sink` gets each sample's number among its owner's and
    /// its class, at the party that asks alone.
    pub fn classify<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        iteration: u32,
        data: &mut impl Data,
        mut sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let batch = party.session.batch(iteration);
        if iteration == 0 {
            party.blind_weights(cx.pair());
        }
        for (first, rows) in batch.micro_batches(party.session.micro_batch) {
            let micro = party.load(batch, first, rows, data)?;
            party.forward(cx, micro)?;
            party.classes(cx, micro, &mut sink)?;
        }
        cx.flush()?;
        Ok(batch)
    }
}
