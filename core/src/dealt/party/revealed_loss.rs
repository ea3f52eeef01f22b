//! The loss of an epoch, which both parties learn if both ask for it.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};

use crate::{
    dealt::party_context::PartyContext,
    gate::Online,
    model::cost_rows::activation_row,
    net::link::Segment,
    num::ring::{Ring, Word},
    session::{EpochLoss, Ranks, RunError},
    share::Masked,
};

use super::Party;

impl<R: Ring> Party<'_, R> {
    /// Adds up the sums of losses of all ranks at the first one.
    pub(super) fn sum_losses(&mut self, ranks: &mut impl Ranks) -> Result<(), RunError> {
        if self.gates.softmax.loss_bits > 0 {
            ranks.sum(core::slice::from_mut(&mut self.loss))?;
        }
        Ok(())
    }

    /// Reveals the sum of losses to both parties, at the end of an epoch, and begins anew. Nothing else is learnt of the
    /// losses: the sum of the other party's share is what the revealed sum leaves.
    #[inline(never)]
    pub(super) fn reveal_loss<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        iteration: u32,
    ) -> Result<(), RunError> {
        self.revealed_loss = None;
        if !self.session.reveals_loss_after(iteration) {
            return Ok(());
        }
        let (bits, fraction) = (
            self.gates.softmax.loss_bits,
            self.gates.softmax.loss_fraction(),
        );
        cx.set_cost_row(activation_row(self.network.stages.len() - 1), false);
        let mut sum = [core::mem::take(&mut self.loss).low(bits)];
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut sum), bits)])?;
        let loss = EpochLoss::new(
            (self.session, self.network),
            iteration,
            [bits, fraction],
            sum[0],
        );
        self.revealed_loss = Some(loss.ok_or(RunError::Loss)?);
        Ok(())
    }
}
