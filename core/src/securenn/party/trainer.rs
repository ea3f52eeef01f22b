//! The party of a training session.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    network::Network,
    prg::Key,
    securenn::{context::PartyContext, gates::Computing, scale::Rate},
    session::{Batch, OneRank, Progress, Ranks, RunError, Session, Task, state},
    share::{Share, observer::Observer},
};

use super::Party;

/// A computing party of a training session. It wipes its shares and intermediate values when it is dropped.
pub struct Trainer<'a>(Party<'a>);

impl<'a> Trainer<'a> {
    /// Sets up a party of a session that [`check`](crate::securenn::check) accepts. The party draws its share of the
    /// initial weights from `secret`, which nobody else may know. If the session begins with a party's model, all weights
    /// are zero, and that party then loads its model with [`Trainer::load_parameters`].
    ///
    /// `memory` has at least [`party_words`](crate::securenn::party_words) words of 64 bits. Fails with
    /// [`RunError::Arena`] if it is too small, and with [`RunError::Task`] if the session is for inference.
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
        trainer.0.progress = Progress::of_trainer(session, role);
        if session.initial_model.is_none() {
            trainer.0.draw_weights(secret);
        }
        Ok(trainer)
    }

    /// Sets up a further rank of a party, which gets its shares of the weights from the first one in each iteration. The
    /// first iteration of the run is `start`. Memory and errors are those of [`Trainer::new`], and
    /// [`RunError::Iteration`] if the session ends before `start`.
    pub fn further_rank(
        session: &'a Session,
        network: &'a Network,
        (role, start): (Role, u32),
        memory: &'a mut [u64],
    ) -> Result<Self, RunError> {
        let progress = Progress::start_at(session, start)?;
        let mut trainer = Trainer(Party::new(session, network, role, memory)?);
        trainer.0.progress = progress;
        Ok(trainer)
    }

    /// Loads the parameters of a stage of the initial model at its owner, before the first [`Trainer::iterate`], as
    /// [`Classifier::load_parameters`](super::Classifier::load_parameters) does. Stages are loaded in order. Fails with
    /// [`RunError::NotModelOwner`] at the other party, and in a session that begins with drawn weights. Until all stages are
    /// loaded, [`Trainer::iterate`] fails with [`RunError::NoModel`].
    pub fn load_parameters(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = u64>,
    ) -> Result<(), RunError> {
        let party = &mut self.0;
        let stages = (stage, party.stages.len());
        let progress = party.progress;
        party.progress = progress.load(stages, || {
            party.load_parameters(stage, values);
            Ok(())
        })?;
        Ok(())
    }

    /// This party's role.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Trains on the batch of one iteration, and returns the batch. Iterations run in order from 0, each once.
    ///
    /// Fails if a link does or if a sample is missing. After that neither the party nor `cx` takes another iteration
    /// ([`RunError::Spent`]). An iteration out of order is refused with [`RunError::Iteration`].
    pub fn iterate<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<u64>,
    ) -> Result<Batch, RunError> {
        self.iterate_in_ranks(cx, &mut OneRank, iteration, data, observer)
    }

    /// As [`Trainer::iterate`], for one of the ranks of a party. `cx` has the rank's own links, and the keys of all ranks.
    /// At the first rank are the model, its state and the counts of audits.
    ///
    /// Fails also with [`RunError::RankLost`] if another rank has, and with [`RunError::TooManyRanks`] if there is no work
    /// for so many.
    pub fn iterate_in_ranks<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        ranks: &mut impl Ranks,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<u64>,
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let rank = ranks.rank();
        party.check_rank(rank)?;
        Progress::begin([&mut party.progress, cx.progress()], iteration)?;
        let batch = party.session.batch(iteration);
        party.audit.begin(party.session.is_audited(iteration));
        let momentum = Rate::momentum(party.session.momentum);
        if iteration == 0 && rank.is_first() {
            party.blind_weights(cx.pair());
        }
        party.share_weights(ranks)?;
        for memory in &mut party.stages {
            for velocity in memory.velocity.iter_mut() {
                *velocity = momentum.apply(party.role, *velocity);
            }
        }
        for (first, rows) in rank.micro_batches(batch, party.session.micro_batch) {
            let micro = party.load(batch, first, rows, data, observer)?;
            party.forward(cx, micro, observer)?;
            party.loss(cx, micro)?;
            party.subtract_labels(micro, data)?;
            party.backward(cx, micro, observer)?;
        }
        cx.flush()?;
        party.sum_gradients(ranks)?;
        party.sum_counts(ranks)?;
        if rank.is_first() {
            party.update(cx, iteration, observer)?;
            party.open_counts(cx)?;
        }
        Progress::end([&mut party.progress, cx.progress()], iteration);
        Ok(batch)
    }

    /// The audit of the last iteration, if it had one: for each cost row, in the order of [`cost_row_names`], the
    /// number of values outside of the range contract, forward and backward. The peer learns the same counts, and
    /// neither party learns more.
    ///
    /// The audit counts what an [`Observer`] sees: the maps' outputs, the gradients by the stages' inputs, and the
    /// velocities. Of outputs and gradients, whose products were truncated by f bits, it reads the low 64 - f bits: a value
    /// so far outside that it wraps around them may count as inside. So does a truncation that fails, until a later product
    /// reads its result.
    ///
    /// [`cost_row_names`]: crate::session::cost_row_names
    pub fn audit_counts(&self) -> Option<&[[u32; 2]]> {
        self.0.audit.counts()
    }

    /// This party's shares of a stage's parameters, between iterations: the weights, divided by [`Stage::divisor`],
    /// then the biases, in the ring and at the scale that [`Session::master`] gives.
    ///
    /// Panics if there is no such stage.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    pub fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<u64>> + '_ {
        self.0.parameters(stage)
    }

    /// Bytes of this party's state, see [`Trainer::write_state`].
    pub fn state_len(&self) -> usize {
        self.0.state_len()
    }

    /// Passes this party's state to `write`, word by word: with the number of the next iteration, it is all that the
    /// party needs to go on under new keys. The words are, stage by stage, the shares of [`Trainer::parameters`], then
    /// in a session with momentum those of the velocities, each of 64 bits in little-endian order. Keep it as secret as
    /// the party's samples.
    ///
    /// Fails with [`RunError::Spent`] if an iteration failed or the model has been revealed, and if `write` fails.
    pub fn write_state<E: From<RunError>>(
        &self,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.0.progress {
            Progress::Spent => Err(RunError::Spent.into()),
            _ => self.0.write_state(write),
        }
    }

    /// As [`Trainer::write_state`], to a slice of [`Trainer::state_len`] bytes. Fails with [`RunError::State`] if it
    /// has another length.
    pub fn save_state(&self, out: &mut [u8]) -> Result<(), RunError> {
        state::to_slice(self.state_len(), out, |write| self.write_state(write))
    }

    /// Takes back a state that this party had before iteration `iteration`, which comes next. `read` fills slices with
    /// the bytes that [`Trainer::write_state`] wrote, in their order. All roles go back to the same iteration, in new
    /// protocol contexts with new keys.
    ///
    /// Fails with [`RunError::Iteration`] if the session ends before that iteration, and if `read` fails; then the
    /// party takes no iteration until a state has been read to its end.
    pub fn read_state<E: From<RunError>>(
        &mut self,
        iteration: u32,
        read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let party = &mut self.0;
        let progress = Progress::start_at(party.session, iteration)?;
        party.progress = Progress::Spent;
        party.read_state(read)?;
        party.progress = progress;
        party.audit.begin(false);
        Ok(())
    }

    /// As [`Trainer::read_state`], from a slice. Fails with [`RunError::State`] if it does not have
    /// [`Trainer::state_len`] bytes; then the party is as before.
    pub fn restore(&mut self, iteration: u32, state: &[u8]) -> Result<(), RunError> {
        state::from_slice(self.state_len(), state, |read| {
            self.read_state(iteration, read)
        })
    }

    /// Reveals the trained parameters to the session's receiver, if it has one: the other party sends its shares.
    ///
    /// At the receiver `sink` gets each stage's number and parameter, in the order, ring and scale of
    /// [`Trainer::parameters`]. At the sender it is not called. It ends the run, so it works once. Fails if the link
    /// does, and with [`RunError::Spent`] if an iteration failed or the model has been revealed.
    pub fn reveal<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        sink: impl FnMut(usize, u64),
    ) -> Result<(), RunError> {
        Progress::close([&mut self.0.progress, cx.progress()])?;
        Ok(self.0.reveal(cx, sink)?)
    }
}
