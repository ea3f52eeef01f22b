//! The backward pass: from shares of probabilities - labels to the gradients by weights and biases.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    dealt::{
        audit::Audits,
        micro_batch::MicroBatch,
        party_context::PartyContext,
        stream_ids::{Product, Use},
    },
    gate::{
        Online,
        bilinear::Bilinear,
        tensor::{
            Rows, Whole, hold_rows, hold_whole, mask_rows, mask_whole, shares_of_rows,
            shares_of_whole,
        },
    },
    kernel::{conv::Conv, linear::Linear, pool::Pool},
    model::cost_rows::{activation_row, map_row},
    net::link::Segment,
    network::{Activation, walk},
    num::ring::Ring,
    share::{Factor, Held, Share, Values, observer::Observer, truncate},
};

use super::{
    Party,
    forward::{hold_operand, mask_operand},
    steps::PartySteps,
};
use crate::session::RunError;

impl<R: Ring> Party<'_, R> {
    /// Runs the backward pass over all stages, from the gradient by the logits in the current buffer. Adds the
    /// gradients by weights and biases to the velocities.
    #[inline(never)]
    pub(super) fn backward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        observer: &mut impl Observer<R>,
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

    /// Adds the gradient by the output to the velocities of the biases, raised to the scale that the weights' gradients
    /// have as products with the stage's input.
    pub(super) fn bias_gradient(&mut self, micro: MicroBatch, index: usize) {
        let stage = &self.network.stages[index];
        let linear = &stage.linear;
        let fraction = self.session.format.fraction - stage.headroom[0];
        let sums = Share::peel_slice_mut(&mut *self.stages[index].velocity);
        let sums = &mut sums[linear.weight_len()..];
        let gradient = &self.current[..micro.rows * linear.output_len()];
        for gradient in gradient.chunks_exact(sums.len()) {
            for (sum, gradient) in sums.iter_mut().zip(gradient) {
                *sum = sum.plus(gradient.left(fraction));
            }
        }
    }

    /// Opens the gradient by the output, in the current buffer, for the gradient by the weights. If openings are not
    /// reused, opens the operand under a second mask in the same round.
    #[inline(never)]
    pub(super) fn open_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let gradient = &self.current[..micro.rows * stage.linear.output_len()];
        observer.factor(index, Factor::Gradient, Share::wrap_slice(gradient));
        if let Some(pool) = stage.pooled_product() {
            self.avg_pool_backward(micro.rows, pool);
        }
        let (linear, rows_each) = stage.product();
        let (rows, bits) = (micro.rows * rows_each, self.session.format.ring);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        cx.set_cost_row(map_row(index), true);
        let gradient = Share::wrap_slice_mut(&mut self.current[..rows * linear.output_len()]);
        let mask = tensors.gradient(index, Product::WeightGradient);
        let masked = mask_rows(cx, mask, rows, linear.output_len(), gradient);
        let gradient = Segment::words(masked, bits);
        if self.session.protocol.triples().reuse() {
            cx.open(&mut [gradient])?;
        } else {
            let operand = &mut self.stages[index].operand[..rows * linear.input_len()];
            let before = tensors.operand(index, Product::Forward);
            shares_of_rows(cx, before, rows, linear.input_len(), operand);
            let mask = tensors.operand(index, Product::WeightGradient);
            let masked = mask_operand(cx, mask, stage, micro.rows, operand);
            cx.open(&mut [gradient, Segment::words(masked, bits)])?;
            hold_operand(cx, mask, stage, micro.rows, operand);
        }
        let mask = tensors.gradient(index, Product::WeightGradient);
        hold_rows(cx, mask, rows, linear.output_len(), self.current);
        Ok(())
    }

    /// Opens the gradient by the output under a second mask, for the gradient by the input, if openings are not reused.
    /// The first micro-batch of an iteration opens the weights under a second mask in the same round.
    #[inline(never)]
    pub(super) fn reopen_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let (linear, rows_each) = stage.product();
        let (rows, bits) = (micro.rows * rows_each, self.session.format.ring);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let gradient = &mut self.current[..rows * linear.output_len()];
        let before = tensors.gradient(index, Product::WeightGradient);
        shares_of_rows(cx, before, rows, linear.output_len(), gradient);
        let gradient_mask = tensors.gradient(index, Product::InputGradient);
        let shares = Share::wrap_slice_mut(&mut *gradient);
        let masked = mask_rows(cx, gradient_mask, rows, linear.output_len(), shares);
        let segment = Segment::words(masked, bits);
        if micro.first > 0 {
            cx.open(&mut [segment])?;
        } else {
            let memory = &mut self.stages[index];
            let weights = &mut *memory.reopened_weights;
            weights.copy_from_slice(&memory.weights[..weights.len()]);
            shares_of_whole(cx, tensors.weights(index, Product::Forward), weights);
            let mask = tensors.weights(index, Product::InputGradient);
            let masked = mask_whole(cx, mask, Share::wrap_slice_mut(&mut *weights));
            cx.open(&mut [segment, Segment::words(masked, bits)])?;
            hold_whole(cx, mask, weights);
        }
        hold_rows(cx, gradient_mask, rows, linear.output_len(), gradient);
        Ok(())
    }

    /// The backward pass of average pooling: copies the gradient by each window's sum to all of its positions.
    fn avg_pool_backward(&mut self, rows: usize, pool: Pool) {
        let gradients = &self.current[..rows * pool.output_len()];
        pool.spread(gradients, self.next);
        self.swap_buffers();
    }

    /// Adds the gradient by the weights, without the dealt part, to the velocities. The update adds that part once for
    /// the whole batch.
    #[inline(never)]
    pub(super) fn weight_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) {
        let (linear, rows_each) = self.network.stages[index].product();
        let rows = micro.rows * rows_each;
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let memory = &mut self.stages[index];
        Bilinear(linear).weight_gradient(
            cx,
            rows,
            Rows {
                held: Held::wrap_slice(&memory.operand[..rows * linear.input_len()]),
                mask: tensors.operand(index, Product::WeightGradient),
            },
            Rows {
                held: Held::wrap_slice(&self.current[..rows * linear.output_len()]),
                mask: tensors.gradient(index, Product::WeightGradient),
            },
            &mut memory.velocity[..linear.weight_len()],
            bytemuck::cast_slice_mut(&mut *self.scratch),
        );
    }

    /// Replaces the opened gradient by the output, in the current buffer, by narrow shares of the gradient by the
    /// stage's input, before its average pooling. Truncation also drops the bits that this gradient gives up (see
    /// [`Session::gradient_drop`]).
    ///
    /// [`Session::gradient_drop`]: crate::session::Session::gradient_drop
    #[inline(never)]
    pub(super) fn input_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let rows = micro.rows;
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let audited = Audits::of(&tensors).tensor::<R>(index, Values::Gradients);
        self.multiply_by_weights(cx, micro, index)?;
        if let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) {
            self.sum_patches(rows, conv);
        }
        self.drop_gradients(micro, index);
        let format = self.session.format;
        let drop = self.session.gradient_drop(self.network, index - 1);
        let out = &mut self.next[..rows * stage.linear.input_len()];
        for value in out.iter_mut() {
            *value = truncate(self.role, *value, format.ring, format.weights + drop);
        }
        self.add_skip_gradient(micro, index);
        let out = &mut self.next[..rows * stage.linear.input_len()];
        self.audit
            .observe_and_count(cx, observer, audited, Share::wrap_slice(out))?;
        self.swap_buffers();
        if let Some(pool) = stage.pooled_input {
            self.avg_pool_backward(rows, pool);
        }
        Ok(())
    }

    /// Writes shares in Z_2^L, at scale 2f, of the gradient by the stage's left operand to the next buffer.
    fn multiply_by_weights<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let (linear, _) = stage.product();
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let memory = &self.stages[index];
        let weights = if self.session.protocol.triples().reuse() {
            &memory.weights[..stage.linear.weight_len()]
        } else {
            &*memory.reopened_weights
        };
        let gradient = &self.current[..micro.rows * stage.product_len()];
        let out = &mut self.next[..micro.rows * stage.operand_len()];
        Bilinear(linear).input_gradient(
            cx,
            tensors.span(index, Product::InputGradient),
            Rows {
                held: Held::wrap_slice(gradient),
                mask: tensors.gradient(index, Product::InputGradient),
            },
            Whole {
                held: Held::wrap_slice(weights),
                mask: tensors.weights(index, Product::InputGradient),
            },
            Share::wrap_slice_mut(out),
            bytemuck::cast_slice_mut(&mut *self.scratch),
        )?;
        Ok(())
    }

    /// Replaces the gradients by patches, in the next buffer, by the gradients by the images: each value is the sum
    /// over the patches that it is part of.
    fn sum_patches(&mut self, rows: usize, conv: Conv) {
        let len = conv.input_len();
        let patches_len = conv.patch().inputs * conv.patches();
        let patches = self.next.chunks_exact(patches_len);
        let images = self.current.chunks_exact_mut(len);
        for (patches, image) in patches.zip(images).take(rows) {
            image.fill(R::ZERO);
            conv.roll(patches, image);
        }
        self.swap_buffers();
    }

    /// The backward pass of a stage's activation or widening, in the current buffer: from narrow shares of the gradient
    /// by the activation's output to shares in Z_2^L of the gradient by its input.
    #[inline(never)]
    pub(super) fn activation_backward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let shape = [micro.rows, stage.leaving_len()];
        let at = micro.at(index, Use::ActivationBackward);
        cx.set_cost_row(activation_row(index), true);
        let drop = self.session.gradient_drop(self.network, index);
        let gradient = Share::wrap_slice_mut(&mut self.current[..shape[0] * shape[1]]);
        let forward = micro.at(index, Use::Activation);
        match stage.activation {
            Some(Activation::Relu) => {
                let sign = &self.stages[index].sign;
                let relu = (self.gates.relu::<R>(), forward, sign);
                let select = self.gates.select(drop);
                select.run(cx, at, relu, shape, gradient, &mut [])?;
            }
            Some(Activation::Polynomial(polynomial, _)) => {
                let gate = self.gates.polynomial(polynomial, drop);
                let kept = &mut *self.stages[index].kept;
                gate.backward(cx, [at, forward], shape, gradient, kept, self.scratch)?;
            }
            None => {
                let widen = self.gates.widen_backward(drop);
                widen.run(cx, at, shape[0], shape[1], gradient)?;
            }
        }
        Ok(())
    }

    /// The backward pass of a stage's max pooling, in the current buffer, if the stage has it.
    #[inline(never)]
    pub(super) fn max_pool_backward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), true);
        let drop = self.session.gradient_drop(self.network, index);
        let [forward, at] = micro.max_pool(index);
        let gate = self.gates.max_pool::<R>(windows, drop);
        let gradient = Share::wrap_slice_mut(&mut *self.current);
        let sign = &mut self.stages[index].pool_sign;
        let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
        gate.backward(cx, at, (forward, sign), micro.rows, gradient, scratch)?;
        Ok(())
    }
}
