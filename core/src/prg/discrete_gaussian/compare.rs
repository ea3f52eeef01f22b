//! Comparisons without a branch. Processors of 32 bits compare wider numbers by branches, so they are taken word by word.

use core::hint::black_box;

/// 1 if `left` is below `right`, else 0. The lowest words come first.
#[inline(always)]
pub(super) fn below(left: [u32; 2], right: [u32; 2]) -> u32 {
    borrow(left[1], right[1], borrow(left[0], right[0], 0))
}

/// The same for numbers of 128 bits.
#[inline(always)]
pub(super) fn long_below(left: [u32; 4], right: [u32; 4]) -> u32 {
    let second = borrow(left[1], right[1], borrow(left[0], right[0], 0));
    borrow(left[3], right[3], borrow(left[2], right[2], second))
}

/// 1 if `left` is below `right` and the borrow of lower words, else 0.
#[inline(always)]
fn borrow(left: u32, right: u32, borrow: u32) -> u32 {
    let difference = left.wrapping_sub(right).wrapping_sub(borrow);
    // The highest bit's own borrow: 0 - 1, or equal bits and a borrow from below, which makes the difference's bit 1.
    ((!left & right) | (!(left ^ right) & difference)) >> 31
}

/// The two words of a number, the lowest first.
#[inline(always)]
pub(super) fn words(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// All ones for 1 and all zeros for 0. `black_box` hides from the compiler that the mask has two values only, of which it could
/// make a branch.
#[inline(always)]
pub(super) fn mask(bit: u64) -> u64 {
    black_box(bit.wrapping_neg())
}
