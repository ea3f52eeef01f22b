//! Lines by which a lookup interpolates: those of the least squares.
//!
//! A lookup opens its argument under a uniform mask, so the low bits u of the opening are uniform too, whatever the
//! argument is. The dealer knows the mask. So for each mask it deals the line in u that fits the function best over all
//! u. The line's error is then zero in the mean over the masks, for each argument: samples with equal logits have errors
//! of either sign, and a sum of gradients does not drift.

use crate::gate::lookup::Lookup;

/// Fraction bits of derivatives.
pub(super) const DERIVATIVE_FRACTION: u32 = 18;

/// The scales of a lookup and of its function.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    /// The lookup.
    pub lookup: Lookup,
    /// Fraction bits of the argument.
    pub argument: u32,
    /// Fraction bits of the dealt slopes. Values have these and those of the argument.
    pub slope: u32,
}

impl Fit {
    /// The line `[base, slope]`, of which base + slope * u is the value, from the function's value and its first two
    /// derivatives at u = `low`. Derivatives have [`DERIVATIVE_FRACTION`] fraction bits.
    pub fn line(self, [value, first, second]: [i64; 3], low: u64) -> [u64; 2] {
        let (low, last) = (low as i64, (1i64 << self.lookup.rest) - 1);
        // Twice the mean of u - low, and the mean of its square.
        let mean = last - 2 * low;
        let square = low * (low - last) + last * (2 * last + 1) / 6;
        let by = self.argument + 1 + DERIVATIVE_FRACTION - self.slope;
        let half = 1i64 << (by - 1);
        let slope = ((first << (self.argument + 1)) + second * mean + half) >> by;
        let by = 1 + DERIVATIVE_FRACTION - self.slope;
        let moved = (first * mean) >> by;
        let bent = (second * square) >> (self.argument + by);
        // The line passes through the mean, so that what rounds its slope rounds no mean.
        let base = value + moved + bent - ((slope * last) >> 1);
        [base, slope].map(|word| word as u64)
    }
}
