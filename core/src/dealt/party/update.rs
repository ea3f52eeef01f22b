//! Stochastic gradient descent with momentum (Sutskever et al., ICML 2013).
//!
//! The velocity buffer holds momentum * v + gradient in Z_2^L at scale 2f. Its truncation is the new velocity v, in the
//! ring of [`Format::velocity`] bits. One opening per parameter widens v to the master weights' ring. The update then
//! subtracts rate * v from the master weights, and stores momentum * v at scale 2f. Both products are exact, because rate
//! and momentum are public integers; the second has [`RATE_FRACTION`] fraction bits too many, and is truncated by what
//! exceeds 2f.
//!
//! With Nesterov's momentum the step is gradient + momentum * v, which is (1 + momentum) * v - momentum * (the last v). The last
//! velocity is kept in the master weights' ring, so the step costs no opening.
//!
//! In a direct format, the master weights are in the ring and at a scale of their own gradients. The update then
//! subtracts rate * gradient, without an opening and without momentum.

use bytemuck::TransparentWrapper;
use embedded_io::{Read, Write};
use heapless::Vec;

use crate::{
    Role,
    cost::LANES,
    dealt::{
        audit::Audits,
        party_context::PartyContext,
        stream_ids::{self, Use},
    },
    gate::{
        At, Online,
        bilinear::Bilinear,
        groups,
        tensor::{WholeMask, shares_of_whole},
        widen::Widen,
    },
    kernel::pack::{pack, unpack},
    model::cost_rows::map_row,
    net::link::{LinkError, Segment},
    network::{MAX_STAGES, Stage},
    num::{
        fixed_point::{Format, RATE_FRACTION},
        ring::{Ring, Word},
    },
    prg::Address,
    session::Batch,
    share::{Masked, Share, Values, observer::Observer, truncate},
};

use super::{Party, StageMemory};
use crate::session::RunError;

/// The public factors of a stage's update.
struct Factors {
    /// Of the velocities of weights and of biases: see [`Session::rates`](crate::session::Session::rates).
    rates: [u64; 2],
    /// Momentum with [`RATE_FRACTION`] fraction bits.
    momentum: u64,
    /// With Nesterov's momentum, of the last velocities of weights and of biases, which a step takes back.
    #[cfg(feature = "extended-training")]
    of_last: Option<[u64; 2]>,
    /// Of weights and of biases, in what is added to their gradients: see [`Session::decays`](crate::session::Session).
    decays: [u64; 2],
}

impl Factors {
    /// The rate of a parameter after `weights` weights.
    fn rate(&self, weights: usize, parameter: usize) -> u64 {
        let [weight_rate, bias_rate] = self.rates;
        if parameter < weights {
            weight_rate
        } else {
            bias_rate
        }
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// Adds the decay of the weights and biases to the sums of their gradients. The weights are the upper words of this
    /// party's shares of the master weights.
    fn add_decay(&mut self, role: Role, format: Format, stage: &Stage, factors: &Factors) {
        let weights = stage.linear.weight_len();
        for parameter in 0..stage.parameters() {
            let [of_weights, of_biases] = factors.decays;
            let decay = match parameter < weights {
                true => of_weights,
                false => of_biases,
            };
            // The truncation of this party's whole share.
            let operand = match role {
                Role::P0 => self.weights[parameter],
                Role::P1 => self.weights[parameter].plus(self.carry(format, parameter)),
            };
            let gradient = &mut Share::peel_slice_mut(&mut *self.velocity)[parameter];
            *gradient = gradient.plus(operand.times(R::from_u64(decay)));
        }
    }

    /// Turns the weights as this party holds their opening, in place, back into the upper words of its shares of the
    /// master weights.
    ///
    /// For P1 the shares change: after the opening they are minus its mask. The lower bytes stay, so the carry of
    /// [`StageMemory::truncate_weights`] is subtracted.
    fn restore_master_weights<O: Online>(
        &mut self,
        cx: &O,
        format: Format,
        mask: Address,
        count: usize,
    ) {
        shares_of_whole(cx, WholeMask::shared(mask), &mut self.weights[..count]);
        if cx.role() == Role::P0 {
            return;
        }
        for index in 0..count {
            let carry = self.carry(format, index);
            self.weights[index] = self.weights[index].minus(carry);
        }
    }

    /// Subtracts rate * gradient from the master weights, and resets the gradient to zero.
    fn apply_gradient(&mut self, format: Format, stage: &Stage, factors: &Factors) {
        let weights = stage.linear.weight_len();
        for parameter in 0..stage.parameters() {
            let rate = R::from_u64(factors.rate(weights, parameter));
            let gradient = &mut Share::peel_slice_mut(&mut *self.velocity)[parameter];
            let step = gradient.times(rate);
            *gradient = R::ZERO;
            let moved = self.master_share(format, parameter).cast::<R>().minus(step);
            self.set_master_share(format, parameter, moved.cast());
        }
    }

    /// Subtracts rate * velocity from the master weights, given the openings of the masked velocities in the velocity
    /// buffer, and leaves momentum * velocity there.
    fn apply_velocity<O: Online>(
        &mut self,
        cx: &mut O,
        (widen, at): (Widen, At),
        format: Format,
        stage: &Stage,
        factors: &Factors,
    ) -> Result<(), LinkError> {
        let weights = stage.linear.weight_len();
        let momentum = R::Wide::from_u64(factors.momentum);
        let excess = RATE_FRACTION - format.velocity_drop();
        for group in groups(at, 1, stage.parameters()) {
            let mut wide = [R::Wide::ZERO; LANES];
            let wide = &mut wide[..group.lanes];
            let opened = &Share::peel_slice(&*self.velocity)[group.range()];
            for (wide, opened) in wide.iter_mut().zip(opened) {
                *wide = opened.cast();
            }
            widen.finish_group(cx, at, group.stream, wide)?;
            for (parameter, &wide) in group.range().zip(wide.iter()) {
                let step = wide.times(R::Wide::from_u64(factors.rate(weights, parameter)));
                #[cfg(feature = "extended-training")]
                let step = match factors.of_last {
                    Some(of_last) => {
                        let rate = of_last[usize::from(parameter >= weights)];
                        self.take_back(format, parameter, [step, wide], rate)
                    }
                    None => step,
                };
                let moved = self.master_share(format, parameter).minus(step);
                self.set_master_share(format, parameter, moved);
                let kept = truncate(cx.role(), wide.times(momentum), format.wide(), excess).cast();
                Share::peel_slice_mut(&mut *self.velocity)[parameter] = kept;
            }
        }
        Ok(())
    }
}

/// Masks velocities in place, to be opened by `widen`.
fn mask_velocity<'v, R: Ring, O: Online>(
    cx: &O,
    (widen, at): (Widen, At),
    velocity: &'v mut [Share<R>],
) -> &'v mut [Masked<R>] {
    let velocity = Share::peel_slice_mut(velocity);
    for group in groups(at, 1, velocity.len()) {
        let narrow = &mut velocity[group.range()];
        widen.mask_group::<R::Wide, R, _>(cx, at, group.stream, narrow);
    }
    Masked::wrap_slice_mut(velocity)
}

impl<R: Ring> Party<'_, R> {
    /// Updates the weights and biases of every stage, at the end of an iteration.
    #[inline(never)]
    pub(super) fn update<P: Read + Write, D: Read + Write>(
        &mut self,
        cx: &mut PartyContext<P, D>,
        batch: Batch,
        observer: &mut impl Observer<R>,
    ) -> Result<(), RunError> {
        let (session, network) = (self.session, self.network);
        let format = session.format;
        let widen = self.gates.velocity();
        let at = |stage| stream_ids::at(batch.iteration, stage, Use::Velocity, 0);
        let factors = |stage| Factors {
            rates: session.rates(network, stage, batch.iteration),
            momentum: session.momentum.into(),
            #[cfg(feature = "extended-training")]
            of_last: session
                .has_nesterov()
                .then(|| session.rates_of_last(network, stage, batch.iteration)),
            decays: session.decays(network, stage, batch.iteration),
        };
        let audits = Audits::of_iteration(session, network, batch.iteration);
        let mut segments: Vec<Segment<'_, R>, MAX_STAGES> = Vec::new();
        let stages = network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            cx.set_cost_row(map_row(index), true);
            let weights = stage.linear.weight_len();
            let mask = stream_ids::address(batch.iteration, index, Use::Weights);
            memory.restore_master_weights(cx, format, mask, weights);
            let product = stream_ids::address(batch.iteration, index, Use::WeightGradient);
            let (linear, _) = stage.product();
            let summed = match session.privacy() {
                Some(_) => stage.parameters(),
                None => weights,
            };
            let gradient = &mut memory.velocity[..summed];
            Bilinear(linear).finish_weight_gradient(cx, product, gradient)?;
            #[cfg(feature = "private-training")]
            if let Some(private) = &self.private {
                private.add_noise(batch.iteration, index, memory.velocity)?;
            }
            if format.is_direct() {
                memory.apply_gradient(format, stage, &factors(index));
                continue;
            }
            #[cfg(feature = "extended-training")]
            if session.clips() {
                let bounds = session.gradient_bounds(network, index);
                let clip = (
                    self.gates.clip::<R>(),
                    stream_ids::clip(batch.iteration, index),
                );
                memory.clip(cx, clip, format, stage, bounds, self.scratch)?;
            }
            if session.training.weight_decay > 0 {
                memory.add_decay(self.role, format, stage, &factors(index));
            }
            for value in Share::peel_slice_mut(&mut *memory.velocity) {
                *value = truncate(self.role, *value, format.ring, format.velocity_drop());
            }
            let audited = audits.tensor::<R>(index, Values::Velocities);
            self.audit
                .observe_and_count(cx, observer, audited, memory.velocity)?;
            let masked = mask_velocity(cx, (widen, at(index)), memory.velocity);
            let _ = segments.push(Segment::words(masked, widen.from));
        }
        if segments.is_empty() {
            return Ok(());
        }
        cx.set_cost_row(map_row(0), true);
        cx.open_rows(&mut segments, map_row)?;
        core::mem::drop(segments);
        let stages = network.stages.iter().zip(&mut self.stages);
        for (index, (stage, memory)) in stages.enumerate() {
            cx.set_cost_row(map_row(index), true);
            memory.apply_velocity(cx, (widen, at(index)), format, stage, &factors(index))?;
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
        let Some(receiver) = self.session.reveals_to() else {
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
