//! Bump allocator over one block of memory that the caller owns.

use bytemuck::Pod;

/// The caller's memory is smaller than the session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArenaTooSmall {
    /// Memory that the session needs, in 64-bit words.
    pub needed: usize,
    /// Memory that the caller passed, in 64-bit words.
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

/// 64-bit words that hold `len` elements of `size` bytes.
pub(crate) const fn words(len: usize, size: usize) -> usize {
    (len * size).div_ceil(8)
}

/// The part of the caller's memory that is not allocated yet.
pub(crate) struct Arena<'a>(&'a mut [u64]);

impl<'a> Arena<'a> {
    /// Zeroes `memory` and takes it. Fails if it holds fewer than `needed` 64-bit words.
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

    /// Allocates `len` zeroed elements of at most 64 bits each, from an 8-byte boundary on.
    ///
    /// Returns fewer elements when too little memory is left. The check in [`Arena::new`] rules that out.
    pub fn take<T: Pod>(&mut self, len: usize) -> &'a mut [T] {
        let words = words(len, size_of::<T>());
        let memory = core::mem::take(&mut self.0);
        let (taken, rest) = memory.split_at_mut(words.min(memory.len()));
        self.0 = rest;
        let all: &mut [T] = bytemuck::cast_slice_mut(taken);
        let len = len.min(all.len());
        &mut all[..len]
    }
}
