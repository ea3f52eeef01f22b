//! The steps after the last stage: the loss in training, the classes in inference.

use embedded_io::{Read, Write};

use bytemuck::TransparentWrapper;

use crate::{
    data::Data,
    gate::softmax::Labels,
    model::{cost_rows::activation_row, loss::Loss},
    net::link::LinkError,
    session::RunError,
    share::Share,
};

use super::{MicroBatch, Party, forward::BITS};
use crate::securenn::{
    context::PartyContext,
    gates::{
        division::{Division, Remainders},
        maxpool::{MaxPool, Steps},
        sign::Relu,
    },
    layout::{ScratchSplitter, softmax},
    stream_ids::{self, Use},
};

impl Party<'_> {
    /// Index of the last stage.
    fn last(&self) -> usize {
        self.network.stages.len() - 1
    }

    /// Replaces the logits in the current buffer by shares of the probabilities, at f fraction bits.
    pub(super) fn loss<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
    ) -> Result<(), RunError> {
        let last = self.last();
        cx.set_cost_row(activation_row(last), false);
        if self.session.protocol.loss() == Loss::Normalised {
            return Ok(self.normalise(cx, micro)?);
        }
        let at = stream_ids::dealt(stream_ids::at(micro.step, last, Use::Softmax));
        let logits = &mut self.current[..micro.rows * self.network.classes];
        let logits = Share::wrap_slice_mut(logits);
        let gate = softmax(self.session, self.network);
        let mut unwanted = 0;
        let labels = Labels::none(&mut unwanted);
        gate.run(cx, at, micro.rows, logits, labels, self.scratch)?;
        Ok(())
    }

    /// The normalised loss, SecureNN's replacement of softmax: ReLU(z_i) / sum of ReLU(z_j), in the current buffer.
    fn normalise<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
    ) -> Result<(), LinkError> {
        let (classes, last) = (self.network.classes, self.last());
        let len = micro.rows * classes;
        let values = &mut self.current[..len];
        let mut splitter = ScratchSplitter(self.scratch);
        let [derivative, sums, rest, bit, part] = core::array::from_fn(|_| splitter.take(len));
        let mut scratch = splitter.gate_scratch(len);
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

    /// Subtracts the one-hot labels from the probabilities in the current buffer. Only a sample's owner does so, on its
    /// own share. Fails if a label is missing.
    pub(super) fn subtract_labels(
        &mut self,
        micro: MicroBatch,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        let one = 1u64 << self.session.format.fraction;
        let rows = self.current.chunks_exact_mut(self.network.classes);
        for (row, &sample) in rows.zip(&self.samples[..micro.rows]) {
            if self.session.owner(sample) != self.role {
                continue;
            }
            let label = data.label(self.session.local_index(sample))?;
            // The label is secret, so the loop writes every class.
            for (class, value) in row.iter_mut().enumerate() {
                let hit = u64::from(class == usize::from(label));
                *value = value.wrapping_sub(one * hit);
            }
        }
        Ok(())
    }

    /// Turns the shares of the logits in the current buffer into classes, which only the samples' owner learns.
    pub(super) fn find_classes<P: Read + Write, A: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, A>,
        micro: MicroBatch,
        mut sink: impl FnMut(u32, u8),
    ) -> Result<(), RunError> {
        let (classes, rows, last) = (self.network.classes, micro.rows, self.last());
        cx.set_cost_row(activation_row(last), false);
        let mut splitter = ScratchSplitter(self.scratch);
        let planes = splitter.take(rows * classes);
        for (row, logits) in self.current.chunks_exact(classes).take(rows).enumerate() {
            for (class, &logit) in logits.iter().enumerate() {
                planes[class * rows + row] = logit;
            }
        }
        let class = splitter.take(rows);
        let mut steps = Steps {
            outcome: splitter.take(rows),
            place: splitter.take(rows),
        };
        let gate = MaxPool {
            bits: BITS,
            places: classes,
        };
        let at = stream_ids::at(micro.step, last, Use::Class);
        gate.run(
            cx,
            at,
            planes,
            class,
            &mut steps,
            &mut splitter.gate_scratch(rows),
        )?;
        if self.session.samples_owner() != self.role {
            return Ok(cx.send_bytes(class)?);
        }
        cx.receive_bytes(class)?;
        for (&sample, &class) in self.samples.iter().zip(class.iter()) {
            sink(self.session.local_index(sample), class as u8);
        }
        Ok(())
    }
}
