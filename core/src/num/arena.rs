//! Memory that the caller owns, cut into typed buffers.

use bytemuck::Pod;

/// The arena is smaller than the plan says it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArenaTooSmall {
    /// 64-bit words that are needed.
    pub needed: usize,
    /// 64-bit words that were given.
    pub given: usize,
}

impl core::fmt::Display for ArenaTooSmall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "the session needs {} bytes of memory and was given {}",
            8 * self.needed,
            8 * self.given
        )
    }
}

impl core::error::Error for ArenaTooSmall {}

/// What is left of the caller's memory.
pub(crate) struct Arena<'a>(&'a mut [u64]);

impl<'a> Arena<'a> {
    /// Takes `memory`, zeroed, if it holds at least `needed` words.
    pub fn new(memory: &'a mut [u64], needed: usize) -> Result<Self, ArenaTooSmall> {
        if memory.len() < needed {
            return Err(ArenaTooSmall {
                needed,
                given: memory.len(),
            });
        }
        memory.fill(0);
        Ok(Arena(memory))
    }

    /// Cuts off `len` zeroed elements, of at most 64 bits each. Empty when too little is left, which
    /// the check of [`Arena::new`] excludes.
    pub fn take<T: Pod>(&mut self, len: usize) -> &'a mut [T] {
        let words = (len * size_of::<T>()).div_ceil(8);
        let memory = core::mem::take(&mut self.0);
        let (taken, rest) = memory.split_at_mut(words.min(memory.len()));
        self.0 = rest;
        let all: &mut [T] = bytemuck::cast_slice_mut(taken);
        let len = len.min(all.len());
        &mut all[..len]
    }
}
