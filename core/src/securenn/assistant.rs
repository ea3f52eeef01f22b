//! The assistant: it helps both computing parties through a session, gate by gate in their order, and sees only what
//! they have blinded.

use embedded_io::{Read, Write};
use zeroize::Zeroize;

use crate::{
    gate::{self, softmax::Tables},
    model::loss::Loss,
    net::link::LinkError,
    network::{Activation, Network, Stage},
    num::arena::{Arena, ArenaTooSmall},
    session::{Session, Task},
};

use super::{
    context::AssistantContext,
    gates::{
        division::Division,
        linear::Wanted,
        maxpool::{MaxPool, OneHot},
        product::Product,
        sign::Relu,
    },
    layout::{AssistantLengths, Cut, assistant_words, map, softmax, turned_places},
    stream_ids::{self, Use},
};

const BITS: u32 = u64::BITS;

/// The assistant of a session. What it drew is wiped when it is dropped.
pub struct Assistant<'a> {
    session: &'a Session,
    network: &'a Network,
    scratch: &'a mut [u64],
    tables: Tables<'a>,
}

impl<'a> Assistant<'a> {
    /// Sets up an assistant of a session that [`check`](crate::securenn::check) took. `memory` holds at least
    /// [`assistant_words`].
    pub fn new(
        session: &'a Session,
        network: &'a Network,
        memory: &'a mut [u64],
    ) -> Result<Self, ArenaTooSmall> {
        let mut arena = Arena::new(memory, assistant_words(session, network))?;
        let lengths = AssistantLengths::new(session, network);
        Ok(Assistant {
            session,
            network,
            scratch: arena.take(lengths.scratch),
            tables: softmax(session, network).tables(arena.take(lengths.tables)),
        })
    }

    /// Takes part in one iteration of training or of inference.
    pub fn iterate<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        iteration: u32,
    ) -> Result<(), LinkError> {
        let batch = self.session.batch(iteration);
        for (first, rows) in batch.micro_batches(self.session.micro_batch) {
            let (step, rows) = (
                stream_ids::step(self.session, iteration, first),
                rows as usize,
            );
            for (index, stage) in self.network.stages.iter().enumerate() {
                self.map(cx, step, (index, stage, Wanted::Output), rows)?;
                self.activation(cx, step, (index, stage), rows)?;
            }
            match self.session.task {
                Task::Infer => self.class(cx, step, rows)?,
                Task::Train => {
                    self.loss(cx, step, rows)?;
                    self.backward(cx, step, rows)?;
                }
            }
        }
        cx.flush()
    }

    fn backward<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        rows: usize,
    ) -> Result<(), LinkError> {
        for (index, stage) in self.network.stages.iter().enumerate().rev() {
            self.activation_back(cx, step, (index, stage), rows)?;
            self.map(cx, step, (index, stage, Wanted::WeightGradient), rows)?;
            if index > 0 {
                self.map(cx, step, (index, stage, Wanted::InputGradient), rows)?;
            }
        }
        Ok(())
    }

    fn map<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        (index, stage, wanted): (usize, &Stage, Wanted),
        rows: usize,
    ) -> Result<(), LinkError> {
        let which = match wanted {
            Wanted::Output => Use::Output,
            Wanted::WeightGradient => Use::WeightGradient,
            Wanted::InputGradient => Use::InputGradient,
        };
        let gate = map(stage, wanted, rows);
        let mut memory = Cut(self.scratch).assistant_memory(gate);
        gate.assist(cx, stream_ids::at(step, index, which), &mut memory)
    }

    fn activation<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        (index, stage): (usize, &Stage),
        rows: usize,
    ) -> Result<(), LinkError> {
        let len = rows * stage.leaving_len();
        let mut scratch = Cut(self.scratch).scratch_words(len);
        if let Some(windows) = stage.max_pool {
            let places = windows.places();
            let gate = MaxPool { bits: BITS, places };
            let at = stream_ids::at(step, index, Use::MaxPool);
            gate.assist(cx, at, len, &mut scratch)?;
        }
        if stage.activation == Some(Activation::Relu) {
            let at = stream_ids::at(step, index, Use::Relu);
            Relu { bits: BITS }.assist(cx, at, len, &mut scratch)?;
        }
        Ok(())
    }

    fn activation_back<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        (index, stage): (usize, &Stage),
        rows: usize,
    ) -> Result<(), LinkError> {
        let len = rows * stage.leaving_len();
        let product = Product { bits: BITS };
        if stage.activation == Some(Activation::Relu) {
            product.assist(cx, stream_ids::at(step, index, Use::ReluBack), len)?;
        }
        let Some(windows) = stage.max_pool else {
            return Ok(());
        };
        let places = turned_places(windows.places());
        if let Some(gate) = OneHot::new(BITS, places) {
            let mut cut = Cut(self.scratch);
            let planes = cut.words(places * len);
            let at = stream_ids::at(step, index, Use::OneHot);
            gate.assist(cx, at, len, planes, &mut cut.scratch_words(len))?;
        }
        let at = stream_ids::at(step, index, Use::MaxPoolBack);
        product.assist(cx, at, windows.places() * len)
    }

    fn loss<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        rows: usize,
    ) -> Result<(), LinkError> {
        let last = self.network.stages.len() - 1;
        let at = |which| stream_ids::at(step, last, which);
        if self.session.protocol.loss() == Loss::Normalised {
            let len = rows * self.network.classes;
            let mut scratch = Cut(self.scratch).scratch_words(len);
            Relu { bits: BITS }.assist(cx, at(Use::Relu), len, &mut scratch)?;
            let division = Division {
                bits: BITS,
                fraction: self.session.format.fraction,
            };
            return division.assist(cx, at(Use::Division), len, &mut scratch);
        }
        let at = gate::At {
            iteration: step,
            gate: at(Use::Softmax).gate,
            row: 0,
        };
        softmax(self.session, self.network).deal::<u64, _>(cx, at, rows, &mut self.tables)
    }

    fn class<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        step: u32,
        rows: usize,
    ) -> Result<(), LinkError> {
        let gate = MaxPool {
            bits: BITS,
            places: self.network.classes,
        };
        let at = stream_ids::at(step, self.network.stages.len() - 1, Use::Class);
        let mut scratch = Cut(self.scratch).scratch_words(rows);
        gate.assist(cx, at, rows, &mut scratch)
    }
}

impl Drop for Assistant<'_> {
    fn drop(&mut self) {
        self.scratch.zeroize();
    }
}
