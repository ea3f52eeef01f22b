//! The inputs of the AND that combines the chunks of a comparison.

use crate::Role;

use super::MAX_CHUNKS;

/// The most inputs of an AND.
pub(super) const MAX_OPENED: usize = 2 * MAX_CHUNKS as usize;

/// A plane per input of an AND: see [`AndInputs`] for their order.
pub(super) type AndPlanes = [u64; MAX_OPENED];

/// Inputs of the AND that combines chunks, or their masks, as planes. With chunks counted from the highest, number 0:
/// `equal[i]` is for chunk i, and `less[j]` for chunk j + 1.
///
/// The AND is the sum over j of `less[j]` times the product of `equal[0..=j]`. Each input is opened xor mask. Multiplied
/// out, each set of masks has a shared product, and the opened inputs without these masks are its public factor.
#[derive(Clone, Copy)]
pub(super) struct AndInputs<'a> {
    pub equal: &'a [u64],
    pub less: &'a [u64],
}

impl<'a> AndInputs<'a> {
    /// Splits `planes`: the first half is `equal`, the second is `less`.
    #[inline(always)]
    pub fn new(planes: &'a [u64]) -> Self {
        let (equal, less) = planes.split_at(planes.len() / 2);
        AndInputs { equal, less }
    }

    /// The product of those of the first `count` equal planes that are not in `set`.
    #[inline]
    pub fn equal_outside(self, set: usize, count: usize) -> u64 {
        (0..count)
            .filter(|i| set >> i & 1 == 0)
            .fold(u64::MAX, |product, i| product & self.equal[i])
    }

    /// This party's share of the terms with at most one mask. `masks` are its shares of the masks.
    #[inline(always)]
    pub fn single_mask_terms(self, role: Role, masks: AndInputs<'_>) -> u64 {
        let public = match role {
            Role::P0 => u64::MAX,
            Role::P1 => 0,
        };
        let mut share = 0;
        for below in 0..self.less.len() {
            let all = self.equal_outside(0, below + 1);
            share ^= all & (self.less[below] & public ^ masks.less[below]);
            for (i, equal_mask) in masks.equal[..=below].iter().enumerate() {
                share ^= self.equal_outside(1 << i, below + 1) & self.less[below] & equal_mask;
            }
        }
        share
    }
}
