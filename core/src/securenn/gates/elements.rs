//! Uniform elements of the field of comparisons, for a whole list at a time.
//!
//! Eight elements come from 128 bits of a stream, read as a fraction: the fraction times 67^2 has two elements as its
//! integer part, and what follows the point gives the next two. So two bytes of stream are enough for an element, and
//! eight elements together are closer to uniform than one by itself would be from a word of 64 bits.

use super::modular::{P, quotient};

/// Entries of the longest list.
pub(super) const MAX_BITS: usize = 64;

/// Words of 32 bits of which a list is made.
pub(super) const WORDS: usize = 32;

/// Words that make up a fraction, the lowest first. They stand [`FRACTIONS`] apart, so that vector instructions take the
/// same word of several fractions at once.
const LIMBS: usize = 4;

/// Fractions of a list.
const FRACTIONS: usize = WORDS / LIMBS;

/// Pairs of elements of which each fraction gives one after another.
const PAIRS: usize = MAX_BITS / FRACTIONS / 2;

/// Uniform elements of the field from uniform words.
///
/// Of each eight elements that one fraction gives, every combination has a probability within 2^-79 of 67^-8, relative
/// to it.
#[inline(always)]
pub(super) fn uniform(words: &[u32; WORDS]) -> [u8; MAX_BITS] {
    digits::<P>(words)
}

/// Uniform elements other than 0 from uniform words, as close to uniform as those of [`uniform`].
#[inline(always)]
pub(super) fn units(words: &[u32; WORDS]) -> [u8; MAX_BITS] {
    digits::<{ P - 1 }>(words).map(|digit| digit + 1)
}

/// The first eight digits of each fraction to a base of 66 or 67.
#[inline(always)]
fn digits<const BASE: u32>(words: &[u32; WORDS]) -> [u8; MAX_BITS] {
    let mut fractions = *words;
    let mut digits = [0; MAX_BITS];
    let pairs: &mut [[[u8; FRACTIONS]; 2]; PAIRS] = bytemuck::cast_mut(&mut digits);
    for [high, low] in pairs {
        let mut carries = [0u32; FRACTIONS];
        for limbs in fractions.as_chunks_mut::<FRACTIONS>().0 {
            for (limb, carry) in limbs.iter_mut().zip(&mut carries) {
                let product = u64::from(*limb) * u64::from(BASE * BASE) + u64::from(*carry);
                *limb = product as u32;
                *carry = (product >> 32) as u32;
            }
        }
        for ((high, low), pair) in high.iter_mut().zip(low).zip(carries) {
            let pair = pair as u16;
            let quotient = quotient::<BASE>(pair);
            *high = quotient as u8;
            *low = (pair - BASE as u16 * quotient) as u8;
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Address, Key, Prg};

    /// The digits of a fraction one by one, by long multiplication of bytes.
    fn one_by_one(mut fraction: u128, base: u32) -> [u8; 8] {
        core::array::from_fn(|_| {
            let mut carry = 0;
            let bytes = fraction.to_le_bytes().map(|byte| {
                let product = u32::from(byte) * base + carry;
                carry = product >> 8;
                product as u8
            });
            fraction = u128::from_le_bytes(bytes);
            carry as u8
        })
    }

    #[test]
    fn each_fraction_gives_its_digits() {
        let prg = Prg::new(Key::new([3; Key::LEN]));
        let address = Address {
            iteration: 0,
            gate: 0,
            wire: 0,
        };
        for number in 0..1000 {
            let mut words = [0u32; WORDS];
            prg.fill(address, (WORDS * number) as u64, &mut words);
            match number {
                0 => words = [0; WORDS],
                1 => words = [u32::MAX; WORDS],
                _ => {}
            }
            let (elements, units) = (uniform(&words), units(&words));
            for at in 0..FRACTIONS {
                let limbs = [3, 2, 1, 0].map(|limb| words[limb * FRACTIONS + at]);
                let fraction = limbs
                    .iter()
                    .fold(0, |all, &limb| all << 32 | u128::from(limb));
                for (place, digit) in one_by_one(fraction, P).into_iter().enumerate() {
                    assert_eq!(elements[place * FRACTIONS + at], digit);
                }
                for (place, digit) in one_by_one(fraction, P - 1).into_iter().enumerate() {
                    assert_eq!(units[place * FRACTIONS + at], digit + 1);
                }
            }
        }
    }
}
