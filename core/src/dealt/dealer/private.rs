//! The dealer's part of private gradients.

use embedded_io::{Read, Write};

use crate::{
    dealt::{
        sample_clip::SampleClip,
        stream_ids::{self, Product},
    },
    gate::{
        bilinear::{Bilinear, deal_words},
        clip_factor::ClipFactor,
    },
    net::link::LinkError,
    num::ring::Ring,
};

use super::DealerSteps;

impl<R: Ring, T: Read + Write> DealerSteps<'_, '_, R, T> {
    /// Sends the corrections for the clipped gradients of a micro-batch by a stage's weights and biases.
    pub(super) fn clip_samples(&mut self, clip: SampleClip, stage: usize) -> Result<(), LinkError> {
        let (micro, cx) = (self.micro, &mut *self.cx);
        let dealer = &mut *self.dealer;
        let linear = dealer.network.stages[stage].linear;
        let shape = [micro.rows, dealer.network.stages[stage].parameters()];
        let product = stream_ids::sample_gradient(micro.batch.iteration, stage);
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *dealer.scratch);
        let (products, scratch) = scratch.split_at_mut(linear.weight_len());
        for row in 0..micro.rows {
            let one = micro.row(row);
            let samples = &*dealer.samples;
            let tensors = one.tensors(dealer.session, dealer.network, samples);
            products.fill(R::ZERO);
            Bilinear(linear).accumulate_weight_gradient(
                cx,
                1,
                tensors.operand(stage, Product::WeightGradient),
                tensors.gradient(stage, Product::WeightGradient),
                products,
                scratch,
            );
            let first = u64::from(one.first) * products.len() as u64;
            deal_words(cx, product, first, products)?;
        }
        let (at, places) = stream_ids::sample_clip(micro.batch.iteration, stage, micro.first);
        clip.squares.deal(cx, at, shape)?;
        let pairs = bytemuck::cast_slice_mut(&mut dealer.scratch[..2 * ClipFactor::DEALER_PAIRS]);
        clip.factor.deal(cx, places, micro.rows, pairs)?;
        clip.sum()
            .deal(cx, at, shape, dealer.stages[stage].gradient)
    }
}
