//! From shares of (probabilities - labels) to gradients, stage by stage from the last.

use embedded_io::{Read, Write};

use crate::{
    kernel::{linear::Linear, pool::Pool},
    model::cost_rows::{activation_row, map_row},
    network::{Activation, walk},
    session::RunError,
};

use super::{Micro, Party, forward::BITS, steps::PartySteps};
use crate::securenn::{
    context::PartyContext,
    gates::{linear::Wanted, maxpool::OneHot, product::Product},
    layout::{Cut, map, turned_places},
    scale::truncate_within_ring,
    stream_ids::{self, Use},
};

impl Party<'_> {
    /// Runs all stages backwards, starting from the front buffer, and adds to the velocities.
    pub(super) fn backward<P: Read + Write, A: Read + Write>(
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
        walk::backward(&mut steps, stages)
    }

    fn swap(&mut self) {
        core::mem::swap(&mut self.front, &mut self.back);
    }

    /// Adds the gradient, raised to 2f fraction bits, to the biases' velocities.
    pub(super) fn bias_gradient(&mut self, micro: Micro, index: usize) {
        let (linear, fraction) = (
            &self.network.stages[index].linear,
            self.session.format.fraction,
        );
        let sums = &mut self.stages[index].velocity[linear.weight_len()..];
        let gradient = &self.front[..micro.rows * linear.output_len()];
        for gradient in gradient.chunks_exact(sums.len()) {
            for (sum, gradient) in sums.iter_mut().zip(gradient) {
                *sum = sum.wrapping_add(gradient << fraction);
            }
        }
    }

    /// Takes what is in the front buffer back through average pooling: from the window sums to every place.
    pub(super) fn spread(&mut self, rows: usize, pool: Pool) {
        let gradients = &self.front[..rows * pool.output_len()];
        pool.spread(gradients, self.back);
        self.swap();
    }

    pub(super) fn weight_gradient<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let (stage, memory) = (&self.network.stages[index], &mut self.stages[index]);
        cx.set_cost_row(map_row(index), true);
        let gate = map(stage, Wanted::WeightGradient, micro.rows);
        let [_, gradient, weights] = gate.lens();
        let right = &mut self.right[..gradient];
        right.copy_from_slice(&self.front[..gradient]);
        let left = Self::left_operand(stage, micro.rows, memory.operand, self.patches);
        let out = &mut self.gradient[..weights];
        out.fill(0);
        let mut room = Cut(self.scratch).memory(gate);
        let at = stream_ids::at(micro.step, index, Use::WeightGradient);
        gate.run(cx, at, left, right, out, &mut room)?;
        for (sum, &gradient) in memory.velocity.iter_mut().zip(out.iter()) {
            *sum = sum.wrapping_add(gradient);
        }
        Ok(())
    }

    /// Replaces the gradient by the stage's outputs in the front buffer by that by what enters it, before its pooling.
    pub(super) fn input_gradient<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let (stage, memory) = (&self.network.stages[index], &mut self.stages[index]);
        let (role, fraction) = (self.role, self.session.format.fraction);
        cx.set_cost_row(map_row(index), true);
        let gate = map(stage, Wanted::InputGradient, micro.rows);
        let [gradient, weights, made] = gate.lens();
        let operand = &mut self.gradient[..weights];
        for (operand, &weight) in operand.iter_mut().zip(memory.master.iter()) {
            *operand = truncate_within_ring(role, weight, fraction);
        }
        let right = &mut self.right[..weights];
        gate.linear.transpose(operand, right);
        let out = &mut self.back[..made];
        out.fill(0);
        let mut room = Cut(self.scratch).memory(gate);
        let at = stream_ids::at(micro.step, index, Use::InputGradient);
        let left = &self.front[..gradient];
        gate.run(cx, at, left, right, out, &mut room)?;
        let (len, operand_len) = (stage.linear.input_len(), stage.operand_len());
        if let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) {
            for row in 0..micro.rows {
                let to = &mut self.front[row * len..][..len];
                to.fill(0);
                conv.roll(&self.back[row * operand_len..][..operand_len], to);
            }
            self.swap();
        }
        let out = &mut self.back[..micro.rows * len];
        Self::truncate(role, self.session, out);
        self.swap();
        if let Some(pool) = stage.pooled_input {
            self.spread(micro.rows, pool);
        }
        Ok(())
    }

    /// The way back through a stage's activation, in the front buffer.
    pub(super) fn relu_back<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        if stage.activation != Some(Activation::Relu) {
            return Ok(());
        }
        cx.set_cost_row(activation_row(index), true);
        let len = micro.rows * stage.leaving_len();
        let derivative = &self.stages[index].derivative[..len];
        let mut cut = Cut(self.scratch);
        let words = core::array::from_fn(|_| cut.words(len));
        let at = stream_ids::at(micro.step, index, Use::ReluBack);
        let gradient = &mut self.front[..len];
        Product { bits: BITS }.run(cx, at, gradient, derivative, words)?;
        Ok(())
    }

    /// The way back through a stage's max pooling, if it has it, in the front buffer: the gradient by a maximum goes to
    /// where it stood.
    pub(super) fn max_pool_back<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), true);
        let (places, out) = (windows.places(), windows.output_len());
        let len = micro.rows * out;
        let turned = turned_places(places);
        let Some(gate) = OneHot::new(BITS, turned) else {
            // The session's check leaves no such windows.
            return Ok(());
        };
        let mut cut = Cut(self.scratch);
        let bits = cut.words(turned * len);
        let gradients = cut.words(places * len);
        let image = cut.words(places * out);
        // The one-hot vectors' work is over when the products' begins.
        let words = cut.words(3 * places * len);
        let place = &self.stages[index].place[..len];
        let mut scratch = Cut(words).scratch_words(len);
        let at = stream_ids::at(micro.step, index, Use::OneHot);
        gate.run(cx, at, place, bits, &mut scratch)?;
        for gradients in gradients.chunks_exact_mut(len) {
            gradients.copy_from_slice(&self.front[..len]);
        }
        let mut cut = Cut(words);
        let words = core::array::from_fn(|_| cut.words(places * len));
        let at = stream_ids::at(micro.step, index, Use::MaxPoolBack);
        let bits = &bits[..places * len];
        Product { bits: BITS }.run(cx, at, gradients, bits, words)?;
        let images = self.front.chunks_exact_mut(windows.input_len());
        for (row, values) in images.take(micro.rows).enumerate() {
            for (plane, to) in gradients.chunks_exact(len).zip(image.chunks_exact_mut(out)) {
                to.copy_from_slice(&plane[row * out..][..out]);
            }
            windows.scatter(image, values);
        }
        Ok(())
    }
}
