//! The gradients of single samples: their products, their norms, and the sum of what clipping leaves of them.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    dealt::{
        micro_batch::MicroBatch,
        party_context::PartyContext,
        stream_ids::{self, Product},
    },
    gate::{
        bilinear::{Bilinear, add_dealt},
        tensor::Rows,
    },
    model::cost_rows::map_row,
    num::ring::{Ring, Word},
    session::RunError,
    share::{Held, Public, Share, observer::Observer, truncate},
};

use super::{Party, PrivateMemory};

impl<R: Ring> Party<'_, R> {
    /// Adds the clipped gradients of a micro-batch by a stage's weights and biases to the velocities, without the dealt part. The
    /// gradient by the stage's output is in the current buffer, and is open afterwards.
    #[inline(never)]
    pub(in crate::dealt::party) fn clip_samples<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        self.sample_bias_gradients(micro, index);
        self.open_gradient(cx, micro, index, observer)?;
        self.sample_weight_gradients(cx, micro, index)?;
        self.drop_gradient_bits(micro, index);
        cx.set_cost_row(map_row(index), true);
        let len = self.network.stages[index].parameters();
        let shape = [micro.rows, len];
        let own = self.session.drawn_rows(self.role).unwrap_or_default();
        let Some(private) = &mut self.private else {
            return Ok(());
        };
        let PrivateMemory {
            clips,
            drawn,
            gradients,
            kept,
            sums,
            factors,
            ..
        } = private;
        let Some(clip) = clips.get(index) else {
            return Ok(());
        };
        let (at, places) = stream_ids::sample_clip(micro.batch.iteration, index, micro.first);
        let gradients = &mut gradients[..micro.rows * len];
        let (sums, factors) = (&mut sums[..micro.rows], &mut factors[..micro.rows]);
        let shares = Share::wrap_slice_mut(&mut *gradients);
        clip.squares.run(cx, at, shape, shares, kept, sums)?;
        let scratch = bytemuck::cast_slice_mut(&mut *self.scratch);
        let is_weightless =
            |row: usize| PrivateMemory::<R>::is_weightless(*drawn, &own, micro.first + row as u32);
        clip.factor.run(cx, places, sums, is_weightless, scratch)?;
        for (factor, sum) in factors.iter_mut().zip(&*sums) {
            let share: R = Share::peel(*sum).cast();
            *factor = Share::wrap(share.left(clip.raised));
        }
        let opened = (Public::wrap_slice(&*gradients), &**kept);
        let velocity = &mut *self.stages[index].velocity;
        clip.sum().run(cx, at, shape, factors, opened, velocity)?;
        Ok(())
    }

    /// Writes the gradients of each sample by the biases, raised as [`Party::bias_gradient`] does, behind the places of those by
    /// the weights, which become zero.
    fn sample_bias_gradients(&mut self, micro: MicroBatch, index: usize) {
        let stage = &self.network.stages[index];
        let (linear, len) = (&stage.linear, stage.parameters());
        let fraction = self.session.format.fraction - stage.headroom[0];
        let Some(private) = &mut self.private else {
            return;
        };
        let rows = private.gradients.chunks_exact_mut(len).take(micro.rows);
        let outputs = self.current.chunks_exact(linear.output_len());
        for (row, outputs) in rows.zip(outputs) {
            row.fill(R::ZERO);
            let biases = &mut row[linear.weight_len()..];
            for outputs in outputs.chunks_exact(linear.channels()) {
                for (sum, gradient) in biases.iter_mut().zip(outputs) {
                    *sum = sum.plus(gradient.left(fraction));
                }
            }
        }
    }

    /// Adds the gradients of each sample by the weights, at scale 2f in Z_2^L.
    fn sample_weight_gradients<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        index: usize,
    ) -> Result<(), RunError> {
        let stage = &self.network.stages[index];
        let (linear, len) = (stage.linear, stage.parameters());
        let (input, output) = (linear.input_len(), linear.output_len());
        let Some(private) = &mut self.private else {
            return Ok(());
        };
        let product = stream_ids::sample_gradient(micro.batch.iteration, index);
        let operands = self.stages[index].operand.chunks_exact(input);
        let gradients = self.current.chunks_exact(output);
        let rows = private.gradients.chunks_exact_mut(len).take(micro.rows);
        for (row, (out, (operand, gradient))) in rows.zip(operands.zip(gradients)).enumerate() {
            let one = micro.row(row);
            let tensors = one.tensors(self.session, self.network, self.samples);
            let weights = &mut out[..linear.weight_len()];
            Bilinear(linear).weight_gradient(
                cx,
                1,
                Rows {
                    held: Held::wrap_slice(operand),
                    mask: tensors.operand(index, Product::WeightGradient),
                },
                Rows {
                    held: Held::wrap_slice(gradient),
                    mask: tensors.gradient(index, Product::WeightGradient),
                },
                Share::wrap_slice_mut(&mut *weights),
                bytemuck::cast_slice_mut(&mut *self.scratch),
            );
            let first = u64::from(one.first) * weights.len() as u64;
            add_dealt(cx, product, first, weights)?;
        }
        Ok(())
    }

    /// Drops the low bits of the gradients, and the high ones that the narrow ring does not have.
    fn drop_gradient_bits(&mut self, micro: MicroBatch, index: usize) {
        let stage = &self.network.stages[index];
        let (weights, len) = (stage.linear.weight_len(), stage.parameters());
        let (role, ring) = (self.role, self.session.format.ring);
        let Some(private) = &mut self.private else {
            return;
        };
        let Some(clip) = private.clips.get(index) else {
            return;
        };
        for row in private.gradients.chunks_exact_mut(len).take(micro.rows) {
            let (weights, biases) = row.split_at_mut(weights);
            for (part, drop) in [weights, biases].into_iter().zip(clip.drops) {
                for value in part {
                    *value = truncate(role, *value, ring, drop).low(clip.squares.from);
                }
            }
        }
    }
}
