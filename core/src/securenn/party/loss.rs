//! What follows the last stage: the loss's gradient, or the class that is found.

use embedded_io::{Read, Write};

use bytemuck::TransparentWrapper;

use crate::{
    data::Data,
    model::{cost_rows::activation_row, loss::Loss},
    net::link::LinkError,
    session::RunError,
    share::Share,
};

use super::{Micro, Party, forward::BITS};
use crate::{
    gate,
    securenn::{
        context::PartyContext,
        gates::{
            division::{Division, Remainders},
            maxpool::{MaxPool, Steps},
            sign::Relu,
        },
        layout::{Cut, softmax},
        stream_ids::{self, Use},
    },
};

impl Party<'_> {
    fn last(&self) -> usize {
        self.network.stages.len() - 1
    }

    /// Makes shares of probabilities of those of logits, in the front buffer.
    pub(super) fn loss<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
    ) -> Result<(), RunError> {
        let last = self.last();
        cx.set_cost_row(activation_row(last), false);
        if self.session.protocol.loss() == Loss::Normalised {
            return Ok(self.normalise(cx, micro)?);
        }
        let at = stream_ids::at(micro.step, last, Use::Softmax);
        let at = gate::At {
            iteration: at.iteration,
            gate: at.gate,
            row: 0,
        };
        let logits = &mut self.front[..micro.rows * self.network.classes];
        let logits = Share::wrap_slice_mut(logits);
        let gate = softmax(self.session, self.network);
        gate.run(cx, at, micro.rows, logits, self.scratch)?;
        Ok(())
    }

    /// ReLU(z_i) / sum of ReLU(z_j), in the front buffer.
    fn normalise<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
    ) -> Result<(), LinkError> {
        let (classes, last) = (self.network.classes, self.last());
        let len = micro.rows * classes;
        let values = &mut self.front[..len];
        let mut cut = Cut(self.scratch);
        let [derivative, sums, rest, bit, part] = core::array::from_fn(|_| cut.words(len));
        let mut scratch = cut.scratch(len);
        let at = |which| stream_ids::at(micro.step, last, which);
        Relu { bits: BITS }.run(cx, at(Use::Relu), values, derivative, &mut scratch)?;
        for (sums, values) in sums
            .chunks_exact_mut(classes)
            .zip(values.chunks_exact(classes))
        {
            let sum = values
                .iter()
                .fold(0u64, |sum, &value| sum.wrapping_add(value));
            sums.fill(sum);
        }
        let mut remainders = Remainders { rest, bit, part };
        let division = Division {
            bits: BITS,
            fraction: self.session.format.fraction,
        };
        let at = at(Use::Division);
        division.run(cx, at, values, sums, &mut remainders, &mut scratch)
    }

    /// Takes the labels off the probabilities. The owner of a sample does it alone.
    pub(super) fn subtract_labels(
        &mut self,
        micro: Micro,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        let one = 1u64 << self.session.format.fraction;
        let rows = self.front.chunks_exact_mut(self.network.classes);
        for (row, &sample) in rows.zip(&self.samples[..micro.rows]) {
            if self.session.owner(sample) != self.role {
                continue;
            }
            let label = data.label(self.session.own_number(sample))?;
            // The label is secret, so every class is touched.
            for (class, value) in row.iter_mut().enumerate() {
                let hit = u64::from(class == usize::from(label));
                *value = value.wrapping_sub(one * hit);
            }
        }
        Ok(())
    }

    /// Finds the class of each sample from shares of its logits in the front buffer, and tells it to the party that asks.
    pub(super) fn classes<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: Micro,
        mut sink: impl FnMut(u32, u8),
    ) -> Result<(), RunError> {
        let (classes, rows, last) = (self.network.classes, micro.rows, self.last());
        cx.set_cost_row(activation_row(last), false);
        let mut cut = Cut(self.scratch);
        let planes = cut.words(rows * classes);
        for (row, logits) in self.front.chunks_exact(classes).take(rows).enumerate() {
            for (class, &logit) in logits.iter().enumerate() {
                planes[class * rows + row] = logit;
            }
        }
        let place = cut.words(rows);
        let mut steps = Steps {
            outcome: cut.words(rows),
            place: cut.words(rows),
        };
        let gate = MaxPool {
            bits: BITS,
            places: classes,
        };
        let at = stream_ids::at(micro.step, last, Use::Class);
        gate.run(cx, at, planes, place, &mut steps, &mut cut.scratch(rows))?;
        if self.session.asking() != self.role {
            return Ok(cx.tell_bytes(place)?);
        }
        cx.hear_bytes(place)?;
        for (&sample, &class) in self.samples.iter().zip(place.iter()) {
            sink(self.session.own_number(sample), class as u8);
        }
        Ok(())
    }
}
