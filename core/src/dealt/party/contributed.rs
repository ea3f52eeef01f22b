//! Samples that their owners have masked for both parties.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    data::{Data, DataError},
    dealt::{micro_batch::MicroBatch, samples::Samples},
    gate::tensor::subtract_contributed,
    num::ring::Ring,
    prg::contributed::Part,
    session::{RunError, SmoothLabel},
    share::{Factor, Share, observer::Observer},
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// Fills the first stage's operand, row by row, with the masked pixels, which are open, and reads this party's keys.
    ///
    /// Fails if a contribution is missing.
    #[inline(never)]
    pub(super) fn load_contributions(
        &mut self,
        micro: MicroBatch,
        data: &mut impl Data,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let len = self.network.stages[0].linear.input_len();
        let keys = &mut *self.samples.keys[self.role.index()];
        let samples = self.samples.numbers[..micro.rows].iter().zip(keys);
        for (row, (&sample, key)) in samples.enumerate() {
            let operand = &mut self.stages[0].operand[row * len..][..len];
            data.masked_pixels(sample, key, bytemuck::cast_slice_mut(operand))?;
            for word in &mut *operand {
                *word = word.little_endian();
            }
            let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
            let share = &mut scratch[..len];
            share.copy_from_slice(operand);
            unmask(self.role, key, Part::Pixels, share);
            observer.factor(0, Factor::Input, Share::wrap_slice(share));
        }
        Ok(())
    }

    /// Subtracts shares of the one-hot labels from the probabilities in the current buffer.
    ///
    /// Fails if a contribution is missing.
    pub(super) fn subtract_contributed_labels(
        &mut self,
        micro: MicroBatch,
        label: &SmoothLabel,
        data: &mut impl Data,
    ) -> Result<(), RunError> {
        let classes = self.network.classes;
        let samples = self.samples.view().first(micro.rows);
        let scratch: &mut [R] = bytemuck::cast_slice_mut(&mut *self.scratch);
        let share = &mut scratch[..classes];
        for (row, values) in self
            .current
            .chunks_exact_mut(classes)
            .take(micro.rows)
            .enumerate()
        {
            label_share(self.role, samples, row, data, share)?;
            let place = (micro.batch.iteration, micro.first + row as u32);
            let mut rounding = self.session.label_rounding(place);
            for (value, &share) in values.iter_mut().zip(&*share) {
                let [hit, other] = label.unweighted(&mut rounding).map(R::from_u64);
                *value = value.minus(share.times(hit.minus(other)));
                if self.role == Role::P0 {
                    *value = value.minus(other);
                }
            }
        }
        Ok(())
    }
}

/// Writes this party's share of the one-hot label of a row of a micro-batch to `out`.
///
/// Fails if the contribution is missing.
pub(super) fn label_share<R: Ring>(
    role: Role,
    samples: Samples<'_>,
    row: usize,
    data: &mut impl Data,
    out: &mut [R],
) -> Result<(), DataError> {
    data.masked_label(samples.numbers[row], bytemuck::cast_slice_mut(out))?;
    for word in &mut *out {
        *word = word.little_endian();
    }
    unmask(role, &samples.keys[role.index()][row], Part::Label, out);
    Ok(())
}

/// A share of a class, from a share of its one-hot label.
pub(super) fn class_share<R: Ring>(label: &[R]) -> u64 {
    let weighted = label
        .iter()
        .enumerate()
        .map(|(class, share)| share.times(R::from_u64(class as u64)));
    weighted.fold(R::ZERO, R::plus).to_u64()
}

/// Turns masked words into this party's share of what they hide, by the key of its masks.
fn unmask<R: Ring>(role: Role, key: &[u8; 32], part: Part, masked: &mut [R]) {
    if role == Role::P1 {
        masked.fill(R::ZERO);
    }
    subtract_contributed(key, part, masked);
}
