//! Integers modulo a power of two: words, and the rings of linear arithmetic.

use core::fmt::Debug;

use bytemuck::Pod;
use zeroize::DefaultIsZeroes;

use crate::num::scalar::Scalar;

/// An unsigned machine word read as an element of Z_2^b for any `b` up to its width.
///
/// Arithmetic wraps modulo 2^[`Word::BITS`]. An element of a narrower ring is in the low bits, and
/// [`Word::low`] reduces to it.
pub trait Word: Pod + Default + Eq + Ord + Debug + DefaultIsZeroes + Send + Sync + 'static {
    /// Width of the word in bits.
    const BITS: u32;
    /// The additive identity.
    const ZERO: Self;
    /// The multiplicative identity.
    const ONE: Self;
    /// The word with every bit set.
    const MAX: Self;

    /// `self + other` modulo 2^BITS.
    fn plus(self, other: Self) -> Self;
    /// `self - other` modulo 2^BITS.
    fn minus(self, other: Self) -> Self;
    /// `self * other` modulo 2^BITS.
    fn times(self, other: Self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// `self * 2^by` modulo 2^BITS; zero when `by` is the width or more.
    fn left(self, by: u32) -> Self;
    /// `self / 2^by` rounded down; zero when `by` is the width or more.
    fn right(self, by: u32) -> Self;
    /// As [`Word::left`] for `by` below the width, which takes small processors less.
    fn short_left(self, by: u32) -> Self;
    /// As [`Word::right`] for `by` below the width, which takes small processors less.
    fn short_right(self, by: u32) -> Self;
    /// The low 128 bits, zero extended.
    fn to_u128(self) -> u128;
    /// Truncation to the low BITS bits.
    fn from_u128(value: u128) -> Self;
    /// Converts between little-endian byte order, which links use, and the machine's.
    fn little_endian(self) -> Self;

    /// `-self` modulo 2^BITS.
    #[inline(always)]
    fn negated(self) -> Self {
        Self::ZERO.minus(self)
    }

    /// The residue modulo 2^bits, zero extended; `self` when `bits` is the width or more.
    #[inline(always)]
    fn low(self, bits: u32) -> Self {
        self.and(mask(bits))
    }

    /// Zero extension or truncation to another word.
    #[inline(always)]
    fn cast<T: Word>(self) -> T {
        T::from_u128(self.to_u128())
    }

    /// Truncation or zero extension of a `u64`.
    #[inline(always)]
    fn from_u64(value: u64) -> Self {
        Self::from_u128(u128::from(value))
    }

    /// The low 64 bits.
    #[inline(always)]
    fn to_u64(self) -> u64 {
        self.to_u128() as u64
    }

    /// The residue of a signed integer modulo 2^BITS.
    #[inline(always)]
    fn from_i64(value: i64) -> Self {
        Self::from_u128(i128::from(value) as u128)
    }
}

macro_rules! word {
    ($($word:ty),*) => {$(
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const MAX: Self = <$word>::MAX;
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn and(self, other: Self) -> Self { self & other }
            #[inline(always)]
            fn xor(self, other: Self) -> Self { self ^ other }
            #[inline(always)]
            fn left(self, by: u32) -> Self { self.checked_shl(by).unwrap_or(0) }
            #[inline(always)]
            fn right(self, by: u32) -> Self { self.checked_shr(by).unwrap_or(0) }
            #[inline(always)]
            fn short_left(self, by: u32) -> Self { self.wrapping_shl(by) }
            #[inline(always)]
            fn short_right(self, by: u32) -> Self { self.wrapping_shr(by) }
            #[inline(always)]
            fn to_u128(self) -> u128 { self as u128 }
            #[inline(always)]
            fn from_u128(value: u128) -> Self { value as $word }
            #[inline(always)]
            fn little_endian(self) -> Self { self.to_le() }
        }
    )*};
}

word!(u8, u16, u32, u64, u128);

/// A ring of linear arithmetic, Z_2^L with L the width of the word.
pub trait Ring: Word + Scalar {
    /// A word for Z_2^(2L), which holds master weights.
    type Wide: Word;
    /// The most bits of a chunk that is compared by lookup: its unary table of 2^CHUNK - 1 bits fits a word.
    const CHUNK: u32;
    /// The most fraction bits f for which the gates' rings are wide enough.
    const MAX_FRACTION_BITS: u32;
}

impl Ring for u32 {
    type Wide = u64;
    const CHUNK: u32 = 5;
    const MAX_FRACTION_BITS: u32 = 14;
}

impl Ring for u64 {
    type Wide = u128;
    const CHUNK: u32 = 6;
    const MAX_FRACTION_BITS: u32 = 20;
}

/// The word whose low `bits` bits are set.
#[inline(always)]
pub fn mask<W: Word>(bits: u32) -> W {
    if bits >= W::BITS {
        W::MAX
    } else {
        W::ONE.left(bits).minus(W::ONE)
    }
}

/// Reads an element of Z_2^bits as a signed integer in [-2^(bits-1), 2^(bits-1)). `bits` is 1 to 128.
#[inline(always)]
pub fn signed<W: Word>(value: W, bits: u32) -> i128 {
    let unused = 128 - bits.min(W::BITS);
    ((value.to_u128() << unused) as i128) >> unused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_match_integers(a: u64, b: u64, bits in 1u32..=64, by in 0u32..80) {
            let modulus = 1u128 << bits;
            prop_assert_eq!(u128::from(a.plus(b).low(bits)), (u128::from(a) + u128::from(b)) % modulus);
            prop_assert_eq!(u128::from(a.minus(b).low(bits)), (u128::from(a) + (1 << 64) - u128::from(b)) % modulus);
            prop_assert_eq!(u128::from(a.times(b).low(bits)), (u128::from(a) * u128::from(b)) % modulus);
            prop_assert_eq!(a.plus(a.negated()), 0);
            prop_assert_eq!(u128::from(a.right(by)), u128::from(a) >> by);
            prop_assert_eq!(a.short_left(by % 64), a.left(by % 64));
            prop_assert_eq!(a.short_right(by % 64), a.right(by % 64));
            prop_assert_eq!(u128::from(a.left(by)), (u128::from(a) << by) % (1 << 64));
        }

        #[test]
        fn signed_inverts_from_i64(value in -(1i64 << 40)..(1i64 << 40), bits in 42u32..=64) {
            prop_assert_eq!(signed(u64::from_i64(value).low(bits), bits), i128::from(value));
            prop_assert_eq!(signed(u128::from_i64(value).low(bits), bits), i128::from(value));
        }
    }
}
