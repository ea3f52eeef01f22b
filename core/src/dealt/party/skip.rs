//! Residual connections: shares add without a message.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    dealt::micro_batch::MicroBatch,
    network::Stage,
    num::ring::Ring,
    share::{Share, truncate},
};

use super::{Party, StageMemory};

impl<R: Ring> Party<'_, R> {
    /// Keeps the shares of a stage's input if a later addition takes them.
    pub(super) fn keep_input(&mut self, micro: MicroBatch, index: usize) {
        let len = micro.rows * self.network.stages[index].kept_len();
        let memory = &mut self.stages[index];
        Share::peel_slice_mut(&mut memory.skip[..len]).copy_from_slice(&memory.operand[..len]);
    }

    /// Takes the gradient by the output of a stage's map, in the current buffer, as the gradient by what was added to it.
    pub(super) fn keep_skip_gradient(&mut self, micro: MicroBatch, index: usize) {
        let (session, network) = (self.session, self.network);
        let Some(source) = network.stages[index].skip.map(usize::from) else {
            return;
        };
        let scale = |stage| session.gradient_exponent(network, stage);
        let by = scale(source - 1) - scale(index);
        // The backward pass meets the last addition first.
        let mut later = network.stages[index + 1..].iter();
        let is_first = later.all(|stage| stage.skip.map(usize::from) != Some(source));
        let len = micro.rows * network.stages[source].kept_len();
        let sums = Share::peel_slice_mut(&mut self.stages[source].skip[..len]);
        for (sum, &gradient) in sums.iter_mut().zip(&*self.current) {
            let gradient = scaled(self.role, gradient, session.format.ring, by);
            *sum = match is_first {
                true => gradient,
                false => sum.plus(gradient),
            };
        }
    }

    /// Adds the gradient by what was taken from a stage's input to the gradient by this input, narrow shares in the next
    /// buffer.
    pub(super) fn add_skip_gradient(&mut self, micro: MicroBatch, index: usize) {
        let len = micro.rows * self.network.stages[index].kept_len();
        let added = Share::peel_slice(&self.stages[index].skip[..len]);
        for (value, &added) in self.next[..len].iter_mut().zip(added) {
            *value = value.plus(added);
        }
    }
}

/// Adds what a stage's residual connection brings to the output of its map, narrow shares in `out`. `memory` has the buffers of
/// this stage and of those before.
pub(super) fn add_skip<R: Ring>(
    (role, ring): (Role, u32),
    (stages, index): (&[Stage], usize),
    memory: &[StageMemory<'_, R>],
    out: &mut [R],
) {
    let Some(source) = stages[index].skip.map(usize::from) else {
        return;
    };
    let by = stages[source].headroom[0] as i32 - stages[index].headroom[1] as i32;
    let added = Share::peel_slice(&*memory[source].skip);
    for (value, &added) in out.iter_mut().zip(added) {
        *value = value.plus(scaled(role, added, ring, by));
    }
}

/// A share of a value times 2^`by`. Division is a local truncation from the ring of `ring` bits.
fn scaled<R: Ring>(role: Role, share: R, ring: u32, by: i32) -> R {
    match by {
        0.. => share.left(by as u32),
        _ => truncate(role, share, ring, by.unsigned_abs()),
    }
}
