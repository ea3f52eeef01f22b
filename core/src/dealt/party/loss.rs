//! The last steps of the forward pass: the softmax and the labels.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    data::Data,
    dealt::{micro_batch::MicroBatch, party_context::PartyContext, stream_ids},
    gate::softmax::Labels,
    model::cost_rows::activation_row,
    num::ring::Ring,
    session::{RunError, SmoothLabel},
    share::Share,
};

use super::Party;
#[cfg(feature = "contributions")]
use super::contributed::classes_of;

impl<R: Ring> Party<'_, R> {
    /// Replaces the logits in the current buffer by shares in Z_2^L of the probabilities, scaled by the softmax exponent. Adds
    /// the losses to their sum if they are revealed. Fails if a label is missing.
    #[inline(never)]
    pub(super) fn softmax<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        cx.set_cost_row(activation_row(self.network.stages.len() - 1), false);
        let gate = self.gates.softmax;
        let (labels, scratch) = self.scratch.split_at_mut(gate.labels_len(micro.rows));
        let (weights, scratch) = scratch.split_at_mut(gate.weights_len(micro.rows));
        let session = self.session;
        let mut of_sample =
            |sample, value: &dyn Fn(u8) -> u64| match session.owns(self.role, sample) {
                true => data.label(session.local_index(sample)).map(value),
                false => Ok(0),
            };
        for (label, &sample) in labels.iter_mut().zip(&*self.samples) {
            *label = of_sample(sample, &u64::from)?;
        }
        #[cfg(feature = "contributions")]
        if session.contributions.is_some() {
            classes_of(self.labels, self.network.classes, labels);
        }
        for (weight, &sample) in weights.iter_mut().zip(&*self.samples) {
            *weight = of_sample(sample, &|class| session.class_weights.of(class))?;
        }
        let logits = Share::wrap_slice_mut(&mut self.current[..micro.rows * self.network.classes]);
        let at = stream_ids::softmax(micro.batch.iteration, micro.first);
        #[cfg(feature = "extended-training")]
        let sum = &mut self.loss;
        #[cfg(not(feature = "extended-training"))]
        let sum = &mut 0;
        let labels = Labels {
            labels,
            weights,
            sum,
        };
        gate.run(cx, at, micro.rows, logits, labels, scratch)?;
        Ok(())
    }

    /// Subtracts the one-hot labels from the probabilities in the current buffer. Only a sample's owner does so, on its
    /// own share. Fails if a label is missing.
    #[inline(never)]
    pub(super) fn subtract_labels(
        &mut self,
        micro: MicroBatch,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        let classes = self.network.classes;
        let exponent =
            self.session.format.fraction as i32 + self.session.softmax_exponent(self.network);
        let label = SmoothLabel::new(self.session, classes, exponent.max(0) as u32);
        #[cfg(feature = "contributions")]
        if self.session.contributions.is_some() {
            self.subtract_contributed_labels(micro, &label);
            return Ok(());
        }
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            if !self.session.owns(self.role, sample) {
                continue;
            }
            let number = self.session.local_index(sample);
            let class_of = data.label(number)?;
            let weight = self.session.class_weights.of(class_of);
            let place = (micro.batch.iteration, micro.first + row as u32);
            let mut rounding = self.session.label_rounding(place);
            let row = &mut self.current[row * classes..][..classes];
            // The label is secret, so the loop writes every class.
            for (class, value) in row.iter_mut().enumerate() {
                let [hit, other] = label.rounded(weight, &mut rounding).map(R::from_u64);
                let is_hit = R::from_u64(u64::from(class == usize::from(class_of)));
                *value = value.minus(is_hit.times(hit.minus(other))).minus(other);
            }
        }
        Ok(())
    }
}
