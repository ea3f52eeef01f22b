//! The state of a party between two iterations: what the next iteration needs and what neither the session nor the
//! keys give.
//!
//! That is, stage by stage: this party's shares of the master weights and biases, in the order of
//! [`Trainer::parameters`], each a little-endian word of [`Format::wide`] bits; and in a session with momentum, in the
//! same order, its shares of momentum times the velocities, each a little-endian word of the ring. Without momentum
//! these are zero. With Nesterov's momentum, the shares of the last velocities follow, stage by
//! stage. If losses are revealed, this party's share of the sum of the epoch's losses follows, in 8 bytes. Openings of samples are no part of the state: they belong to the keys, and new keys open the samples
//! again.
//!
//! [`Trainer::parameters`]: super::Trainer::parameters
//! [`Format::wide`]: crate::num::fixed_point::Format::wide

use bytemuck::TransparentWrapper;

use crate::{
    dealt::layout::state_len,
    num::ring::Ring,
    session::state::{read_word, write_word},
    share::Share,
};

use super::Party;

/// The most bytes of velocities that are written or read at a time.
#[cfg(feature = "extended-training")]
const MAX_PIECE: usize = 16;

impl<R: Ring> Party<'_, R> {
    /// Whether velocities outlast an iteration.
    fn keeps_velocities(&self) -> bool {
        self.session.momentum > 0
    }

    /// Bytes of the state.
    pub(super) fn state_len(&self) -> usize {
        state_len(self.session, self.network.parameters())
    }

    /// Passes the state to `write`, word by word.
    pub(super) fn write_state<E>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let format = self.session.format;
        for (stage, memory) in self.stages.iter().enumerate() {
            for share in self.parameters(stage) {
                write_word(format.wide(), Share::peel(share), &mut write)?;
            }
            if self.keeps_velocities() {
                for &share in Share::peel_slice(&*memory.velocity) {
                    write_word(R::BITS, share, &mut write)?;
                }
            }
        }
        #[cfg(feature = "extended-training")]
        if self.session.has_nesterov() {
            for memory in &self.stages {
                let mut pieces = memory.last_velocity.chunks(MAX_PIECE);
                pieces.try_for_each(&mut write)?;
            }
        }
        #[cfg(feature = "extended-training")]
        if self.session.reveal_loss {
            write_word(u64::BITS, self.loss, &mut write)?;
        }
        Ok(())
    }

    /// Takes the state back from `read`, word by word.
    pub(super) fn read_state<E>(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (format, keeps_velocities) = (self.session.format, self.keeps_velocities());
        for memory in &mut self.stages {
            for parameter in 0..memory.weights.len() {
                let share = read_word(format.wide(), &mut read)?;
                memory.set_master_share(format, parameter, share);
            }
            let velocities = Share::peel_slice_mut(&mut *memory.velocity);
            if !keeps_velocities {
                velocities.fill(R::ZERO);
                continue;
            }
            // An evaluation has no use for velocities, and no room.
            let mut velocities = velocities.iter_mut();
            for _ in 0..memory.weights.len() {
                let share = read_word(R::BITS, &mut read)?;
                if let Some(velocity) = velocities.next() {
                    *velocity = share;
                }
            }
        }
        #[cfg(feature = "extended-training")]
        if self.session.has_nesterov() {
            for memory in &mut self.stages {
                let mut pieces = memory.last_velocity.chunks_mut(MAX_PIECE);
                pieces.try_for_each(&mut read)?;
            }
        }
        #[cfg(feature = "extended-training")]
        if self.session.reveal_loss {
            self.loss = read_word(u64::BITS, &mut read)?;
        }
        Ok(())
    }
}
