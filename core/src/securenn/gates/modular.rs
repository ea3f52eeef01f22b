//! Arithmetic in the rings of shares and in the field Z_67 of comparisons. Nothing branches on values.

/// The ring Z_(2^bits) or Z_(2^bits - 1), with `bits` from 2 to 64. Elements are words from 0 to the modulus - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modulus {
    /// 2^bits.
    Even(u32),
    /// 2^bits - 1.
    Odd(u32),
}

impl Modulus {
    /// Bits of an element's word.
    pub fn bits(self) -> u32 {
        match self {
            Modulus::Even(bits) | Modulus::Odd(bits) => bits,
        }
    }

    /// 2^bits - 1.
    fn top(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// a + b.
    pub fn plus(self, a: u64, b: u64) -> u64 {
        self.reduce(u128::from(a) + u128::from(b))
    }

    /// a - b.
    pub fn minus(self, a: u64, b: u64) -> u64 {
        match self {
            Modulus::Even(_) => a.wrapping_sub(b) & self.top(),
            Modulus::Odd(_) => self.plus(a, self.top() - b),
        }
    }

    /// -a if `flip` is 1, a if it is 0.
    pub fn flip(self, a: u64, flip: u64) -> u64 {
        let mask = choice(flip);
        (self.minus(0, a) & mask) | (a & !mask)
    }

    /// Reduces a number below 2 (2^bits - 1) by the modulus.
    fn reduce(self, sum: u128) -> u64 {
        match self {
            Modulus::Even(_) => sum as u64 & self.top(),
            Modulus::Odd(bits) => {
                // 1 if the sum is at least the modulus, 2^bits - 1. Subtracting it is adding 1 modulo 2^bits.
                let over = ((sum + 1) >> bits) as u64;
                (sum as u64).wrapping_add(over) & self.top()
            }
        }
    }

    /// Reduces a word by the modulus; for the odd ring the word must be below 2^bits.
    pub fn take(self, word: u64) -> u64 {
        self.reduce(word.into())
    }

    /// A uniform element from a uniform word, with a bias of at most 2^-64.
    pub fn uniform(self, word: u64) -> u64 {
        match self {
            Modulus::Even(_) => word & self.top(),
            Modulus::Odd(_) => ((u128::from(word) * u128::from(self.top())) >> 64) as u64,
        }
    }
}

/// The mask of all ones for 1 and 0 for 0, to choose between two values without a branch. `black_box` hides from the
/// compiler that there are only two cases; it would compute each in a loop of its own.
#[inline(always)]
pub(super) fn choice(bit: u64) -> u64 {
    core::hint::black_box(bit.wrapping_neg())
}

/// word * bound / 2^64: a number below `bound`. For a uniform word it is uniform, with a bias of at most bound / 2^64.
#[inline(always)]
pub(super) fn below(word: u64, bound: u32) -> u32 {
    // Two products of 32 x 32 bits: vector units and small processors have no wider ones.
    let bound = u64::from(bound);
    let low = (word & 0xFFFF_FFFF) * bound;
    (((word >> 32) * bound + (low >> 32)) >> 32) as u32
}

/// `number / BASE` for a base of 66 or 67. A product with 2^22 / BASE, rounded up, replaces the division, whose time may
/// depend on the number.
#[inline(always)]
pub(super) fn quotient<const BASE: u32>(number: u16) -> u16 {
    let inverse = const { (1u32 << 22).div_ceil(BASE) };
    ((u32::from(number) * inverse) >> 16) as u16 >> 6
}

/// The field of comparisons: the smallest prime above 64 + 2.
pub const P: u32 = 67;

/// Operations in Z_67, on elements below it.
pub mod field {
    use super::{P, quotient};

    /// Reduces a number by the modulus. Callers reduce a sum of many elements, or a product, once at its end.
    #[inline(always)]
    pub fn reduce(number: u16) -> u8 {
        (number - P as u16 * quotient::<P>(number)) as u8
    }

    /// a + b.
    #[inline(always)]
    pub fn plus(a: u8, b: u8) -> u8 {
        reduce(u16::from(a) + u16::from(b))
    }

    /// a - b.
    #[inline(always)]
    pub fn minus(a: u8, b: u8) -> u8 {
        reduce(u16::from(a) + P as u16 - u16::from(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_operations_match_modular_arithmetic() {
        for bits in 2..7 {
            for (ring, modulus) in [
                (Modulus::Even(bits), 1u64 << bits),
                (Modulus::Odd(bits), (1 << bits) - 1),
            ] {
                for a in 0..modulus {
                    for b in 0..modulus {
                        assert_eq!(ring.plus(a, b), (a + b) % modulus);
                        assert_eq!(ring.minus(a, b), (a + modulus - b) % modulus);
                    }
                    assert_eq!(
                        [ring.flip(a, 0), ring.flip(a, 1)],
                        [a, (modulus - a) % modulus]
                    );
                }
                assert_eq!(ring.take((1 << bits) - 1), ((1 << bits) - 1) % modulus);
                assert_eq!(ring.uniform(u64::MAX), modulus - 1);
            }
        }
        let odd = Modulus::Odd(64);
        assert_eq!(odd.plus(u64::MAX - 1, u64::MAX - 1), u64::MAX - 2);
        assert_eq!(odd.minus(0, 1), u64::MAX - 1);
        assert_eq!(odd.take(u64::MAX), 0);
    }

    #[test]
    fn quotients_are_those_of_a_division() {
        for number in 0..=u16::MAX {
            assert_eq!(quotient::<P>(number), number / P as u16);
        }
        // A pair of digits is below the square of its base.
        for number in 0..66 * 66 {
            assert_eq!(quotient::<66>(number), number / 66);
        }
    }

    #[test]
    fn field_operations_match_modular_arithmetic() {
        for a in 1..P as u8 {
            let inverses = (1..P as u8)
                .filter(|&b| field::reduce(u16::from(a) * u16::from(b)) == 1)
                .count();
            assert_eq!(inverses, 1);
            assert_eq!(field::plus(field::minus(3, a), a), 3);
        }
        for number in 0..=u16::MAX {
            assert_eq!(u32::from(field::reduce(number)), u32::from(number) % P);
        }
    }
}
