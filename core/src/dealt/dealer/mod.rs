//! The dealer: it computes correlated randomness from both parties' keys alone and sees no opened value. P0 derives its
//! part from its key. P1 receives corrections, in the order in which it uses them.

#[cfg(feature = "contributions")]
mod contributed;
#[cfg(feature = "private-training")]
mod private;

use embedded_io::{Read, Write};
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    Role,
    data::DataError,
    dealt::{
        audit::Audits,
        evaluations::Evaluations,
        gate_set::GateSet,
        layout::{dealer_scratch, reopened_weights_len, summed_len},
        micro_batch::MicroBatch,
        party_context::said,
        plan::Plan,
        stream_ids::{self, Product, Tensors, Use},
    },
    gate::{
        Offline,
        bilinear::Bilinear,
        softmax::Tables,
        tensor::{Masks, WholeMask, whole_masks},
    },
    net::link::{Link, LinkError, Remote},
    network::{
        Activation, MAX_STAGES, Network,
        walk::{self, Steps},
    },
    num::{
        arena::{Arena, ArenaTooSmall},
        ring::Ring,
    },
    prg::{Key, Prg},
    session::{Batch, OneRank, Progress, Ranks, RunError, Session, Task},
    share::Values,
};

/// The dealer's protocol context: both parties' PRG keys and the link to P1. It wipes its keys when it is dropped.
pub struct DealerContext<T> {
    prgs: [Prg; 2],
    link: Link<T>,
    /// The next iteration that may use the keys' masks.
    progress: Progress,
    evaluations: Evaluations,
    /// Whether contributions were checked under these keys.
    #[cfg(feature = "contributions")]
    checked: bool,
}

impl<T: Read + Write> DealerContext<T> {
    /// The context for the session keys of P0 and P1, each of which serves one session only.
    pub fn new(keys: [Key; 2], link: Link<T>) -> Self {
        DealerContext {
            prgs: keys.map(Prg::new),
            link,
            progress: Progress::Any,
            evaluations: Evaluations::default(),
            #[cfg(feature = "contributions")]
            checked: false,
        }
    }

    /// Deals an evaluation of the shared model between two iterations, as
    /// [`PartyContext::evaluation`](super::PartyContext::evaluation) runs it. `run` deals it with a [`Dealer`] of its own.
    ///
    /// Fails as `run` does, and then the context takes no iteration any more; and with [`RunError::Spent`] if it takes
    /// none already.
    pub fn evaluation<V, E: From<RunError>>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<V, E>,
    ) -> Result<V, E> {
        let progress = self.progress.pause()?;
        let [p0, p1] = &self.prgs;
        let prgs = self.evaluations.next([p0, p1])?;
        let prgs = core::mem::replace(&mut self.prgs, prgs);
        let outcome = run(self);
        self.prgs = prgs;
        self.progress = outcome.as_ref().map_or(Progress::Spent, |_| progress);
        outcome
    }

    /// Learns from P1 whether the training stops early: see
    /// [`PartyContext::agree_to_stop`](super::PartyContext::agree_to_stop).
    pub fn hear_stop(&mut self) -> Result<bool, RunError> {
        let mut byte = [0];
        self.link.receive(&mut byte)?;
        Ok(said(byte, Remote::Party(Role::P1))?)
    }

    /// Bytes of corrections sent so far.
    pub fn sent(&self) -> u64 {
        self.link.sent()
    }

    /// Returns the link to P1, for messages after the last correction.
    pub fn into_link(self) -> Link<T> {
        self.link
    }
}

impl<T: Read + Write> Offline for DealerContext<T> {
    fn prg(&self, role: Role) -> &Prg {
        &self.prgs[role.index()]
    }

    fn corrections(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        self.link.send(bytes)
    }
}

/// The dealer's buffers for one stage.
struct StageMemory<'a, R> {
    /// Masks of the weights.
    weights: WeightMasks<'a, R>,
    /// Masks of the weights' second opening; empty if openings are reused.
    reopened_weights: WeightMasks<'a, R>,
    /// Sum over the batch of the products of masks for the gradient by the weights; if the gradients of single samples are
    /// clipped, of the products of their masks with those of the factors, for the biases too.
    gradient: &'a mut [R],
}

/// Masks of weights: P1's part, and the sum of both parts.
struct WeightMasks<'a, R> {
    second: &'a mut [R],
    sum: &'a mut [R],
}

impl<'a, R: Ring> WeightMasks<'a, R> {
    fn take(arena: &mut Arena<'a>, len: usize) -> Self {
        WeightMasks {
            second: arena.take(len),
            sum: arena.take(len),
        }
    }

    fn fill(&mut self, cx: &impl Offline, mask: WholeMask) {
        whole_masks(cx, mask, self.second, self.sum);
    }

    fn masks(&self) -> Masks<'_, R> {
        Masks {
            second: self.second,
            sum: self.sum,
        }
    }
}

/// The dealer of a session. It wipes its masks when it is dropped.
pub struct Dealer<'a, R: Ring> {
    session: &'a Session,
    network: &'a Network,
    /// The next iteration.
    progress: Progress,
    gates: GateSet,
    stages: Vec<StageMemory<'a, R>, MAX_STAGES>,
    tables: Tables<'a>,
    scratch: &'a mut [u64],
    samples: &'a mut [u32],
}

impl<'a, R: Ring> Dealer<'a, R> {
    /// Sets up the dealer of a session that [`check`](crate::dealt::check) accepts. `memory` has at least
    /// [`Plan::dealer_arena_words`] words of 64 bits; fails if it is too small.
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        memory: &'a mut [u64],
    ) -> Result<Self, ArenaTooSmall> {
        let plan = Plan::new(session, network);
        let rows = session.micro_batch as usize;
        let mut arena = Arena::new(memory, plan.dealer_arena_words::<R>())?;
        let mut stages = Vec::new();
        for stage in &network.stages {
            let _ = stages.push(StageMemory {
                weights: WeightMasks::take(&mut arena, stage.linear.weight_len()),
                reopened_weights: WeightMasks::take(
                    &mut arena,
                    reopened_weights_len(session, stage),
                ),
                gradient: arena.take(summed_len(session, stage)),
            });
        }
        let gates = GateSet::new(session, network);
        let tables = arena.take(gates.softmax.table_len());
        Ok(Dealer {
            session,
            network,
            progress: Progress::Next(0),
            gates,
            stages,
            tables: gates.softmax.tables(tables),
            scratch: arena.take(dealer_scratch::<R>(session, network, rows)),
            samples: arena.take(rows),
        })
    }

    /// Makes iteration `iteration` of a training session the next one, for parties that took back a state. The dealer
    /// has no state of its own; give it a new context with new keys.
    ///
    /// Fails with [`RunError::Task`] in inference, and with [`RunError::Iteration`] if the session ends before.
    pub fn start_at(&mut self, iteration: u32) -> Result<(), RunError> {
        self.progress = Progress::start_at(self.session, iteration)?;
        Ok(())
    }

    /// Sends the corrections of one iteration of training or inference. Iterations run in order from 0, each once.
    /// Fails if the link does. After that neither the dealer nor `cx` takes another iteration ([`RunError::Spent`]). An
    /// iteration out of order is refused with [`RunError::Iteration`].
    pub fn iterate<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        iteration: u32,
    ) -> Result<(), RunError> {
        self.iterate_in_ranks(cx, &mut OneRank, iteration)
    }

    /// As [`Dealer::iterate`], for one of the ranks of the dealer. `cx` has the rank's own link, and the keys of all
    /// ranks. Fails also with [`RunError::RankLost`] if another rank has.
    pub fn iterate_in_ranks<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        ranks: &mut impl Ranks,
        iteration: u32,
    ) -> Result<(), RunError> {
        let given = self.session.contributions.is_some();
        self.iterate_with(cx, ranks, iteration, |_, _, numbers| {
            match (given, numbers.first()) {
                (true, Some(&sample)) => Err(DataError::Missing(sample).into()),
                _ => Ok(()),
            }
        })
    }

    /// An iteration. `deal_samples` sends what the samples of a micro-batch take beside their masks.
    fn iterate_with<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        ranks: &mut impl Ranks,
        iteration: u32,
        mut deal_samples: impl FnMut(&mut DealerContext<T>, MicroBatch, &[u32]) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let rank = ranks.rank();
        if rank.count() > self.session.most_ranks() {
            return Err(RunError::TooManyRanks);
        }
        Progress::begin([&mut self.progress, &mut cx.progress], iteration)?;
        let batch = self.session.batch(iteration);
        let train = self.session.task == Task::Train;
        // In inference the weights keep their masks for the whole session.
        if train || iteration == 0 {
            self.mask_weights(cx, batch);
        }
        let stages = self.network.stages.len();
        for micro in MicroBatch::of_rank(rank, batch, self.session.micro_batch) {
            let samples = &mut self.samples[..micro.rows];
            self.session.batch_samples(batch, micro.first, samples);
            deal_samples(cx, micro, samples)?;
            let mut steps = DealerSteps {
                dealer: self,
                cx,
                micro,
            };
            walk::forward(&mut steps, stages)?;
            if train {
                steps.loss()?;
                walk::backward(&mut steps, stages)?;
            } else {
                steps.classes()?;
            }
        }
        if train {
            for memory in &mut self.stages {
                ranks.sum(memory.gradient)?;
            }
            if rank.is_first() {
                self.update(cx, batch)?;
            }
        }
        cx.link.flush()?;
        Progress::end([&mut self.progress, &mut cx.progress], iteration);
        Ok(())
    }

    /// Draws the masks of all weights, and resets the sums for the gradients by the weights.
    fn mask_weights<T: Read + Write>(&mut self, cx: &DealerContext<T>, batch: Batch) {
        let tensors = whole_batch(batch).tensors(self.session, self.network, &[]);
        for (index, memory) in self.stages.iter_mut().enumerate() {
            let mask = tensors.weights(index, Product::Forward);
            memory.weights.fill(cx, mask);
            let mask = tensors.weights(index, Product::InputGradient);
            memory.reopened_weights.fill(cx, mask);
            memory.gradient.fill(R::ZERO);
        }
    }

    /// Sends the corrections of the update at the end of an iteration.
    fn update<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        batch: Batch,
    ) -> Result<(), LinkError> {
        let iteration = batch.iteration;
        let tensors = whole_batch(batch).tensors(self.session, self.network, &[]);
        let audits = Audits::of(&tensors);
        let stages = self.network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            let product = stream_ids::address(iteration, index, Use::WeightGradient);
            let (linear, _) = stage.product();
            Bilinear(linear).deal_weight_gradient(cx, product, memory.gradient)?;
            if self.session.clips() {
                let at = stream_ids::clip(iteration, index);
                let clip = self.gates.clip::<R>();
                clip.deal::<R, _>(cx, at, 2, stage.parameters())?;
            }
            audits.deal::<R, _>(cx, index, Values::Velocities)?;
        }
        if self.session.format.is_direct() {
            return Ok(());
        }
        for (index, stage) in self.network.stages.iter().enumerate() {
            let at = stream_ids::at(iteration, index, Use::Velocity, 0);
            let widen = self.gates.velocity();
            widen.deal::<R::Wide, _>(cx, at, 1, stage.parameters())?;
        }
        Ok(())
    }

    /// The masks of a micro-batch's tensors.
    fn tensors(&self, micro: MicroBatch) -> Tensors<'_> {
        micro.tensors(self.session, self.network, self.samples)
    }
}

/// The micro-batch without rows that addresses what is drawn once for the whole batch.
fn whole_batch(batch: Batch) -> MicroBatch {
    MicroBatch {
        batch,
        first: 0,
        rows: 0,
    }
}

/// The dealer while it works on a micro-batch.
struct DealerSteps<'w, 'a, R: Ring, T> {
    dealer: &'w mut Dealer<'a, R>,
    cx: &'w mut DealerContext<T>,
    micro: MicroBatch,
}

impl<R: Ring, T: Read + Write> DealerSteps<'_, '_, R, T> {
    /// Sends the corrections of the softmax.
    fn loss(&mut self) -> Result<(), LinkError> {
        let at = stream_ids::softmax(self.micro.batch.iteration, self.micro.first);
        let (softmax, tables) = (self.dealer.gates.softmax, &mut self.dealer.tables);
        softmax.deal::<R, _>(self.cx, at, self.micro.rows, tables)
    }

    /// Sends the corrections of the argmax.
    fn classes(&mut self) -> Result<(), LinkError> {
        let iteration = self.micro.batch.iteration;
        let at = stream_ids::argmax(self.dealer.network, iteration, self.micro.first);
        let argmax = self.dealer.gates.argmax();
        argmax.deal(self.cx, at, self.micro.rows)
    }
}

impl<R: Ring, T: Read + Write> Steps<LinkError> for DealerSteps<'_, '_, R, T> {
    fn map(&mut self, stage: usize) -> Result<(), LinkError> {
        let dealer = &mut *self.dealer;
        let tensors = self
            .micro
            .tensors(dealer.session, dealer.network, dealer.samples);
        let (linear, _) = dealer.network.stages[stage].product();
        Bilinear(linear).deal_forward(
            self.cx,
            tensors.span(stage, Product::Forward),
            tensors.operand(stage, Product::Forward),
            dealer.stages[stage].weights.masks(),
            bytemuck::cast_slice_mut(&mut *dealer.scratch),
        )?;
        Audits::of(&tensors).deal::<R, _>(self.cx, stage, Values::Outputs)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), LinkError> {
        let Some(windows) = self.dealer.network.stages[stage].max_pool else {
            return Ok(());
        };
        let [at, _] = self.micro.max_pool(stage);
        let gate = self.dealer.gates.max_pool::<R>(windows, 0);
        gate.deal_forward::<R, _>(self.cx, at, self.micro.rows)
    }

    fn activation(&mut self, stage: usize) -> Result<(), LinkError> {
        let Dealer {
            session,
            network,
            gates,
            ..
        } = *self.dealer;
        let (at, rows) = (self.micro.at(stage, Use::Activation), self.micro.rows);
        let len = network.stages[stage].leaving_len();
        match network.stages[stage].activation {
            Some(Activation::Relu) => gates.relu::<R>().deal::<R, _>(self.cx, at, rows, len),
            Some(Activation::Polynomial(polynomial, _)) => {
                let gate = gates.polynomial(polynomial, session.gradient_drop(network, stage));
                let audits = Audits::of(&self.dealer.tensors(self.micro));
                audits.deal::<R, _>(self.cx, stage, Values::Arguments)?;
                gate.deal_forward(self.cx, at, rows, len)
            }
            None => gates.widen().deal::<R, _>(self.cx, at, rows, len),
        }
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        #[cfg(feature = "private-training")]
        if let Some(Some(clip)) = self.dealer.session.sample_clip(self.dealer.network, stage) {
            return self.clip_samples(clip, stage);
        }
        let dealer = &mut *self.dealer;
        let tensors = self
            .micro
            .tensors(dealer.session, dealer.network, dealer.samples);
        let (linear, rows_each) = dealer.network.stages[stage].product();
        Bilinear(linear).accumulate_weight_gradient(
            self.cx,
            self.micro.rows * rows_each,
            tensors.operand(stage, Product::WeightGradient),
            tensors.gradient(stage, Product::WeightGradient),
            dealer.stages[stage].gradient,
            bytemuck::cast_slice_mut(&mut *dealer.scratch),
        );
        Ok(())
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        let dealer = &mut *self.dealer;
        let tensors = self
            .micro
            .tensors(dealer.session, dealer.network, dealer.samples);
        let (linear, _) = dealer.network.stages[stage].product();
        let memory = &dealer.stages[stage];
        let weights = match dealer.session.protocol.triples().reuse() {
            true => &memory.weights,
            false => &memory.reopened_weights,
        };
        Bilinear(linear).deal_input_gradient(
            self.cx,
            tensors.span(stage, Product::InputGradient),
            tensors.gradient(stage, Product::InputGradient),
            weights.masks(),
            bytemuck::cast_slice_mut(&mut *dealer.scratch),
        )?;
        Audits::of(&tensors).deal::<R, _>(self.cx, stage, Values::Gradients)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        let Dealer {
            session,
            network,
            gates,
            ..
        } = *self.dealer;
        let (rows, len) = (self.micro.rows, network.stages[stage].leaving_len());
        let [forward, at] =
            [Use::Activation, Use::ActivationBackward].map(|which| self.micro.at(stage, which));
        let drop = session.gradient_drop(network, stage);
        match network.stages[stage].activation {
            Some(Activation::Relu) => {
                let relu = (gates.relu::<R>(), forward);
                gates
                    .select(drop)
                    .deal::<R, _>(self.cx, at, relu, rows, len)
            }
            Some(Activation::Polynomial(polynomial, _)) => {
                let gate = gates.polynomial(polynomial, drop);
                gate.deal_backward(self.cx, at, forward, rows, len)
            }
            None => gates
                .widen_backward(drop)
                .deal::<R, _>(self.cx, at, rows, len),
        }
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        let Dealer {
            session,
            network,
            gates,
            ..
        } = *self.dealer;
        let Some(windows) = network.stages[stage].max_pool else {
            return Ok(());
        };
        let [forward, at] = self.micro.max_pool(stage);
        let gate = gates.max_pool::<R>(windows, session.gradient_drop(network, stage));
        gate.deal_backward::<R, _>(self.cx, at, forward, self.micro.rows)
    }
}

impl<R: Ring> Drop for Dealer<'_, R> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            for masks in [&mut memory.weights, &mut memory.reopened_weights] {
                masks.second.zeroize();
                masks.sum.zeroize();
            }
            memory.gradient.zeroize();
        }
        self.scratch.zeroize();
    }
}
