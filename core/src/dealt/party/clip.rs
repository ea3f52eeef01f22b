//! Gradients whose values are clipped: clip(g) = max(g + c, 0) - max(g - c, 0) - c, which two comparisons compute exactly.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    gate::{
        At, Online, plane_len,
        relu::{HiddenSign, Relu},
    },
    net::link::LinkError,
    network::Stage,
    num::{fixed_point::Format, ring::Ring},
    share::{Public, Share, truncate},
};

use super::{Party, StageMemory};

impl<R: Ring> Party<'_, R> {
    /// Puts the velocities aside, so that the gradient of the iteration is summed apart, if it is to be clipped.
    pub(super) fn hold_velocities(&mut self) {
        if !self.session.clips() {
            return;
        }
        for memory in &mut self.stages {
            memory.held.copy_from_slice(memory.velocity);
            Share::peel_slice_mut(&mut *memory.velocity).fill(R::ZERO);
        }
    }
}

impl<R: Ring> StageMemory<'_, R> {
    /// Clips the gradient in the velocity buffer to the bounds of weights and of biases, in units of a velocity, and adds the
    /// velocities that were put aside.
    #[inline(never)]
    pub(super) fn clip<O: Online>(
        &mut self,
        cx: &mut O,
        (gate, at): (Relu, At),
        format: Format,
        stage: &Stage,
        [of_weights, of_biases]: [u64; 2],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let (role, len, drop) = (cx.role(), stage.parameters(), format.velocity_drop());
        let bound = |parameter| match parameter < stage.linear.weight_len() {
            true => R::from_u64(of_weights),
            false => R::from_u64(of_biases),
        };
        let public = |value: R| match role {
            Role::P0 => value,
            Role::P1 => R::ZERO,
        };
        let words = (2 * len * size_of::<R>()).div_ceil(8);
        let (values, scratch) = scratch.split_at_mut(words);
        let values = &mut bytemuck::cast_slice_mut::<u64, R>(values)[..2 * len];
        let (signs, scratch) = bytemuck::cast_slice_mut::<u64, u8>(scratch)
            .split_at_mut((2 * plane_len(len)).next_multiple_of(8));
        let gradient = Share::peel_slice_mut(&mut *self.velocity);
        let (above, below) = values.split_at_mut(len);
        for (parameter, &sum) in gradient.iter().enumerate() {
            let value = truncate(role, sum, format.ring, drop);
            let bound = public(bound(parameter));
            above[parameter] = value.plus(bound).low(gate.from);
            below[parameter] = value.minus(bound).low(gate.from);
        }
        let mut sign = HiddenSign {
            opened: Public::wrap_slice_mut(signs),
            shares: Share::wrap_slice_mut(&mut []),
        };
        let shares = Share::wrap_slice_mut(&mut *values);
        gate.run(cx, at, [2, len], shares, &mut sign, scratch)?;
        let (above, below) = values.split_at(len);
        let held = Share::peel_slice(&*self.held);
        for (parameter, value) in gradient.iter_mut().enumerate() {
            let clipped = above[parameter].minus(below[parameter]);
            let clipped = clipped.minus(public(bound(parameter)));
            *value = held[parameter].plus(clipped.left(drop));
        }
        Ok(())
    }
}
