//! From shares of (probabilities - labels) to gradients, stage by stage from the last.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    dealt::{
        audit::{Audits, Kind},
        micro_batch::Micro,
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
    kernel::{linear::Linear, pool::Pool},
    model::cost_rows::{activation_row, map_row},
    net::link::Segment,
    network::{Activation, walk},
    num::ring::Ring,
    share::{Held, Share, observer::Observer, truncate},
};

use super::{
    Party,
    forward::{hold_operand, mask_operand},
    steps::PartySteps,
};
use crate::session::RunError;

impl<R: Ring> Party<'_, R> {
    /// Runs all stages backwards, starting from the front gradient buffer, and adds to the gradients
    /// by weights and biases.
    #[inline(never)]
    pub(super) fn backward<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
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

    /// Adds the shares of the gradient to the biases', raised to scale 2f.
    pub(super) fn bias_gradient(&mut self, micro: Micro, index: usize) {
        let linear = &self.network.stages[index].linear;
        let fraction = self.session.format.fraction;
        let sums = Share::peel_slice_mut(&mut *self.stages[index].velocity);
        let sums = &mut sums[linear.weight_len()..];
        let gradient = &self.front[..micro.rows * linear.output_len()];
        for gradient in gradient.chunks_exact(sums.len()) {
            for (sum, gradient) in sums.iter_mut().zip(gradient) {
                *sum = sum.plus(gradient.left(fraction));
            }
        }
    }

    /// Opens the gradient by the output, and the operand again where openings are not reused.
    #[inline(never)]
    pub(super) fn open_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        if let Some(pool) = stage.pooled_product() {
            self.spread(micro.rows, pool);
        }
        let (linear, rows_each) = stage.product();
        let (rows, bits) = (micro.rows * rows_each, self.session.format.ring);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        cx.set_cost_row(map_row(index), true);
        let gradient = Share::wrap_slice_mut(&mut self.front[..rows * linear.output_len()]);
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
        hold_rows(cx, mask, rows, linear.output_len(), self.front);
        Ok(())
    }

    /// Opens the gradient by the output under another mask, with the weights the first time.
    #[inline(never)]
    pub(super) fn open_gradient_again<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let (linear, rows_each) = stage.product();
        let (rows, bits) = (micro.rows * rows_each, self.session.format.ring);
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let gradient = &mut self.front[..rows * linear.output_len()];
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
            let weights = &mut *memory.weights_again;
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

    /// Takes what is in the front buffer back through pooling: from the window sums to every place.
    fn spread(&mut self, rows: usize, pool: Pool) {
        let gradients = &self.front[..rows * pool.output_len()];
        pool.spread(gradients, self.back);
        self.swap();
    }

    #[inline(never)]
    pub(super) fn weight_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &PartyContext<P, D>,
        micro: Micro,
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
                held: Held::wrap_slice(&self.front[..rows * linear.output_len()]),
                mask: tensors.gradient(index, Product::WeightGradient),
            },
            &mut memory.velocity[..linear.weight_len()],
            bytemuck::cast_slice_mut(&mut *self.scratch),
        );
    }

    /// Replaces the opened gradient in the front buffer by shares of the gradient by the stage's
    /// input, before its pooling, in the ring that the bits given up leave.
    #[inline(never)]
    pub(super) fn input_gradient<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let format = self.session.format;
        let (rows, len) = (micro.rows, stage.linear.input_len());
        let (linear, _) = stage.product();
        let tensors = micro.tensors(self.session, self.network, self.samples);
        let audited = Audits::of(&tensors).tensor(index, Kind::InputGradient);
        let memory = &mut self.stages[index];
        let weights = if self.session.protocol.triples().reuse() {
            &memory.weights[..stage.linear.weight_len()]
        } else {
            &*memory.weights_again
        };
        let out = &mut self.back[..rows * stage.operand_len()];
        Bilinear(linear).input_gradient(
            cx,
            tensors.span(index, Product::InputGradient),
            Rows {
                held: Held::wrap_slice(&self.front[..rows * stage.product_len()]),
                mask: tensors.gradient(index, Product::InputGradient),
            },
            Whole {
                held: Held::wrap_slice(weights),
                mask: tensors.weights(index, Product::InputGradient),
            },
            Share::wrap_slice_mut(&mut *out),
            bytemuck::cast_slice_mut(&mut *self.scratch),
        )?;
        if let (Linear::Conv(conv), true) = (stage.linear, stage.unrolled) {
            for row in 0..rows {
                let from = &self.back[row * stage.operand_len()..][..stage.operand_len()];
                let to = &mut self.front[row * len..][..len];
                to.fill(R::ZERO);
                conv.roll(from, to);
            }
            self.swap();
        }
        let drop = self.session.gradient_drop(self.network, index - 1);
        let out = &mut self.back[..rows * len];
        for value in out.iter_mut() {
            *value = truncate(self.role, *value, format.ring, format.weights + drop);
        }
        self.audit
            .look(cx, observer, audited, Share::wrap_slice(out))?;
        self.swap();
        if let Some(pool) = stage.pooled_input {
            self.spread(rows, pool);
        }
        Ok(())
    }

    /// The way back through what follows the map of stage `index`, in the front buffer.
    #[inline(never)]
    pub(super) fn activate_back<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let shape = [micro.rows, stage.leaving_len()];
        let at = micro.at(index, Use::ActivationBack);
        cx.set_cost_row(activation_row(index), true);
        let drop = self.session.gradient_drop(self.network, index);
        let gradient = Share::wrap_slice_mut(&mut self.front[..shape[0] * shape[1]]);
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
                let widen = self.gates.widen_back(drop);
                widen.run(cx, at, shape[0], shape[1], gradient)?;
            }
        }
        Ok(())
    }

    /// The way back through the max pooling of stage `index`, if it has it, in the front buffer.
    #[inline(never)]
    pub(super) fn max_pool_back<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: Micro,
        index: usize,
    ) -> Result<(), RunError> {
        let Some(windows) = self.network.stages[index].max_pool else {
            return Ok(());
        };
        cx.set_cost_row(activation_row(index), true);
        let drop = self.session.gradient_drop(self.network, index);
        let [forward, at] = micro.max_pool(index);
        let gate = self.gates.max_pool::<R>(windows, drop);
        let gradient = Share::wrap_slice_mut(&mut *self.front);
        let sign = &mut self.stages[index].pool_sign;
        let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
        gate.backward(cx, at, (forward, sign), micro.rows, gradient, scratch)?;
        Ok(())
    }
}
