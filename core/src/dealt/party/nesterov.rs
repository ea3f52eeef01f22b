//! Nesterov's momentum: a step takes back a part of the last velocity, which is kept for it.

use crate::num::{
    fixed_point::Format,
    ring::{Ring, Word},
};

use super::StageMemory;

impl<R: Ring> StageMemory<'_, R> {
    /// This party's share of a step of a parameter, less `rate` times the last velocity, in whose place the new `velocity` is kept.
    pub(super) fn take_back(
        &mut self,
        format: Format,
        parameter: usize,
        [step, velocity]: [R::Wide; 2],
        rate: u64,
    ) -> R::Wide {
        let bytes = format.wide() as usize / 8;
        let kept = &mut self.last_velocity[parameter * bytes..][..bytes];
        let last = kept.iter().rev().fold(R::Wide::ZERO, |share, &byte| {
            share.left(8).plus(R::Wide::from_u64(byte.into()))
        });
        let mut rest = velocity;
        for byte in kept {
            *byte = rest.to_u64() as u8;
            rest = rest.right(8);
        }
        step.minus(last.times(R::Wide::from_u64(rate)))
    }
}
