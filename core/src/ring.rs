//! Integers modulo a power of two: words, the rings of linear arithmetic, and the free steps down.

use core::fmt::Debug;

use bytemuck::Pod;
use zeroize::DefaultIsZeroes;

use crate::{Role, scalar::Scalar};

/// An unsigned machine word read as an element of Z_2^b for any `b` up to its width.
///
/// Arithmetic wraps modulo 2^[`Word::BITS`]; narrower rings keep their values in the low bits and
/// reduce with [`Word::low`].
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
    /// The low 128 bits, zero extended.
    fn to_u128(self) -> u128;
    /// Keeps the low bits.
    fn from_u128(value: u128) -> Self;
    /// Converts between the order of the wire (little-endian) and this machine's.
    fn little_endian(self) -> Self;

    /// `-self` modulo 2^BITS.
    #[inline(always)]
    fn negated(self) -> Self {
        Self::ZERO.minus(self)
    }

    /// The residue modulo 2^bits, in the low bits. Widths past the word's own change nothing.
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

    /// A signed integer modulo 2^BITS.
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
    /// Z_2^(2L), in which the master weights live.
    type Wide: Word;
    /// Chunks of at most this many bits are compared by lookup: a chunk's unary table fits a word.
    const CHUNK: u32;
    /// The most fraction bits that leave the gates room.
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

/// The free step down, Z_2^from -> Z_2^(from-by), dividing by 2^by: each party applies it to its own
/// share. The sum of the results is the exact quotient rounded down or up, without bias when the
/// shares are uniform, and it cannot wrap because the ring shrinks with the value.
///
/// This replaces truncation inside one ring (SecureML, section 4.1), which fails with probability
/// |x| / 2^L for each element.
#[inline(always)]
pub fn step_down<W: Word>(role: Role, share: W, from: u32, by: u32) -> W {
    match role {
        Role::P0 => share.low(from).right(by),
        Role::P1 => share
            .negated()
            .low(from)
            .right(by)
            .negated()
            .low(from.saturating_sub(by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn step_down_is_exact_up_to_one_unit_and_unbiased() {
        for from in 2..=9u32 {
            for by in 1..from {
                let modulus = 1u32 << from;
                let narrow = from - by;
                for value in 0..modulus {
                    let x = signed(value, from);
                    let mut sum = 0i128;
                    for s0 in 0..modulus {
                        let s1 = value.wrapping_sub(s0).low(from);
                        let y = step_down(Role::P0, s0, from, by)
                            .plus(step_down(Role::P1, s1, from, by))
                            .low(narrow);
                        // The candidates are the two neighbours of x / 2^by.
                        let floor = x >> by;
                        let ceil = -((-x) >> by);
                        let is = |c: i128| u128::from(y) == (c as u128) & mask::<u128>(narrow);
                        assert!(is(floor) || is(ceil), "{from} {by} {x} {s0} {y}");
                        sum += if is(floor) { floor } else { ceil };
                    }
                    // Mean over every sharing equals x / 2^by exactly.
                    assert_eq!(sum << by, x * i128::from(modulus), "{from} {by} {x}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn words_match_integers(a: u64, b: u64, bits in 1u32..=64, by in 0u32..80) {
            let modulus = 1u128 << bits;
            prop_assert_eq!(u128::from(a.plus(b).low(bits)), (u128::from(a) + u128::from(b)) % modulus);
            prop_assert_eq!(u128::from(a.minus(b).low(bits)), (u128::from(a) + (1 << 64) - u128::from(b)) % modulus);
            prop_assert_eq!(u128::from(a.times(b).low(bits)), (u128::from(a) * u128::from(b)) % modulus);
            prop_assert_eq!(a.plus(a.negated()), 0);
            prop_assert_eq!(u128::from(a.right(by)), u128::from(a) >> by);
            prop_assert_eq!(u128::from(a.left(by)), (u128::from(a) << by) % (1 << 64));
        }

        #[test]
        fn signed_reads_what_was_written(value in -(1i64 << 40)..(1i64 << 40), bits in 42u32..=64) {
            prop_assert_eq!(signed(u64::from_i64(value).low(bits), bits), i128::from(value));
            prop_assert_eq!(signed(u128::from_i64(value).low(bits), bits), i128::from(value));
        }

        #[test]
        fn step_down_at_protocol_widths(x in -(1i64 << 30)..(1i64 << 30), s0: u32, by in 1u32..=20) {
            let s1 = u32::from_i64(x).minus(s0);
            let narrow = 32 - by;
            let y = step_down(Role::P0, s0, 32, by).plus(step_down(Role::P1, s1, 32, by)).low(narrow);
            let y = signed(y, narrow);
            prop_assert!((y << by) - i128::from(x) < (1 << by) && i128::from(x) - (y << by) < (1 << by));
        }

        #[test]
        fn step_down_in_the_wide_ring(x in -(1i64 << 50)..(1i64 << 50), s0: u64) {
            // Master weight at scale 36 to an operand at scale 12, then the high bits dropped.
            let s1 = u64::from_i64(x).minus(s0);
            let y0: u32 = step_down(Role::P0, s0, 64, 24).cast();
            let y1: u32 = step_down(Role::P1, s1, 64, 24).cast();
            let y = signed(y0.plus(y1), 32);
            prop_assert!((y - (i128::from(x) >> 24)).abs() <= 1);
        }
    }

    /// Steps down values over the whole contract of the result, |x| < 2^(from - by - 2) of its units, each
    /// under a fresh sharing; returns the worst error in units of the result's last place.
    fn worst_error<W: Word>(from: u32, by: u32, count: usize, seed: u8) -> f64 {
        let prg = crate::prg::Prg::new(crate::prg::Key::new([seed; 32]));
        let mut worst = 0f64;
        let mut words = [W::ZERO; 1000];
        for block in 0..count.div_ceil(500) as u64 {
            let address = crate::prg::Address {
                iteration: from,
                gate: by,
                wire: 0,
            };
            prg.fill(address, 1000 * block, &mut words);
            for pair in words.chunks_exact(2) {
                let x = signed(pair[0].low(from - 1), from - 1);
                let x0 = pair[1].low(from);
                let x1 = W::from_u128(x as u128).minus(x0).low(from);
                let y = step_down(Role::P0, x0, from, by)
                    .plus(step_down(Role::P1, x1, from, by))
                    .low(from - by);
                // The quotient rounded down, and what is left of it.
                let (floor, rest) = (x >> by, x & mask::<u128>(by) as i128);
                let whole = signed(y, from - by) - floor;
                let part = libm::scalbn(rest as f64, -(by as i32));
                worst = worst.max((whole as f64 - part).abs());
            }
        }
        worst
    }

    #[test]
    fn no_step_down_of_ten_million_errs_by_more_than_a_unit() {
        // Products and weights at the usual widths, in both rings and with weights as fine as they come;
        // then a chain's powers and sums, and a fused polynomial's.
        let each = 10_000_000 / 8;
        for (from, by) in [(32, 12), (64, 24), (64, 42), (64, 20)] {
            assert!(worst_error::<u64>(from, by, each, 1) <= 1.0, "{from} {by}");
        }
        for (from, by) in [(128, 40), (124, 12), (112, 48), (110, 46)] {
            assert!(worst_error::<u128>(from, by, each, 2) <= 1.0, "{from} {by}");
        }
    }
}
