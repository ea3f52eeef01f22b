//! Polynomials that approximate activations. Coefficients are integers, so all roles compute with identical
//! ones.

use serde::{Deserialize, Serialize};

/// The highest degree of a polynomial.
pub const MAX_DEGREE: usize = 9;

/// Fraction bits of the coefficients: a coefficient c is the integer c * 2^48.
pub const COEFFICIENT_FRACTION: u32 = 48;

/// A polynomial activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Polynomial {
    /// The degree, 2 to [`MAX_DEGREE`]. Gates compute all powers up to it, even if the leading coefficient is zero.
    pub degree: u8,
    /// The polynomial approximates the activation on an interval within [-2^reach, 2^reach].
    pub reach: u8,
    /// Coefficients in ascending order of powers, in units of 2^-48; zero above the degree.
    pub coefficients: [i64; MAX_DEGREE + 1],
}

impl Polynomial {
    /// Whether the degree is supported, coefficients above it are zero, and no derivative overflows an `i64`.
    pub fn is_sound(&self) -> bool {
        let degree = usize::from(self.degree);
        // A derivative's coefficients are up to MAX_DEGREE times larger.
        let most = i64::MAX.unsigned_abs() >> 4;
        (2..=MAX_DEGREE).contains(&degree)
            && self.reach < 32
            && self.coefficients[degree + 1..].iter().all(|&c| c == 0)
            && self.coefficients.iter().all(|c| c.unsigned_abs() <= most)
    }

    /// The coefficients up to the degree.
    pub fn terms(&self) -> &[i64] {
        &self.coefficients[..=usize::from(self.degree)]
    }

    /// The coefficients up to the last nonzero one; at least one.
    pub fn trimmed(&self) -> &[i64] {
        let len = self.coefficients.iter().rposition(|&c| c != 0);
        &self.coefficients[..len.map_or(1, |last| last + 1)]
    }

    /// The exact derivative; its degree is one lower.
    pub fn derivative(&self) -> Polynomial {
        let mut coefficients = [0; MAX_DEGREE + 1];
        for (power, &coefficient) in self.coefficients.iter().enumerate().skip(1) {
            coefficients[power - 1] = coefficient * power as i64;
        }
        Polynomial {
            degree: self.degree - 1,
            coefficients,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivative_is_exact() {
        let mut coefficients = [0; MAX_DEGREE + 1];
        coefficients[..4].copy_from_slice(&[7, -5, 3, 11]);
        let polynomial = Polynomial {
            degree: 3,
            reach: 0,
            coefficients,
        };
        assert!(polynomial.is_sound());
        let derivative = polynomial.derivative();
        assert_eq!(derivative.terms(), [-5, 6, 33]);
        assert_eq!(derivative.derivative().trimmed(), [6, 66]);
    }

    #[test]
    fn bad_degrees_and_coefficients_are_not_sound() {
        let sound = Polynomial {
            degree: 2,
            reach: 0,
            coefficients: [1; MAX_DEGREE + 1],
        };
        assert!(!sound.is_sound());
        let mut coefficients = [0; MAX_DEGREE + 1];
        coefficients[1] = i64::MIN;
        for (degree, coefficients) in [(2, coefficients), (1, [0; 10]), (10, [0; 10])] {
            let polynomial = Polynomial {
                degree,
                reach: 0,
                coefficients,
            };
            assert!(!polynomial.is_sound(), "{degree}");
        }
    }
}
