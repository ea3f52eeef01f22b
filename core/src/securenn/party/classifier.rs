//! The party of an inference session.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    network::Network,
    securenn::{context::PartyContext, gates::Computing},
    session::{Batch, OneRank, Progress, Ranks, RunError, Session, Task},
    share::observer::Observer,
};

use super::Party;

/// A computing party of an inference session. It wipes its shares and intermediate values when it is dropped.
pub struct Classifier<'a>(Party<'a>);

impl<'a> Classifier<'a> {
    /// Sets up a party of a session that [`check`](crate::securenn::check) accepts. Its shares of the weights are zero;
    /// the model's owner then loads its model with [`Classifier::load_parameters`].
    ///
    /// `memory` has at least [`party_words`](crate::securenn::party_words) words of 64 bits. Fails with
    /// [`RunError::Arena`] if it is too small, and with [`RunError::Task`] if the session is for training.
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

    /// This party's role.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Loads a stage's parameters at the model's owner, before the first [`Classifier::classify`]: the weights, divided
    /// by [`Stage::divisor`], then the biases, in the ring and at the scale that [`Session::master`] gives.
    ///
    /// Panics if there is no such stage. Ignores values beyond the stage's parameters.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    pub fn load_parameters(&mut self, stage: usize, values: impl IntoIterator<Item = u64>) {
        self.0.load_parameters(stage, values);
    }

    /// Classifies the batch of one iteration, and returns the batch. Iterations run in order from 0, each once.
    ///
    /// At the samples' owner `sink` gets each sample's number among its own, and its class. At the other party it is
    /// not called. Fails if a link does or if a sample is missing. After that neither the party nor `cx` takes another
    /// iteration ([`RunError::Spent`]). An iteration out of order is refused with [`RunError::Iteration`].
    pub fn classify<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<u64>,
        sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        self.classify_in_ranks(cx, &mut OneRank, iteration, (data, observer), sink)
    }

    /// As [`Classifier::classify`], for one of the ranks of a party. `cx` has the rank's own links, and the keys of all
    /// ranks. Only the first rank loads the model, and only at it are the counts of audits. Each rank finds the classes of
    /// its own micro-batches.
    ///
    /// Fails also with [`RunError::RankLost`] if another rank has, and with [`RunError::TooManyRanks`] if there is no work
    /// for so many.
    pub fn classify_in_ranks<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        ranks: &mut impl Ranks,
        iteration: u32,
        (data, observer): (&mut impl Data, &mut impl Observer<u64>),
        mut sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let rank = ranks.rank();
        party.check_rank(rank)?;
        Progress::begin([&mut party.progress, cx.progress()], iteration)?;
        let batch = party.session.batch(iteration);
        party.audit.begin(party.session.is_audited(iteration));
        if iteration == 0 {
            if rank.is_first() {
                party.blind_weights(cx.pair());
            }
            party.share_weights(ranks)?;
        }
        for (first, rows) in rank.micro_batches(batch, party.session.micro_batch) {
            let micro = party.load(batch, first, rows, data, observer)?;
            party.forward(cx, micro, observer)?;
            party.find_classes(cx, micro, &mut sink)?;
        }
        party.sum_counts(ranks)?;
        if rank.is_first() {
            party.open_counts(cx)?;
        }
        cx.flush()?;
        Progress::end([&mut party.progress, cx.progress()], iteration);
        Ok(batch)
    }

    /// The audit of the last iteration, as [`Trainer::audit_counts`](super::Trainer::audit_counts) gives it. Only
    /// forward values are counted.
    pub fn audit_counts(&self) -> Option<&[[u32; 2]]> {
        self.0.audit.counts()
    }
}
