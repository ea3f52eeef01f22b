//! The backward pass: from shares of probabilities - labels to the gradients by weights and biases.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    kernel::{conv::Conv, linear::Linear, pool::Pool},
    model::cost_rows::{activation_row, map_row},
    network::{Activation, walk},
    session::RunError,
    share::{Factor, Share, Values, observer::Observer},
};

use super::{MicroBatch, Party, forward::BITS, steps::PartySteps};
use crate::securenn::{
    context::PartyContext,
    gates::{linear::Wanted, maxpool::OneHot, product::Product},
    layout::{ScratchSplitter, map_gate, one_hot_len},
    scale::truncate_within_ring,
    stream_ids::{self, Use},
};

impl Party<'_> {
    /// Runs the backward pass over all stages, from the gradient by the logits in the current buffer. Adds the
    /// gradients by weights and biases to the velocities.
    pub(super) fn backward<P: Read + Write, A: Read + Write>(
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
        walk::backward(&mut steps, stages)
    }

    /// Makes the next buffer the current one.
    fn swap_buffers(&mut self) {
        core::mem::swap(&mut self.current, &mut self.next);
    }

    /// Adds the gradient by the output, raised to 2f fraction bits, to the velocities of the biases.
    pub(super) fn bias_gradient(
        &mut self,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<u64>,
    ) {
        let (linear, fraction) = (
            &self.network.stages[index].linear,
            self.session.format.fraction,
        );
        let sums = &mut self.stages[index].velocity[linear.weight_len()..];
        let gradient = &self.current[..micro.rows * linear.output_len()];
        observer.factor(index, Factor::Gradient, Share::wrap_slice(gradient));
        for gradient in gradient.chunks_exact(sums.len()) {
            for (sum, gradient) in sums.iter_mut().zip(gradient) {
                *sum = sum.wrapping_add(gradient << fraction);
            }
        }
    }

    /// The backward pass of average pooling: copies the gradient by each window's sum to all of its positions.
    pub(super) fn avg_pool_backward(&mut self, rows: usize, pool: Pool) {
        let gradients = &self.current[..rows * pool.output_len()];
        pool.spread(gradients, self.next);
        self.swap_buffers();
    }

    /// Adds the gradient by the weights, at 2f fraction bits, to the velocities.
    pub(super) fn weight_gradient<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let (stage, memory) = (&self.network.stages[index], &mut self.stages[index]);
        cx.set_cost_row(map_row(index), true);
        let gate = map_gate(stage, Wanted::WeightGradient, micro.rows);
        let [_, gradient, weights] = gate.lens();
        let right = &mut self.right[..gradient];
        right.copy_from_slice(&self.current[..gradient]);
        let left = Self::left_operand(stage, micro.rows, memory.operand, self.patches);
        let out = &mut self.gradient[..weights];
        out.fill(0);
        let mut product_memory = ScratchSplitter(self.scratch).product_memory(gate);
        let at = stream_ids::at(micro.step, index, Use::WeightGradient);
        gate.run(cx, at, left, right, out, &mut product_memory)?;
        for (sum, &gradient) in memory.velocity.iter_mut().zip(out.iter()) {
            *sum = sum.wrapping_add(gradient);
        }
        Ok(())
    }

    /// Replaces the gradient by the stage's output, in the current buffer, by the gradient by its input before average
    /// pooling, at f fraction bits.
    pub(super) fn input_gradient<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<u64>,
    ) -> Result<(), RunError> {
        let audits = self.audits(micro);
        let (stage, memory) = (&self.network.stages[index], &self.stages[index]);
        let (role, fraction) = (self.role, self.session.format.fraction);
        cx.set_cost_row(map_row(index), true);
        let gate = map_gate(stage, Wanted::InputGradient, micro.rows);
        let [gradient_len, weight_len, out_len] = gate.lens();
        let weights = &mut self.gradient[..weight_len];
        for (weight, &master) in weights.iter_mut().zip(memory.master.iter()) {
            *weight = truncate_within_ring(role, master, fraction);
        }
        let right = &mut self.right[..weight_len];
        gate.linear.transpose(weights, right);
        let out = &mut self.next[..out_len];
        out.fill(0);
        let mut product_memory = ScratchSplitter(self.scratch).product_memory(gate);
        let at = stream_ids::at(micro.step, index, Use::InputGradient);
        let left = &self.current[..gradient_len];
        gate.run(cx, at, left, right, out, &mut product_memory)?;
        if let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) {
            self.sum_patches(micro.rows, conv);
        }
        let out = &mut self.next[..micro.rows * stage.linear.input_len()];
        Self::truncate(role, self.session, out);
        let audited = audits.tensor::<u64>(index, Values::Gradients);
        let values = Share::wrap_slice(out);
        self.audit
            .observe_and_count(cx, observer, audited, values)?;
        self.swap_buffers();
        if let Some(pool) = stage.pooled_input {
            self.avg_pool_backward(micro.rows, pool);
        }
        Ok(())
    }

    /// Replaces the gradients by patches, in the next buffer, by the gradients by the images: each value is the sum
    /// over the patches that it is part of.
    fn sum_patches(&mut self, rows: usize, conv: Conv) {
        let patches_len = conv.patch().inputs * conv.patches();
        let patches = self.next.chunks_exact(patches_len);
        let images = self.current.chunks_exact_mut(conv.input_len());
        for (patches, image) in patches.zip(images).take(rows) {
            image.fill(0);
            conv.roll(patches, image);
        }
        self.swap_buffers();
    }

    /// The backward pass of a stage's ReLU, in the current buffer, if the stage has it.
    pub(super) fn relu_backward<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        if stage.activation != Some(Activation::Relu) {
            return Ok(());
        }
        cx.set_cost_row(activation_row(index), true);
        let len = micro.rows * stage.leaving_len();
        let derivative = &self.stages[index].derivative[..len];
        let mut splitter = ScratchSplitter(self.scratch);
        let words = core::array::from_fn(|_| splitter.take(len));
        let at = stream_ids::at(micro.step, index, Use::ReluBackward);
        let gradient = &mut self.current[..len];
        Product { bits: BITS }.run(cx, at, gradient, derivative, words)?;
        Ok(())
    }

    /// The backward pass of a stage's max pooling, in the current buffer, if the stage has it: the gradient by a
    /// maximum goes to the maximum's position.
    pub(super) fn max_pool_backward<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), true);
        let (places, out) = (windows.positions(), windows.output_len());
        let len = micro.rows * out;
        let bits_len = one_hot_len(places);
        let Some(gate) = OneHot::new(BITS, bits_len) else {
            // The check of the session refuses such windows.
            return Ok(());
        };
        let mut splitter = ScratchSplitter(self.scratch);
        let bits = splitter.take(bits_len * len);
        let gradients = splitter.take(places * len);
        let image = splitter.take(places * out);
        // The one-hot gate and then the product use the same memory.
        let words = splitter.take(3 * places * len);
        let position = &self.stages[index].max_position[..len];
        let mut scratch = ScratchSplitter(words).word_scratch(len);
        let at = stream_ids::at(micro.step, index, Use::OneHot);
        gate.run(cx, at, position, bits, &mut scratch)?;
        for gradients in gradients.chunks_exact_mut(len) {
            gradients.copy_from_slice(&self.current[..len]);
        }
        let mut splitter = ScratchSplitter(words);
        let words = core::array::from_fn(|_| splitter.take(places * len));
        let at = stream_ids::at(micro.step, index, Use::MaxPoolBackward);
        let bits = &bits[..places * len];
        Product { bits: BITS }.run(cx, at, gradients, bits, words)?;
        let images = self.current.chunks_exact_mut(windows.input_len());
        for (row, values) in images.take(micro.rows).enumerate() {
            for (plane, to) in gradients.chunks_exact(len).zip(image.chunks_exact_mut(out)) {
                to.copy_from_slice(&plane[row * out..][..out]);
            }
            windows.scatter(image, values);
        }
        Ok(())
    }
}
