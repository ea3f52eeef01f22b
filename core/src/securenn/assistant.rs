//! The assistant: it helps both computing parties through a session, gate by gate in their order, and sees only what
//! they have blinded.

use embedded_io::{Read, Write};
use zeroize::Zeroize;

use crate::{
    gate::{self, softmax::Tables},
    model::loss::Loss,
    net::link::LinkError,
    network::{
        Activation, Network, Stage,
        walk::{self, Steps},
    },
    num::arena::{Arena, ArenaTooSmall},
    session::{Session, Task},
};

use super::{
    context::AssistantContext,
    gates::{
        At,
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
        let (stages, task) = (self.network.stages.len(), self.session.task);
        for (first, rows) in batch.micro_batches(self.session.micro_batch) {
            let (step, rows) = (
                stream_ids::step(self.session, iteration, first),
                rows as usize,
            );
            let mut steps = AssistantSteps {
                assistant: self,
                cx,
                step,
                rows,
            };
            walk::forward(&mut steps, stages)?;
            match task {
                Task::Infer => steps.class()?,
                Task::Train => {
                    steps.loss()?;
                    walk::backward(&mut steps, stages)?;
                }
            }
        }
        cx.flush()
    }
}

/// An assistant at work on a micro-batch.
struct AssistantSteps<'w, 'a, F, S> {
    assistant: &'w mut Assistant<'a>,
    cx: &'w mut AssistantContext<F, S>,
    /// Number of the micro-batch in the run.
    step: u32,
    rows: usize,
}

impl<F: Read + Write, S: Read + Write> AssistantSteps<'_, '_, F, S> {
    fn at(&self, stage: usize, which: Use) -> At {
        stream_ids::at(self.step, stage, which)
    }

    fn stage(&self, stage: usize) -> &Stage {
        &self.assistant.network.stages[stage]
    }

    /// Values that leave a stage, of the whole micro-batch.
    fn leaving_len(&self, stage: usize) -> usize {
        self.rows * self.stage(stage).leaving_len()
    }

    fn product(&mut self, stage: usize, which: Use, wanted: Wanted) -> Result<(), LinkError> {
        let gate = map(self.stage(stage), wanted, self.rows);
        let at = self.at(stage, which);
        let mut memory = Cut(self.assistant.scratch).assistant_memory(gate);
        gate.assist(self.cx, at, &mut memory)
    }

    fn loss(&mut self) -> Result<(), LinkError> {
        let (session, network) = (self.assistant.session, self.assistant.network);
        let last = network.stages.len() - 1;
        if session.protocol.loss() == Loss::Normalised {
            let len = self.rows * network.classes;
            let [relu_at, division_at] =
                [Use::Relu, Use::Division].map(|which| self.at(last, which));
            let mut scratch = Cut(self.assistant.scratch).scratch_words(len);
            Relu { bits: BITS }.assist(self.cx, relu_at, len, &mut scratch)?;
            let division = Division {
                bits: BITS,
                fraction: session.format.fraction,
            };
            return division.assist(self.cx, division_at, len, &mut scratch);
        }
        let at = gate::At {
            iteration: self.step,
            gate: self.at(last, Use::Softmax).gate,
            row: 0,
        };
        let tables = &mut self.assistant.tables;
        softmax(session, network).deal::<u64, _>(self.cx, at, self.rows, tables)
    }

    fn class(&mut self) -> Result<(), LinkError> {
        let gate = MaxPool {
            bits: BITS,
            places: self.assistant.network.classes,
        };
        let at = self.at(self.assistant.network.stages.len() - 1, Use::Class);
        let mut scratch = Cut(self.assistant.scratch).scratch_words(self.rows);
        gate.assist(self.cx, at, self.rows, &mut scratch)
    }
}

impl<F: Read + Write, S: Read + Write> Steps<LinkError> for AssistantSteps<'_, '_, F, S> {
    fn map(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::Output, Wanted::Output)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), LinkError> {
        let Some(windows) = self.stage(stage).max_pool else {
            return Ok(());
        };
        let (at, len) = (self.at(stage, Use::MaxPool), self.leaving_len(stage));
        let places = windows.places();
        let mut scratch = Cut(self.assistant.scratch).scratch_words(len);
        MaxPool { bits: BITS, places }.assist(self.cx, at, len, &mut scratch)
    }

    fn activation(&mut self, stage: usize) -> Result<(), LinkError> {
        if self.stage(stage).activation != Some(Activation::Relu) {
            return Ok(());
        }
        let (at, len) = (self.at(stage, Use::Relu), self.leaving_len(stage));
        let mut scratch = Cut(self.assistant.scratch).scratch_words(len);
        Relu { bits: BITS }.assist(self.cx, at, len, &mut scratch)
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::WeightGradient, Wanted::WeightGradient)
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::InputGradient, Wanted::InputGradient)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        if self.stage(stage).activation != Some(Activation::Relu) {
            return Ok(());
        }
        let (at, len) = (self.at(stage, Use::ReluBack), self.leaving_len(stage));
        Product { bits: BITS }.assist(self.cx, at, len)
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        let Some(windows) = self.stage(stage).max_pool else {
            return Ok(());
        };
        let len = self.leaving_len(stage);
        let [one_hot_at, at] = [Use::OneHot, Use::MaxPoolBack].map(|which| self.at(stage, which));
        let places = turned_places(windows.places());
        if let Some(gate) = OneHot::new(BITS, places) {
            let mut cut = Cut(self.assistant.scratch);
            let planes = cut.words(places * len);
            gate.assist(
                self.cx,
                one_hot_at,
                len,
                planes,
                &mut cut.scratch_words(len),
            )?;
        }
        Product { bits: BITS }.assist(self.cx, at, windows.places() * len)
    }
}

impl Drop for Assistant<'_> {
    fn drop(&mut self) {
        self.scratch.zeroize();
    }
}
