//! The assistant: it takes part in the gates of both computing parties, in their order, and sees only masked values.

use embedded_io::{Read, Write};
use zeroize::Zeroize;

use crate::{
    gate::softmax::Tables,
    model::loss::Loss,
    net::link::LinkError,
    network::{
        Activation, Network, Stage,
        walk::{self, Steps},
    },
    num::arena::{Arena, ArenaTooSmall},
    session::{Progress, Rank, RunError, Session, Task},
    share::Values,
};

use super::{
    audit::Audits,
    context::AssistantContext,
    gates::{
        At,
        division::Division,
        linear::Wanted,
        maxpool::{MaxPool, OneHot},
        product::Product,
        sign::Relu,
    },
    layout::{AssistantLengths, ScratchSplitter, assistant_words, map_gate, one_hot_len, softmax},
    stream_ids::{self, Use},
};

const BITS: u32 = u64::BITS;

/// The assistant of a session. It wipes its scratch memory when it is dropped.
pub struct Assistant<'a> {
    session: &'a Session,
    network: &'a Network,
    /// The next iteration.
    progress: Progress,
    scratch: &'a mut [u64],
    tables: Tables<'a>,
}

impl<'a> Assistant<'a> {
    /// Sets up the assistant of a session that [`check`](crate::securenn::check) accepts. `memory` has at least
    /// [`assistant_words`] words of 64 bits; fails if it is too small.
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
            progress: Progress::Next(0),
            scratch: arena.take(lengths.scratch),
            tables: softmax(session, network).tables(arena.take(lengths.tables)),
        })
    }

    /// Makes iteration `iteration` of a training session the next one, for parties that took back a state. The
    /// assistant has no state of its own; give it a new context with new keys.
    ///
    /// Fails with [`RunError::Task`] in inference, and with [`RunError::Iteration`] if the session ends before.
    pub fn start_at(&mut self, iteration: u32) -> Result<(), RunError> {
        self.progress = Progress::start_at(self.session, iteration)?;
        Ok(())
    }

    /// Takes part in one iteration of training or inference. Iterations run in order from 0, each once.
    ///
    /// Fails if a link does. After that neither the assistant nor `cx` takes another iteration ([`RunError::Spent`]).
    /// An iteration out of order is refused with [`RunError::Iteration`].
    pub fn iterate<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        iteration: u32,
    ) -> Result<(), RunError> {
        self.iterate_as_rank(cx, Rank::ONLY, iteration)
    }

    /// As [`Assistant::iterate`], as one of the assistant's ranks, which exchange nothing. `cx` has the rank's own links,
    /// and the keys of all ranks.
    ///
    /// Fails also with [`RunError::TooManyRanks`] if there is no work for so many.
    pub fn iterate_as_rank<F: Read + Write, S: Read + Write>(
        &mut self,
        cx: &mut AssistantContext<F, S>,
        rank: Rank,
        iteration: u32,
    ) -> Result<(), RunError> {
        if rank.count() > 1 && rank.count() > self.session.most_ranks() {
            return Err(RunError::TooManyRanks);
        }
        Progress::begin([&mut self.progress, cx.progress()], iteration)?;
        let batch = self.session.batch(iteration);
        let (stages, task) = (self.network.stages.len(), self.session.task);
        for (first, rows) in rank.micro_batches(batch, self.session.micro_batch) {
            let parameters = (self.session, self.network);
            let mut steps = AssistantSteps {
                audits: Audits::of_rows(parameters, iteration, first, rows as usize),
                assistant: self,
                cx,
                step: stream_ids::step(parameters.0, iteration, first),
                rows: rows as usize,
            };
            walk::forward(&mut steps, stages)?;
            match task {
                Task::Infer | Task::Evaluate => steps.classify()?,
                Task::Train => {
                    steps.loss()?;
                    walk::backward(&mut steps, stages)?;
                }
            }
        }
        if task == Task::Train && rank.is_first() {
            let audits = Audits::of_iteration(self.session, self.network, iteration);
            for stage in 0..stages {
                audits.deal::<u64, _>(cx, stage, Values::Velocities)?;
            }
        }
        cx.flush()?;
        Progress::end([&mut self.progress, cx.progress()], iteration);
        Ok(())
    }
}

/// The assistant while it works on a micro-batch.
struct AssistantSteps<'w, 'a, F, S> {
    assistant: &'w mut Assistant<'a>,
    cx: &'w mut AssistantContext<F, S>,
    /// Number of the micro-batch in the run.
    step: u32,
    rows: usize,
    audits: Audits<'a>,
}

impl<F: Read + Write, S: Read + Write> AssistantSteps<'_, '_, F, S> {
    fn at(&self, stage: usize, which: Use) -> At {
        stream_ids::at(self.step, stage, which)
    }

    fn stage(&self, stage: usize) -> &Stage {
        &self.assistant.network.stages[stage]
    }

    /// Values of a stage's output, for the whole micro-batch.
    fn leaving_len(&self, stage: usize) -> usize {
        self.rows * self.stage(stage).leaving_len()
    }

    /// The assistant's part of one product of a stage's map.
    fn product(&mut self, stage: usize, which: Use, wanted: Wanted) -> Result<(), LinkError> {
        let gate = map_gate(self.stage(stage), wanted, self.rows);
        let at = self.at(stage, which);
        let mut memory = ScratchSplitter(self.assistant.scratch).assistant_product_memory(gate);
        gate.assist(self.cx, at, &mut memory)
    }

    /// The assistant's part of the loss.
    fn loss(&mut self) -> Result<(), LinkError> {
        let (session, network) = (self.assistant.session, self.assistant.network);
        let last = network.stages.len() - 1;
        if session.protocol.loss() == Loss::Normalised {
            let len = self.rows * network.classes;
            let [relu_at, division_at] =
                [Use::Relu, Use::Division].map(|which| self.at(last, which));
            let mut scratch = ScratchSplitter(self.assistant.scratch).word_scratch(len);
            Relu { bits: BITS }.assist(self.cx, relu_at, len, &mut scratch)?;
            let division = Division {
                bits: BITS,
                fraction: session.format.fraction,
            };
            return division.assist(self.cx, division_at, len, &mut scratch);
        }
        let at = stream_ids::dealt(self.at(last, Use::Softmax));
        let tables = &mut self.assistant.tables;
        softmax(session, network).deal::<u64, _>(self.cx, at, self.rows, tables)
    }

    /// The assistant's part of finding the classes.
    fn classify(&mut self) -> Result<(), LinkError> {
        let gate = MaxPool {
            bits: BITS,
            places: self.assistant.network.classes,
        };
        let at = self.at(self.assistant.network.stages.len() - 1, Use::Class);
        let mut scratch = ScratchSplitter(self.assistant.scratch).word_scratch(self.rows);
        gate.assist(self.cx, at, self.rows, &mut scratch)
    }
}

impl<F: Read + Write, S: Read + Write> Steps<LinkError> for AssistantSteps<'_, '_, F, S> {
    fn map(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::Output, Wanted::Output)?;
        self.audits.deal::<u64, _>(self.cx, stage, Values::Outputs)
    }

    fn max_pool(&mut self, stage: usize) -> Result<(), LinkError> {
        let Some(windows) = self.stage(stage).max_pool else {
            return Ok(());
        };
        let (at, len) = (self.at(stage, Use::MaxPool), self.leaving_len(stage));
        let places = windows.positions();
        let mut scratch = ScratchSplitter(self.assistant.scratch).word_scratch(len);
        MaxPool { bits: BITS, places }.assist(self.cx, at, len, &mut scratch)
    }

    fn activation(&mut self, stage: usize) -> Result<(), LinkError> {
        if self.stage(stage).activation != Some(Activation::Relu) {
            return Ok(());
        }
        let (at, len) = (self.at(stage, Use::Relu), self.leaving_len(stage));
        let mut scratch = ScratchSplitter(self.assistant.scratch).word_scratch(len);
        Relu { bits: BITS }.assist(self.cx, at, len, &mut scratch)
    }

    fn weight_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::WeightGradient, Wanted::WeightGradient)
    }

    fn input_gradient(&mut self, stage: usize) -> Result<(), LinkError> {
        self.product(stage, Use::InputGradient, Wanted::InputGradient)?;
        self.audits
            .deal::<u64, _>(self.cx, stage, Values::Gradients)
    }

    fn activation_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        if self.stage(stage).activation != Some(Activation::Relu) {
            return Ok(());
        }
        let (at, len) = (self.at(stage, Use::ReluBackward), self.leaving_len(stage));
        Product { bits: BITS }.assist(self.cx, at, len)
    }

    fn max_pool_backward(&mut self, stage: usize) -> Result<(), LinkError> {
        let Some(windows) = self.stage(stage).max_pool else {
            return Ok(());
        };
        let len = self.leaving_len(stage);
        let [one_hot_at, at] =
            [Use::OneHot, Use::MaxPoolBackward].map(|which| self.at(stage, which));
        let places = one_hot_len(windows.positions());
        if let Some(gate) = OneHot::new(BITS, places) {
            let mut splitter = ScratchSplitter(self.assistant.scratch);
            let planes = splitter.take(places * len);
            gate.assist(
                self.cx,
                one_hot_at,
                len,
                planes,
                &mut splitter.word_scratch(len),
            )?;
        }
        Product { bits: BITS }.assist(self.cx, at, windows.positions() * len)
    }
}

impl Drop for Assistant<'_> {
    fn drop(&mut self) {
        self.scratch.zeroize();
    }
}
