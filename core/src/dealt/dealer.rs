//! The dealer: correlated randomness for both parties, from their keys alone. It never sees an
//! opened value. P0 needs nothing beyond its key; P1 gets a stream of corrections in the order in
//! which it will ask for them.

use embedded_io::{Read, Write};
use heapless::Vec;
use zeroize::Zeroize;

use crate::{
    Role,
    dealt::{
        audit::{Audits, Kind},
        gate_set::GateSet,
        layout::{dealer_scratch, weights_again_len},
        plan::Plan,
        stream_ids::{self, Product, Tensors, Use},
    },
    gate::{
        Offline,
        bilinear::Bilinear,
        softmax::Tables,
        tensor::{Masks, WholeMask, whole_masks},
    },
    net::link::{Link, LinkError},
    network::{Activation, MAX_STAGES, Network},
    num::{
        arena::{Arena, ArenaTooSmall},
        ring::Ring,
    },
    prg::{Key, Prg},
    session::{Batch, Session, Task},
};

/// What the dealer holds beside its memory: both keys and the link to P1.
pub struct DealerContext<T> {
    prgs: [Prg; 2],
    link: Link<T>,
}

impl<T: Read + Write> DealerContext<T> {
    /// A supply for the parties with these keys.
    pub fn new(keys: [Key; 2], link: Link<T>) -> Self {
        DealerContext {
            prgs: keys.map(Prg::new),
            link,
        }
    }

    /// Bytes of corrections sent so far.
    pub fn sent(&self) -> u64 {
        self.link.sent()
    }

    /// The link to P1, for what follows the last correction.
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
    /// Masks of the weights as they are opened again, if they are.
    weights_again: WeightMasks<'a, R>,
    /// Products of masks, summed over the batch, for the gradient by the weights.
    gradient: &'a mut [R],
}

/// Masks of weights: P1's part, and both parts together.
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

/// The dealer of a session. Its masks are wiped when it is dropped.
pub struct Dealer<'a, R: Ring> {
    session: &'a Session,
    network: &'a Network,
    gates: GateSet,
    stages: Vec<StageMemory<'a, R>, MAX_STAGES>,
    tables: Tables<'a>,
    scratch: &'a mut [u64],
    samples: &'a mut [u32],
}

impl<'a, R: Ring> Dealer<'a, R> {
    /// Sets up a dealer. `memory` holds at least [`Plan::dealer_arena_words`].
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
                weights_again: WeightMasks::take(&mut arena, weights_again_len(session, stage)),
                gradient: arena.take(stage.linear.weight_len()),
            });
        }
        let gates = GateSet::new(session, network);
        let tables = arena.take(gates.softmax.table_len());
        Ok(Dealer {
            session,
            network,
            gates,
            stages,
            tables: gates.softmax.tables(tables),
            scratch: arena.take(dealer_scratch::<R>(network, rows)),
            samples: arena.take(rows),
        })
    }

    /// Sends what one iteration needs, of training or of inference, as the session says; each once and in order.
    pub fn iterate<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        iteration: u32,
    ) -> Result<(), LinkError> {
        let batch = self.session.batch(iteration);
        let train = self.session.task == Task::Train;
        // In inference the weights keep their masks.
        if train || iteration == 0 {
            self.mask_weights(cx, batch);
        }
        for (first, rows) in batch.micro_batches(self.session.micro_batch) {
            let samples = &mut self.samples[..rows as usize];
            self.session.batch_samples(batch, first, samples);
            self.forward(cx, batch, first, rows as usize)?;
            if train {
                let at = stream_ids::softmax(iteration, first);
                let (softmax, tables) = (self.gates.softmax, &mut self.tables);
                softmax.deal::<R, _>(cx, at, rows as usize, tables)?;
                self.backward(cx, batch, first, rows as usize)?;
            } else {
                let at = stream_ids::argmax(self.network, iteration, first);
                let argmax = self.gates.argmax::<R>();
                argmax.deal::<R, _>(cx, at, rows as usize)?;
            }
        }
        if train {
            self.update(cx, batch)?;
        }
        cx.link.flush()
    }

    /// Draws the masks of all weights.
    fn mask_weights<T: Read + Write>(&mut self, cx: &DealerContext<T>, batch: Batch) {
        let tensors = Self::tensors(self.session, self.network, &[], batch, 0);
        for (index, memory) in self.stages.iter_mut().enumerate() {
            let mask = tensors.weights(index, Product::Forward);
            memory.weights.fill(cx, mask);
            let mask = tensors.weights(index, Product::InputGradient);
            memory.weights_again.fill(cx, mask);
            memory.gradient.fill(R::ZERO);
        }
    }

    /// What the update at the end of an iteration needs.
    fn update<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        batch: Batch,
    ) -> Result<(), LinkError> {
        let iteration = batch.iteration;
        let tensors = Self::tensors(self.session, self.network, &[], batch, 0);
        let audits = Audits::of(&tensors);
        let stages = self.network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            let product = stream_ids::address(iteration, index, Use::WeightGradient);
            let (linear, _) = stage.product();
            Bilinear(linear).deal_weight_gradient(cx, product, memory.gradient)?;
            audits.deal::<R, _>(cx, index, Kind::Velocity)?;
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

    fn tensors<'s>(
        session: &'s Session,
        network: &'s Network,
        samples: &'s [u32],
        batch: Batch,
        first: u32,
    ) -> Tensors<'s> {
        Tensors {
            session,
            network,
            samples,
            iteration: batch.iteration,
            first,
        }
    }

    fn forward<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        batch: Batch,
        first: u32,
        rows: usize,
    ) -> Result<(), LinkError> {
        let samples = &self.samples[..rows];
        let tensors = Self::tensors(self.session, self.network, samples, batch, first);
        let last = self.network.stages.len() - 1;
        for (index, stage) in self.network.stages.iter().enumerate() {
            let (linear, _) = stage.product();
            let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
            Bilinear(linear).deal_forward(
                cx,
                tensors.span(index, Product::Forward),
                tensors.operand(index, Product::Forward),
                self.stages[index].weights.masks(),
                scratch,
            )?;
            let audits = Audits::of(&tensors);
            audits.deal::<R, _>(cx, index, Kind::Product)?;
            if index == last {
                continue;
            }
            if let Some(windows) = stage.max_pool {
                let at = stream_ids::max_pool(batch.iteration, index, false, first);
                let gate = self.gates.max_pool::<R>(windows, 0);
                gate.deal_forward::<R, _>(cx, at, rows)?;
            }
            let at = stream_ids::at(batch.iteration, index, Use::Activation, first);
            let len = stage.leaving_len();
            match stage.activation {
                Some(Activation::Relu) => {
                    let relu = self.gates.relu::<R>();
                    relu.deal::<R, _>(cx, at, rows, len)?;
                }
                Some(Activation::Polynomial(polynomial, _)) => {
                    let drop = self.session.gradient_drop(self.network, index);
                    let gate = self.gates.polynomial(polynomial, drop);
                    audits.deal::<R, _>(cx, index, Kind::Polynomial)?;
                    gate.deal_forward(cx, at, rows, len)?;
                }
                None => {
                    let widen = self.gates.widen();
                    widen.deal::<R, _>(cx, at, rows, len)?;
                }
            }
        }
        Ok(())
    }

    fn backward<T: Read + Write>(
        &mut self,
        cx: &mut DealerContext<T>,
        batch: Batch,
        first: u32,
        rows: usize,
    ) -> Result<(), LinkError> {
        let samples = &self.samples[..rows];
        let tensors = Self::tensors(self.session, self.network, samples, batch, first);
        for (index, stage) in self.network.stages.iter().enumerate().rev() {
            let (linear, rows_each) = stage.product();
            let gate = Bilinear(linear);
            let memory = &mut self.stages[index];
            let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
            gate.accumulate_weight_gradient(
                cx,
                rows * rows_each,
                tensors.operand(index, Product::WeightGradient),
                tensors.gradient(index, Product::WeightGradient),
                memory.gradient,
                scratch,
            );
            if index == 0 {
                continue;
            }
            let span = tensors.span(index, Product::InputGradient);
            let dy = tensors.gradient(index, Product::InputGradient);
            let weights = if self.session.protocol.triples().reuse() {
                &memory.weights
            } else {
                &memory.weights_again
            };
            gate.deal_input_gradient(cx, span, dy, weights.masks(), scratch)?;
            let audits = Audits::of(&tensors);
            audits.deal::<R, _>(cx, index, Kind::InputGradient)?;
            self.activation_back(cx, batch, [first, rows as u32], index - 1)?;
            self.max_pool_back(cx, batch, [first, rows as u32], index - 1)?;
        }
        Ok(())
    }

    /// What the way back through what follows stage `index` needs.
    fn activation_back<T: Read + Write>(
        &self,
        cx: &mut DealerContext<T>,
        batch: Batch,
        [first, rows]: [u32; 2],
        index: usize,
    ) -> Result<(), LinkError> {
        let stage = &self.network.stages[index];
        let (rows, len) = (rows as usize, stage.leaving_len());
        let at = stream_ids::at(batch.iteration, index, Use::ActivationBack, first);
        let forward = stream_ids::at(batch.iteration, index, Use::Activation, first);
        let drop = self.session.gradient_drop(self.network, index);
        match stage.activation {
            Some(Activation::Relu) => {
                let relu = (self.gates.relu::<R>(), forward);
                let select = self.gates.select(drop);
                select.deal::<R, _>(cx, at, relu, rows, len)
            }
            Some(Activation::Polynomial(polynomial, _)) => {
                let gate = self.gates.polynomial(polynomial, drop);
                gate.deal_backward(cx, at, forward, rows, len)
            }
            None => {
                let widen = self.gates.widen_back(drop);
                widen.deal::<R, _>(cx, at, rows, len)
            }
        }
    }

    /// What the way back through the max pooling of stage `index` needs.
    fn max_pool_back<T: Read + Write>(
        &self,
        cx: &mut DealerContext<T>,
        batch: Batch,
        [first, rows]: [u32; 2],
        index: usize,
    ) -> Result<(), LinkError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        let drop = self.session.gradient_drop(self.network, index);
        let [forward, at] =
            [false, true].map(|back| stream_ids::max_pool(batch.iteration, index, back, first));
        let gate = self.gates.max_pool::<R>(windows, drop);
        gate.deal_backward::<R, _>(cx, at, forward, rows as usize)
    }
}

impl<R: Ring> Drop for Dealer<'_, R> {
    fn drop(&mut self) {
        for memory in &mut self.stages {
            for masks in [&mut memory.weights, &mut memory.weights_again] {
                masks.second.zeroize();
                masks.sum.zeroize();
            }
            memory.gradient.zeroize();
        }
        self.scratch.zeroize();
    }
}
