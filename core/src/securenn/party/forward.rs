//! The forward pass: from pixels to shares of the logits.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    data::{Data, read_pixels},
    kernel::linear::Linear,
    model::cost_rows::{activation_row, map_row},
    network::{Activation, Stage, walk},
    session::{Batch, RunError},
    share::{Factor, Share, Values, observer::Observer},
};

use super::{MicroBatch, Party, steps::PartySteps};
use crate::securenn::{
    context::PartyContext,
    gates::{
        linear::Wanted,
        maxpool::{MaxPool, Steps},
        sign::Relu,
    },
    layout::{ScratchSplitter, map_gate},
    scale::truncate_within_ring,
    stream_ids::{self, Use},
};

/// Bits of the ring.
pub(super) const BITS: u32 = u64::BITS;

impl Party<'_> {
    /// Fills the first stage's operand for the micro-batch that starts at row `first` of a batch: this party's pixels
    /// are its shares of its own samples, and its shares of the peer's samples are zero. Returns the micro-batch.
    ///
    /// Fails if a sample of this party is missing.
    pub(super) fn load(
        &mut self,
        batch: Batch,
        first: u32,
        rows: u32,
        data: &mut impl Data,
        observer: &mut impl Observer<u64>,
    ) -> Result<MicroBatch, RunError> {
        let micro = MicroBatch {
            iteration: batch.iteration,
            first,
            step: stream_ids::step(self.session, batch.iteration, first),
            rows: rows as usize,
        };
        let stage = &self.network.stages[0];
        let len = stage.linear.input_len();
        let normalisation = (&self.session.normalisation, self.network.input[2]);
        let samples = &mut self.samples[..micro.rows];
        self.session.batch_samples(batch, first, samples);
        for (row, &sample) in samples.iter().enumerate() {
            let operand = &mut self.stages[0].operand[row * len..][..len];
            if self.session.owner(sample) != self.role {
                operand.fill(0);
                observer.factor(0, Factor::Input, &[]);
                continue;
            }
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *self.scratch);
            let pixels = &mut bytes[..stage.entering_len()];
            data.pixels(self.session.local_index(sample), pixels)?;
            read_pixels(
                stage,
                normalisation,
                self.session.format.fraction,
                pixels,
                operand,
            );
            observer.factor(0, Factor::Input, Share::wrap_slice(operand));
        }
        Ok(micro)
    }

    /// Runs all stages. Leaves shares of the logits, rows x classes, in the current buffer.
    pub(super) fn forward<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        observer: &mut impl Observer<u64>,
    ) -> Result<(), RunError> {
        let stages = self.network.stages.len();
        let mut steps = PartySteps {
            party: self,
            cx,
            micro,
            observer,
        };
        walk::forward(&mut steps, stages)
    }

    /// Copies the output of the stage before from the current buffer to a stage's operand, and pools it if the stage
    /// pools its input.
    pub(super) fn load_operand(
        &mut self,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<u64>,
    ) {
        let len = micro.rows * self.network.stages[index - 1].leaving_len();
        self.stages[index].operand[..len].copy_from_slice(&self.current[..len]);
        if let Some(pool) = self.network.stages[index].pooled_input {
            pool.sum_in_place(micro.rows, self.stages[index].operand, self.next);
        }
        let len = micro.rows * self.network.stages[index].linear.input_len();
        let input = &self.stages[index].operand[..len];
        observer.factor(index, Factor::Input, Share::wrap_slice(input));
    }

    /// The left operand of a stage's products: its input, or all patches of the input of an unrolled convolution, which
    /// this writes to `patches`.
    pub(super) fn left_operand<'s>(
        stage: &Stage,
        rows: usize,
        operand: &'s [u64],
        patches: &'s mut [u64],
    ) -> &'s [u64] {
        let len = stage.linear.input_len();
        let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) else {
            return &operand[..rows * len];
        };
        let out_len = stage.operand_len();
        for row in 0..rows {
            let image = &operand[row * len..][..len];
            conv.unroll(image, &mut patches[row * out_len..][..out_len]);
        }
        &patches[..rows * out_len]
    }

    /// Runs a stage's bilinear map with average pooling, bias and truncation, and audits the result. Leaves the result in the current buffer.
    pub(super) fn map<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<u64>,
    ) -> Result<(), RunError> {
        let audits = self.audits(micro);
        let (stage, memory) = (&self.network.stages[index], &mut self.stages[index]);
        let (role, fraction, rows) = (self.role, self.session.format.fraction, micro.rows);
        cx.set_cost_row(map_row(index), false);
        let (weights, biases) = memory.master.split_at(stage.linear.weight_len());
        let right = &mut self.right[..weights.len()];
        for (right, &weight) in right.iter_mut().zip(weights) {
            *right = truncate_within_ring(role, weight, fraction);
        }
        observer.factor(index, Factor::Weights, Share::wrap_slice(right));
        observer.factor(index, Factor::Biases, Share::wrap_slice(biases));
        let left = Self::left_operand(stage, rows, memory.operand, self.patches);
        let gate = map_gate(stage, Wanted::Output, rows);
        let mut product_memory = ScratchSplitter(self.scratch).product_memory(gate);
        let at = stream_ids::at(micro.step, index, Use::Output);
        let product = &mut self.next[..rows * stage.product_len()];
        gate.run(cx, at, left, right, product, &mut product_memory)?;
        let out = &mut self.current[..rows * stage.linear.output_len()];
        match stage.pooled_product() {
            Some(pool) => pool.sum(product, out),
            None => out.copy_from_slice(product),
        }
        for out in out.chunks_exact_mut(biases.len()) {
            for (out, &bias) in out.iter_mut().zip(biases) {
                *out = out.wrapping_add(bias);
            }
        }
        Self::truncate(role, self.session, out);
        let audited = audits.tensor::<u64>(index, Values::Outputs);
        let values = Share::wrap_slice(out);
        self.audit
            .observe_and_count(cx, observer, audited, values)?;
        Ok(())
    }

    /// Max pooling in the current buffer, if the stage has it.
    pub(super) fn max_pool<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let Some(windows) = stage.max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), false);
        let (places, out) = (windows.positions(), windows.output_len());
        let len = micro.rows * out;
        let mut splitter = ScratchSplitter(self.scratch);
        let planes = splitter.take(places * len);
        let image = splitter.take(places * out);
        let images = self.current.chunks_exact(windows.input_len());
        for (row, values) in images.take(micro.rows).enumerate() {
            windows.gather(values, image);
            for (plane, values) in planes.chunks_exact_mut(len).zip(image.chunks_exact(out)) {
                plane[row * out..][..out].copy_from_slice(values);
            }
        }
        let mut steps = Steps {
            outcome: splitter.take(len),
            place: splitter.take(len),
        };
        let gate = MaxPool { bits: BITS, places };
        let at = stream_ids::at(micro.step, index, Use::MaxPool);
        let position = &mut self.stages[index].max_position[..len];
        gate.run(
            cx,
            at,
            planes,
            position,
            &mut steps,
            &mut splitter.gate_scratch(len),
        )?;
        self.current[..len].copy_from_slice(&planes[..len]);
        Ok(())
    }

    /// ReLU in the current buffer, if the stage has it.
    pub(super) fn relu<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        if stage.activation != Some(Activation::Relu) {
            return Ok(());
        }
        cx.set_cost_row(activation_row(index), false);
        let len = micro.rows * stage.leaving_len();
        let values = &mut self.current[..len];
        let at = stream_ids::at(micro.step, index, Use::Relu);
        let derivative = &mut *self.stages[index].derivative;
        let mut scratch = ScratchSplitter(self.scratch).gate_scratch(len);
        Relu { bits: BITS }.run(cx, at, values, derivative, &mut scratch)?;
        Ok(())
    }
}
