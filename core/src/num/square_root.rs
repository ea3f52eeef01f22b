//! Square roots of integers.

/// The square root, rounded down: bit by bit, because the standard library's takes two kilobytes of a microcontroller's flash.
#[inline(never)]
pub(crate) fn square_root(value: u128) -> u128 {
    (0..u64::BITS).rev().fold(0, |root: u128, bit| {
        let next = root | 1 << bit;
        match next * next <= value {
            true => next,
            false => root,
        }
    })
}
