//! Stochastic gradient descent with momentum: one narrow opening for each parameter and iteration, or none
//! where the master weights live in the ring in which their gradients land.
//!
//! The velocity buffer holds momentum * v + gradient at scale 2f in Z_2^L; its step down is the new
//! velocity v, which is widened to the master weights' ring. From there the master weights take rate * v, and the buffer
//! takes momentum * v back to scale 2f, exactly, since both are products with public integers.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;

use crate::{
    cost::LANES,
    dealt::{
        audit::{Audits, Kind},
        party_context::PartyContext,
        stream_ids::{self, Use},
    },
    gate::{
        Online,
        bilinear::Bilinear,
        groups,
        tensor::{WholeMask, shares_of_whole},
    },
    kernel::pack::{pack, unpack},
    model::cost_rows::map_row,
    net::link::Segment,
    network::{MAX_STAGES, Stage},
    num::{
        fixed_point::Format,
        ring::{Ring, Word},
    },
    prg::Address,
    session::Batch,
    share::{Masked, Share, observer::Observer, truncate},
};

use super::{Party, StageMemory};
use crate::session::RunError;

impl<R: Ring> StageMemory<'_, R> {
    /// Takes the gradient off master weights that live in its own ring, and starts it again from zero.
    fn step(&mut self, format: Format, stage: &Stage, [weight_rate, bias_rate]: [u64; 2]) {
        for parameter in 0..stage.parameters() {
            let is_weight = parameter < stage.linear.weight_len();
            let rate = if is_weight { weight_rate } else { bias_rate };
            let gradient = &mut Share::peel_slice_mut(&mut *self.velocity)[parameter];
            let step = gradient.times(R::from_u64(rate));
            *gradient = R::ZERO;
            let moved = self.share(format, parameter).cast::<R>().minus(step);
            self.set_share(format, parameter, moved.cast());
        }
    }

    /// Shares of the master weights again, from what is held of their opening: the openings have moved
    /// the border between both parties' shares, and below it nothing has changed.
    fn take_weights_up<O: Online>(&mut self, cx: &O, format: Format, mask: Address, count: usize) {
        shares_of_whole(cx, WholeMask::shared(mask), &mut self.weights[..count]);
        for index in 0..count {
            let carry = self.carry(cx.role(), format, index);
            self.weights[index] = self.weights[index].minus(carry);
        }
    }
}

impl<R: Ring> Party<'_, R> {
    /// Moves the weights and biases of every stage.
    #[inline(never)]
    pub(super) fn update<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        batch: Batch,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let format = self.session.format;
        let widen = self.gates.velocity();
        let at = |stage| stream_ids::at(batch.iteration, stage, Use::Velocity, 0);
        let audits = Audits {
            iteration: batch.iteration,
            ..Audits::new(self.session, self.network, 0)
        };
        let mut segments: Vec<Segment<'_, R>, MAX_STAGES> = Vec::new();
        let stages = self.network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            cx.set_cost_row(map_row(index), true);
            let opened = stream_ids::address(batch.iteration, index, Use::Weights);
            memory.take_weights_up(cx, format, opened, stage.linear.weight_len());
            let product = stream_ids::address(batch.iteration, index, Use::WeightGradient);
            let (weights, _) = memory.velocity.split_at_mut(stage.linear.weight_len());
            let (linear, _) = stage.product();
            Bilinear(linear).finish_weight_gradient(cx, product, weights)?;
            if format.is_direct() {
                memory.step(format, stage, self.session.rates(self.network, index));
                continue;
            }
            for value in Share::peel_slice_mut(&mut *memory.velocity) {
                *value = truncate(self.role, *value, format.ring, format.fraction);
            }
            let audited = audits.tensor(index, Kind::Velocity);
            self.audit.look(cx, observer, audited, memory.velocity)?;
            let velocity = Share::peel_slice_mut(&mut *memory.velocity);
            for group in groups(at(index), 1, stage.parameters()) {
                let narrow = &mut velocity[group.range()];
                widen.mask_group::<R::Wide, R, _>(cx, at(index), group.stream, narrow);
            }
            let masked = Masked::wrap_slice_mut(velocity);
            let _ = segments.push(Segment::words(masked, widen.from));
        }
        if segments.is_empty() {
            return Ok(());
        }
        cx.set_cost_row(map_row(0), true);
        cx.open_rows(&mut segments, map_row)?;
        core::mem::drop(segments);

        let momentum = R::from_u64(self.session.momentum_units().into());
        let stages = self.network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            cx.set_cost_row(map_row(index), true);
            let [weight_rate, bias_rate] = self.session.rates(self.network, index);
            for group in groups(at(index), 1, stage.parameters()) {
                let mut wide = [R::Wide::ZERO; LANES];
                let wide = &mut wide[..group.lanes];
                let opened = &Share::peel_slice(&*memory.velocity)[group.range()];
                for (wide, opened) in wide.iter_mut().zip(opened) {
                    *wide = opened.cast();
                }
                widen.finish_group(cx, at(index), group.stream, wide)?;
                for (parameter, &wide) in group.range().zip(wide.iter()) {
                    let is_weight = parameter < stage.linear.weight_len();
                    let rate = if is_weight { weight_rate } else { bias_rate };
                    let step = wide.times(R::Wide::from_u64(rate));
                    let moved = memory.share(format, parameter).minus(step);
                    memory.set_share(format, parameter, moved);
                    let kept = wide.cast::<R>().times(momentum);
                    Share::peel_slice_mut(&mut *memory.velocity)[parameter] = kept;
                }
            }
        }
        Ok(())
    }

    /// See [`Trainer::reveal`](super::Trainer::reveal).
    #[inline(never)]
    pub(super) fn reveal<P: Read + Write, D: Read + Write>(
        &self,
        cx: &mut PartyContext<P, D>,
        mut sink: impl FnMut(usize, R::Wide),
    ) -> Result<(), RunError> {
        let Some(receiver) = self.session.receiver else {
            return Ok(());
        };
        let bits = self.session.format.wide();
        let mut bytes = [0u8; 16];
        let bytes = &mut bytes[..bits as usize / 8];
        for stage in 0..self.stages.len() {
            for share in self.parameters(stage) {
                let share = [Share::peel(share)];
                if receiver == self.role {
                    let mut other = [R::Wide::ZERO];
                    cx.peer().receive(bytes)?;
                    unpack(bits, bytes, &mut other);
                    sink(stage, share[0].plus(other[0]).low(bits));
                } else {
                    pack(bits, &share, bytes);
                    cx.peer().send(bytes)?;
                }
            }
        }
        Ok(cx.peer().flush()?)
    }
}
