//! How values lie in a register of AVX2: its two halves hold four packed values each.

/// Values of a register.
pub(super) const VALUES: usize = 8;
/// Bytes of half a register.
pub(super) const HALF: usize = 16;

/// In an index of a shuffle: a byte of zeros.
pub(super) const NONE: u8 = 0x80;
