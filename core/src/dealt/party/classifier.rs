//! Inference, in which one party's model classifies the other party's samples, and evaluation, in which the model that
//! both parties share classifies the samples of one.
//!
//! The model's owner takes the plaintext weights as its shares; the other party's shares are zero. So the owner alone
//! masks and opens the weights, once in a session. A shared model is opened as in training, under masks of both
//! parties. For each batch the samples' owner opens its masked samples, both
//! parties run the forward pass as in training, and argmax turns the logits into shares of the classes. Only the
//! samples' owner receives the other party's shares of them.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    dealt::{audit::Audits, micro_batch::MicroBatch, party_context::PartyContext, stream_ids},
    gate::argmax::Argmax,
    model::cost_rows::activation_row,
    network::Network,
    num::ring::Ring,
    session::{Batch, OneRank, Progress, Ranks, RunError, Session, Task, state},
    share::{Share, observer::Observer},
};

use super::Party;

/// A computing party of an inference or of an evaluation.
///
/// It wipes its shares and intermediate values when it is dropped.
pub struct Classifier<'a, R: Ring>(Party<'a, R>);

impl<'a, R: Ring> Classifier<'a, R> {
    /// Sets up a party of a session that [`check`](crate::dealt::check) accepts. In inference its weights are zero, and
    /// the model's owner then loads its model with [`Classifier::load_parameters`]. In an evaluation both parties load
    /// their shares of it, with [`Classifier::load_shares`] or [`Classifier::restore`].
    ///
    /// `memory` has at least [`Plan::arena_words`] words of 64 bits. Fails with [`RunError::Arena`] if it is too small,
    /// and with [`RunError::Task`] if the session is for training.
    ///
    /// [`Plan::arena_words`]: crate::dealt::plan::Plan::arena_words
    #[inline(never)]
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        role: Role,
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        if session.task == Task::Train {
            return Err(RunError::Task);
        }
        // The session uses each sample once, so the party stores no opening.
        let mut party = Party::new(
            session,
            network,
            role,
            #[cfg(feature = "private-training")]
            None,
            memory,
            &mut [],
        )?;
        if session.task == Task::Evaluate {
            party.progress = Progress::Loading(0);
        }
        Ok(Classifier(party))
    }

    /// This party's role.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Loads the parameters of a stage at the model's owner, before the first [`Classifier::classify`]: the weights,
    /// divided by [`Stage::divisor`], then the biases, in Z_2^[`Format::wide`] at [`Format::master`] fraction bits. The
    /// party rounds the weights to the operand's scale.
    ///
    /// Fails with [`RunError::NotModelOwner`] at the other party, and with [`RunError::Parameters`] if there is no such
    /// stage or it has another number of parameters.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    /// [`Format::master`]: crate::num::fixed_point::Format::master
    /// [`Format::wide`]: crate::num::fixed_point::Format::wide
    pub fn load_parameters(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = R::Wide>,
    ) -> Result<(), RunError> {
        match self.0.session.model_owner() == Some(self.0.role) {
            true => self.0.load_parameters(stage, values),
            false => Err(RunError::NotModelOwner),
        }
    }

    /// Loads this party's shares of the parameters of a stage of the model to evaluate, as
    /// [`Trainer::parameters`](super::Trainer::parameters) gives them. Both parties load all stages in order; until then
    /// [`Classifier::classify`] fails with [`RunError::NoModel`].
    ///
    /// Fails with [`RunError::NotModelOwner`] in inference and after the last stage, with [`RunError::NoModel`] if
    /// another stage comes next, and with [`RunError::Parameters`] if the stage has another number of parameters.
    pub fn load_shares(
        &mut self,
        stage: usize,
        shares: impl IntoIterator<Item = Share<R::Wide>>,
    ) -> Result<(), RunError> {
        let party = &mut self.0;
        let stages = (stage, party.stages.len());
        let progress = party.progress;
        let shares = shares.into_iter().map(Share::peel);
        party.progress =
            progress.load(stages, || party.load_master(stage, shares, |share| share))?;
        Ok(())
    }

    /// Loads this party's shares of the model to evaluate from the state that
    /// [`Trainer::save_state`](super::Trainer::save_state) has given in a training with the same model, format and
    /// momentum.
    ///
    /// Fails with [`RunError::Task`] in inference, and with [`RunError::State`] if the state has another length.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), RunError> {
        let party = &mut self.0;
        if party.session.task != Task::Evaluate {
            return Err(RunError::Task);
        }
        let needed = party.state_len();
        state::from_slice(needed, state, |read| party.read_state(read))?;
        party.progress = Progress::Next(0);
        Ok(())
    }

    /// Classifies the batch of one iteration, and returns the batch. Iterations run in order from 0, each once.
    ///
    /// At the samples' owner `sink` gets each sample's number among its own, and its class. At the other party it is
    /// not called. Fails if a link does or if a sample is missing. After that neither the party nor `cx` takes another
    /// iteration ([`RunError::Spent`]). An iteration out of order is refused with [`RunError::Iteration`].
    #[inline(never)]
    pub fn classify<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
        sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        self.classify_in_ranks(cx, &mut OneRank, iteration, (data, observer), sink)
    }

    /// As [`Classifier::classify`], for one of the ranks of a party. `cx` has the rank's own links, and the key of all
    /// ranks. Only the first rank loads the model, and only at it are the counts of audits. Each rank finds the classes of
    /// its own micro-batches.
    ///
    /// Fails also with [`RunError::RankLost`] if another rank has, and with [`RunError::TooManyRanks`] if there is no work
    /// for so many.
    #[inline(never)]
    pub fn classify_in_ranks<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        ranks: &mut impl Ranks,
        iteration: u32,
        (data, observer): (&mut impl Data, &mut impl Observer<R>),
        mut sink: impl FnMut(u32, u8),
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let rank = ranks.rank();
        if rank.count() > 1 && rank.count() > party.session.most_ranks() {
            return Err(RunError::TooManyRanks);
        }
        Progress::begin([&mut party.progress, cx.progress()], iteration)?;
        let batch = party.session.batch(iteration);
        party.audit.begin(party.session.is_audited(iteration));
        // The weights are opened once in the session, with the first micro-batch, which is the first rank's.
        let mut has_weights = iteration > 0;
        for micro in MicroBatch::of_rank(rank, batch, party.session.micro_batch) {
            party.open_inputs(cx, micro, data, observer)?;
            if !has_weights {
                party.share_weights(ranks)?;
                has_weights = true;
            }
            party.forward(cx, micro, observer)?;
            party.find_classes(cx, micro, &mut sink)?;
        }
        if !has_weights {
            party.share_weights(ranks)?;
        }
        ranks.sum(party.audit.shares())?;
        if rank.is_first() {
            let audits = Audits::new(party.session, party.network, 0);
            party.audit.open(cx, audits)?;
        }
        Progress::end([&mut party.progress, cx.progress()], iteration);
        Ok(batch)
    }

    /// The audit of the last iteration, as [`Trainer::audit_counts`](super::Trainer::audit_counts) gives it. Only
    /// forward values are counted.
    pub fn audit_counts(&self) -> Option<&[[u32; 2]]> {
        self.0.audit.counts()
    }
}

impl<R: Ring> Party<'_, R> {
    /// Turns the shares of the logits in the current buffer into classes, which only the samples' owner learns.
    #[inline(never)]
    fn find_classes<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        sink: &mut impl FnMut(u32, u8),
    ) -> Result<(), RunError> {
        let (network, session) = (self.network, self.session);
        cx.set_cost_row(activation_row(network.stages.len() - 1), false);
        let at = stream_ids::argmax(network, micro.batch.iteration, micro.first);
        let logits = Share::wrap_slice_mut(&mut self.current[..micro.rows * network.classes]);
        let argmax = self.gates.argmax();
        let shares = argmax.run(cx, at, micro.rows, logits, self.scratch)?;
        let classes = Argmax::answer(cx, session.samples_owner(), shares)?;
        for (&sample, class) in self.samples.iter().zip(classes) {
            sink(session.local_index(sample), class.to_u64() as u8);
        }
        Ok(())
    }
}
