//! Samples that their owners have masked for both parties.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use zeroize::Zeroizing;

use crate::{
    Role,
    data::Data,
    dealt::{
        contributed_samples::ContributedSamples, micro_batch::MicroBatch,
        party_context::PartyContext, stream_ids,
    },
    model::cost_rows::map_row,
    num::ring::Ring,
    prg::{Key, contributed::Part},
    session::{RunError, SmoothLabel},
    share::{Factor, Share, observer::Observer},
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// Fills the first stage's operand with shares of the samples, row by row, and the labels with shares of theirs.
    ///
    /// Fails if a contribution is missing, or if the link does.
    #[inline(never)]
    pub(super) fn load_contributions<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        micro: MicroBatch,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        cx.set_cost_row(map_row(0), false);
        let samples = ContributedSamples::new(self.session, self.network);
        let gate = samples.gate::<R>();
        let [len, classes] = samples.lens();
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let bytes = &mut bytes[..samples.bytes()];
        let of_label = len * bytes.len() / (len + classes);
        for (row, &sample) in self.samples[..micro.rows].iter().enumerate() {
            let mut key = Zeroizing::new([0; Key::LEN]);
            data.contribution(sample, &mut key, bytes)?;
            let values = &mut self.stages[0].operand[row * len..][..len];
            let label = &mut self.labels[row * classes..][..classes];
            samples.read(bytes, values);
            samples.read(&bytes[of_label..], label);
            let iteration = micro.batch.iteration;
            let [at, at_label] = stream_ids::contribution(iteration, micro.first + row as u32);
            gate.run(cx, at, (&key, Part::Pixels), values)?;
            gate.run(cx, at_label, (&key, Part::Label), label)?;
            observer.factor(0, Factor::Input, Share::wrap_slice(values));
        }
        Ok(())
    }

    /// Subtracts shares of the one-hot labels from the probabilities in the current buffer.
    pub(super) fn subtract_contributed_labels(&mut self, micro: MicroBatch, label: &SmoothLabel) {
        let classes = self.network.classes;
        let rows = self.current.chunks_exact_mut(classes);
        let rows = rows.zip(self.labels.chunks_exact(classes));
        for (row, (values, shares)) in rows.take(micro.rows).enumerate() {
            let place = (micro.batch.iteration, micro.first + row as u32);
            let mut rounding = self.session.label_rounding(place);
            for (value, &share) in values.iter_mut().zip(shares) {
                let [hit, other] = label.unweighted(&mut rounding).map(R::from_u64);
                *value = value.minus(share.times(hit.minus(other)));
                if self.role == Role::P0 {
                    *value = value.minus(other);
                }
            }
        }
    }
}

/// Writes a party's shares of classes to `out`, from its shares of their one-hot labels.
pub(super) fn classes_of<R: Ring>(labels: &[R], classes: usize, out: &mut [u64]) {
    for (out, label) in out.iter_mut().zip(labels.chunks_exact(classes)) {
        let weighted = label
            .iter()
            .enumerate()
            .map(|(class, share)| share.times(R::from_u64(class as u64)));
        *out = weighted.fold(R::ZERO, R::plus).to_u64();
    }
}
