//! Long division.

/// The quotient, rounded down; 0 if the denominator is.
///
/// One copy of a long division: inlined, each would take most of a kilobyte of a microcontroller's flash.
#[inline(never)]
pub(crate) fn quotient(numerator: u128, denominator: u128) -> u128 {
    numerator.checked_div(denominator).unwrap_or(0)
}
