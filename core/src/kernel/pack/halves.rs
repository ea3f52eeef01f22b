//! How values lie in a register of AVX2, or in two of NEON: each half holds four packed values.

/// Values that are packed at a time.
pub(super) const VALUES: usize = 8;
/// Bytes of a half.
pub(super) const HALF: usize = 16;

/// In an index of a shuffle: a byte of zeros.
pub(super) const NONE: u8 = 0x80;

/// Bytes from the first one of eight values of `bits` bits to the end of their second half.
#[inline(always)]
pub(super) fn reach(bits: u32) -> usize {
    bits as usize / 2 + HALF
}
