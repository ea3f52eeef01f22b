//! The state of a party between two iterations: what the next iteration needs and what neither the session nor the
//! keys give.
//!
//! That is, stage by stage: this party's shares of the master weights and biases, in the order of
//! [`Trainer::parameters`], and in a session with momentum, in the same order, its shares of the velocities. Each is a
//! little-endian word of 64 bits.
//!
//! [`Trainer::parameters`]: super::Trainer::parameters

use crate::session::state::{read_word, write_word};

use super::Party;

const BITS: u32 = u64::BITS;

impl Party<'_> {
    /// Whether the next iteration reads the velocities.
    fn keeps_velocities(&self) -> bool {
        self.session.momentum > 0
    }

    /// Bytes of the state.
    pub(super) fn state_len(&self) -> usize {
        let words = if self.keeps_velocities() { 2 } else { 1 };
        let parameters = self.stages.iter().map(|memory| memory.master.len());
        parameters.sum::<usize>() * words * (BITS as usize / 8)
    }

    /// Passes the state to `write`, word by word.
    pub(super) fn write_state<E>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for memory in &self.stages {
            for &share in memory.master.iter() {
                write_word(BITS, share, &mut write)?;
            }
            if self.keeps_velocities() {
                for &share in memory.velocity.iter() {
                    write_word(BITS, share, &mut write)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the state back from `read`, word by word.
    pub(super) fn read_state<E>(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let keeps_velocities = self.keeps_velocities();
        for memory in &mut self.stages {
            for share in memory.master.iter_mut() {
                *share = read_word(BITS, &mut read)?;
            }
            for share in memory.velocity.iter_mut() {
                *share = match keeps_velocities {
                    true => read_word(BITS, &mut read)?,
                    false => 0,
                };
            }
        }
        Ok(())
    }
}
