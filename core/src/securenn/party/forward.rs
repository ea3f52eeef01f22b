//! From pixels to shares of logits.

use embedded_io::{Read, Write};

use crate::{
    data::{Data, read_pixels},
    kernel::linear::Linear,
    model::cost_rows::{activation_row, map_row},
    network::{Activation, Stage, walk},
    session::{Batch, RunError},
};

use super::{Micro, Party, steps::PartySteps};
use crate::securenn::{
    context::PartyContext,
    gates::{
        linear::Wanted,
        maxpool::{MaxPool, Steps},
        sign::Relu,
    },
    layout::{Cut, map},
    scale::truncate_within_ring,
    stream_ids::{self, Use},
};

/// Bits of the ring.
pub(super) const BITS: u32 = u64::BITS;

impl Party<'_> {
    /// Reads this party's own samples as its shares; those of the other's are zero.
    pub(super) fn load(
        &mut self,
        batch: Batch,
        first: u32,
        rows: u32,
        data: &mut impl Data,
    ) -> Result<Micro, RunError> {
        let micro = Micro {
            step: stream_ids::step(self.session, batch.iteration, first),
            rows: rows as usize,
        };
        let stage = &self.network.stages[0];
        let len = stage.linear.input_len();
        let samples = &mut self.samples[..micro.rows];
        self.session.batch_samples(batch, first, samples);
        for (row, &sample) in samples.iter().enumerate() {
            let operand = &mut self.stages[0].operand[row * len..][..len];
            if self.session.owner(sample) != self.role {
                operand.fill(0);
                continue;
            }
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *self.scratch);
            let pixels = &mut bytes[..stage.entering_len()];
            data.pixels(self.session.own_number(sample), pixels)?;
            read_pixels(stage, self.session.format.fraction, pixels, operand);
        }
        Ok(micro)
    }

    /// Runs all stages; leaves shares of the logits in the front buffer.
    pub(super) fn forward<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
    ) -> Result<(), RunError> {
        let stages = self.network.stages.len();
        let mut steps = PartySteps {
            party: self,
            cx,
            micro,
        };
        walk::forward(&mut steps, stages)
    }

    /// Moves what has left the stage before to where it enters this one, and pools it if the stage says so.
    pub(super) fn enter(&mut self, micro: Micro, index: usize) {
        let len = micro.rows * self.network.stages[index - 1].leaving_len();
        self.stages[index].operand[..len].copy_from_slice(&self.front[..len]);
        if let Some(pool) = self.network.stages[index].pooled_input {
            pool.sum_in_place(micro.rows, self.stages[index].operand, self.back);
        }
    }

    /// The left operand of a stage's products: what enters it, laid out patch by patch where products are of matrices.
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

    /// The bilinear map of a stage with its bias, in the front buffer.
    pub(super) fn map<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let (stage, memory) = (&self.network.stages[index], &mut self.stages[index]);
        let (role, fraction, rows) = (self.role, self.session.format.fraction, micro.rows);
        cx.set_cost_row(map_row(index), false);
        let (weights, biases) = memory.master.split_at(stage.linear.weight_len());
        let right = &mut self.right[..weights.len()];
        for (right, &weight) in right.iter_mut().zip(weights) {
            *right = truncate_within_ring(role, weight, fraction);
        }
        let left = Self::left_operand(stage, rows, memory.operand, self.patches);
        let gate = map(stage, Wanted::Output, rows);
        let mut room = Cut(self.scratch).memory(gate);
        let at = stream_ids::at(micro.step, index, Use::Output);
        let made = &mut self.back[..rows * stage.product_len()];
        gate.run(cx, at, left, right, made, &mut room)?;
        let out = &mut self.front[..rows * stage.linear.output_len()];
        match stage.pooled_product() {
            Some(pool) => pool.sum(made, out),
            None => out.copy_from_slice(made),
        }
        for out in out.chunks_exact_mut(biases.len()) {
            for (out, &bias) in out.iter_mut().zip(biases) {
                *out = out.wrapping_add(bias);
            }
        }
        Self::truncate(role, self.session, out);
        Ok(())
    }

    /// Max pooling, if the stage has it, in the front buffer.
    pub(super) fn max_pool<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let Some(windows) = stage.max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), false);
        let (places, out) = (windows.places(), windows.output_len());
        let len = micro.rows * out;
        let mut cut = Cut(self.scratch);
        let planes = cut.words(places * len);
        let image = cut.words(places * out);
        for (row, values) in self.front[..micro.rows * windows.input_len()]
            .chunks_exact(windows.input_len())
            .enumerate()
        {
            windows.gather(values, image);
            for (plane, values) in planes.chunks_exact_mut(len).zip(image.chunks_exact(out)) {
                plane[row * out..][..out].copy_from_slice(values);
            }
        }
        let mut steps = Steps {
            outcome: cut.words(len),
            place: cut.words(len),
        };
        let gate = MaxPool { bits: BITS, places };
        let at = stream_ids::at(micro.step, index, Use::MaxPool);
        let place = &mut self.stages[index].place[..len];
        gate.run(cx, at, planes, place, &mut steps, &mut cut.scratch(len))?;
        self.front[..len].copy_from_slice(&planes[..len]);
        Ok(())
    }

    /// The activation, if the stage has one, in the front buffer.
    pub(super) fn relu<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        if stage.activation != Some(Activation::Relu) {
            return Ok(());
        }
        cx.set_cost_row(activation_row(index), false);
        let len = micro.rows * stage.leaving_len();
        let values = &mut self.front[..len];
        let at = stream_ids::at(micro.step, index, Use::Relu);
        let derivative = &mut *self.stages[index].derivative;
        let mut scratch = Cut(self.scratch).scratch(len);
        Relu { bits: BITS }.run(cx, at, values, derivative, &mut scratch)?;
        Ok(())
    }
}
