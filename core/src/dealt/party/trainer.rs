//! The party of a training session.

use embedded_io::{Read, Write};

use crate::{
    Role,
    data::Data,
    dealt::{audit::Audits, micro_batch::MicroBatch, party_context::PartyContext},
    network::Network,
    num::ring::Ring,
    prg::Key,
    session::{Batch, OneRank, Progress, Ranks, RunError, Session, Task, state},
    share::{Share, observer::Observer},
};

use super::Party;

/// A computing party of a training session, with its shares of the model.
///
/// It wipes its shares and intermediate values when it is dropped.
pub struct Trainer<'a, R: Ring>(Party<'a, R>);

impl<'a, R: Ring> Trainer<'a, R> {
    /// Sets up a party of a session that [`check`](crate::dealt::check) accepts. The party draws its share of the
    /// initial weights from `secret`, which nobody else may know, and with private gradients its samples and its noise: then no
    /// other run may have the same secret, nor one that goes on from a state of this one. If the session begins with a party's model, all weights
    /// are zero, and that party then loads its model with [`Trainer::load_parameters`].
    ///
    /// `memory` has at least [`Plan::arena_words`] words of 64 bits, `opened_data` at least
    /// [`Plan::opened_data_words`] ring words. Fails with [`RunError::Arena`] or [`RunError::OpenedData`] if one is too
    /// small, and with [`RunError::Task`] if the session is for inference.
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
        let party = Party::new(
            session,
            network,
            role,
            #[cfg(feature = "private-training")]
            Some(secret),
            memory,
            opened_data,
        )?;
        let mut trainer = Trainer(party);
        trainer.0.progress = Progress::of_trainer(session, role);
        if session.initial_model.is_none() {
            trainer.0.draw_weights(secret);
        }
        Ok(trainer)
    }

    /// Sets up a further rank of a party, which gets the weights from the first one in each iteration. The first iteration
    /// of the run is `start`. Buffers and errors are those of [`Trainer::new`], and [`RunError::Iteration`] if the session
    /// ends before `start`.
    pub fn further_rank(
        session: &'a Session,
        network: &'a Network,
        (role, start): (Role, u32),
        memory: &'a mut [u64],
        opened_data: &'a mut [R],
    ) -> Result<Self, RunError> {
        let progress = Progress::start_at(session, start)?;
        let mut party = Party::new(
            session,
            network,
            role,
            #[cfg(feature = "private-training")]
            None,
            memory,
            opened_data,
        )?;
        (party.progress, party.start) = (progress, start);
        Ok(Trainer(party))
    }

    /// Loads the parameters of a stage of the initial model at its owner, before the first [`Trainer::iterate`], as
    /// [`Classifier::load_parameters`](super::Classifier::load_parameters) does. They become the owner's share, and the
    /// other party's is zero: the parties see the weights under masks alone, from the first iteration on.
    ///
    /// Stages are loaded in order. Fails with [`RunError::NotModelOwner`] at the other party, and in a session that begins
    /// with drawn weights. Until all stages are loaded, [`Trainer::iterate`] fails with [`RunError::NoModel`].
    pub fn load_parameters(
        &mut self,
        stage: usize,
        values: impl IntoIterator<Item = R::Wide>,
    ) -> Result<(), RunError> {
        let party = &mut self.0;
        let stages = (stage, party.stages.len());
        let progress = party.progress;
        party.progress = progress.load(stages, || party.load_parameters(stage, values))?;
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
    pub fn iterate<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<Batch, RunError> {
        self.iterate_in_ranks(cx, &mut OneRank, iteration, data, observer)
    }

    /// As [`Trainer::iterate`], for one of the ranks of a party. `cx` has the rank's own links, and the key of all ranks.
    /// At the first rank are the model, its state and the counts of audits.
    ///
    /// Fails also with [`RunError::RankLost`] if another rank has.
    pub fn iterate_in_ranks<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        ranks: &mut impl Ranks,
        iteration: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<Batch, RunError> {
        let party = &mut self.0;
        let rank = ranks.rank();
        if rank.count() > 1 && rank.count() > party.session.most_ranks() {
            return Err(RunError::TooManyRanks);
        }
        Progress::begin([&mut party.progress, cx.progress()], iteration)?;
        #[cfg(feature = "private-training")]
        party.begin_private(iteration)?;
        let batch = party.session.batch(iteration);
        party.audit.begin(party.session.is_audited(iteration));
        let mut has_weights = false;
        #[cfg(feature = "extended-training")]
        party.hold_velocities();
        for micro in MicroBatch::of_rank(rank, batch, party.session.micro_batch) {
            party.reset_buffers();
            party.open_inputs(cx, micro, data, observer)?;
            // The first rank opens the weights with the first micro-batch, which is always its own.
            if !has_weights {
                party.share_weights(ranks)?;
                has_weights = true;
            }
            party.forward(cx, micro, observer)?;
            party.softmax(cx, micro, data)?;
            party.subtract_labels(micro, data)?;
            party.backward(cx, micro, observer)?;
        }
        if !has_weights {
            party.share_weights(ranks)?;
        }
        party.share_opened_data(ranks, batch)?;
        party.sum_gradients(ranks)?;
        #[cfg(feature = "extended-training")]
        party.sum_losses(ranks)?;
        if rank.is_first() {
            party.update(cx, batch, observer)?;
            let audits = Audits::new(party.session, party.network, 0);
            party.audit.open(cx, audits)?;
            #[cfg(feature = "extended-training")]
            party.reveal_loss(cx, iteration)?;
        }
        Progress::end([&mut party.progress, cx.progress()], iteration);
        Ok(batch)
    }

    /// Checks the contributions of a session that trains on them, before its first iteration: whether their values are those that
    /// samples and labels can have. Writes which are not to `broken`: bit i % 8 of byte i / 8 stands for contribution i. The first
    /// rank passes each of these to `found`, with the number of bounds that it breaks. The peer learns the same, the dealer which
    /// they are, and nobody anything else.
    ///
    /// `memory` has at least [`Plan::check_words`] words, and `broken` [`Plan::broken_len`] bytes. Fails with [`RunError::Spent`] if
    /// `cx` has checked them already, if the link does, and if a contribution is missing.
    ///
    /// [`Plan::check_words`]: crate::dealt::plan::Plan::check_words
    /// [`Plan::broken_len`]: crate::dealt::plan::Plan::broken_len
    #[cfg(feature = "contributions")]
    pub fn check_contributions<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        ranks: &mut impl Ranks,
        data: &mut impl Data,
        (memory, broken): (&mut [u64], &mut [u8]),
        mut found: impl FnMut(u32, u32),
    ) -> Result<(), RunError> {
        let places = (memory, broken);
        self.0
            .check_contributions(cx, ranks, data, places, &mut found)
    }

    /// The audit of the last iteration, if it had one: for each cost row, in the order of [`cost_row_names`], the
    /// number of values outside of the range contract, forward and backward. The peer learns the same counts, and
    /// neither party learns more.
    ///
    /// The audit counts what an [`Observer`] sees: the maps' outputs; the inputs of polynomials, in their own ring; the
    /// gradients by the stages' inputs, each in the ring that its dropped bits leave; and the velocities. A value so
    /// far outside that it wraps around its ring may count as inside. Intermediate values of gates, such as the
    /// differences of max pooling, keep their bounds if the counted values do.
    ///
    /// [`cost_row_names`]: crate::session::cost_row_names
    pub fn audit_counts(&self) -> Option<&[[u32; 2]]> {
        self.0.audit.counts()
    }

    /// The loss that the last iteration revealed to both parties, if it ended an epoch of a session that reveals losses.
    #[cfg(feature = "extended-training")]
    pub fn epoch_loss(&self) -> Option<crate::session::EpochLoss> {
        self.0.revealed_loss
    }

    /// This party's shares of a stage's parameters, between iterations: the weights, divided by [`Stage::divisor`],
    /// then the biases, in Z_2^[`Format::wide`] at [`Format::master`] fraction bits.
    ///
    /// Panics if there is no such stage.
    ///
    /// [`Stage::divisor`]: crate::network::Stage::divisor
    /// [`Format::master`]: crate::num::fixed_point::Format::master
    /// [`Format::wide`]: crate::num::fixed_point::Format::wide
    pub fn parameters(&self, stage: usize) -> impl Iterator<Item = Share<R::Wide>> + '_ {
        self.0.parameters(stage)
    }

    /// Bytes of this party's state, see [`Trainer::write_state`].
    pub fn state_len(&self) -> usize {
        self.0.state_len()
    }

    /// Passes this party's state to `write`, word by word: with the number of the next iteration, it is all that the
    /// party needs to go on under new keys. The words are, stage by stage, the shares of [`Trainer::parameters`], each
    /// in little-endian order at [`Format::wide`] bits; then in a session with momentum the shares of momentum times
    /// the velocities, likewise at the ring's width; then with Nesterov's momentum those of
    /// the last velocities, at the width of the parameters; and last, if losses are revealed, 8 bytes of the share of their sum. Keep it as secret as the party's samples.
    ///
    /// Fails with [`RunError::Spent`] if an iteration failed or the model has been revealed, and if `write` fails.
    ///
    /// [`Format::wide`]: crate::num::fixed_point::Format::wide
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
    /// protocol contexts with new keys. If samples keep their masks, the run opens them
    /// again: see [`Plan::opens_samples`](crate::dealt::Plan::opens_samples).
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
        party.start = iteration;
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
    pub fn reveal<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        sink: impl FnMut(usize, R::Wide),
    ) -> Result<(), RunError> {
        Progress::close([&mut self.0.progress, cx.progress()])?;
        self.0.reveal(cx, sink)
    }
}
