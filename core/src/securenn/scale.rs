//! Fixed point in Z_2^64 as SecureNN has it: products at twice the fraction bits, stepped down by each party on its
//! own share.
//!
//! That truncation is local, so nothing is sent; but where the shares' sum wraps otherwise than the number's own, the
//! result is wrong by 2^(64 - bits), which happens to a number x with probability |x| / 2^64. Otherwise it is
//! x / 2^bits rounded down or up, up with the probability of what is cut off: on average nothing is lost. All this is of
//! shares that are uniform.

use crate::{Role, network::Stage, num::fixed_point::RATE_FRACTION};

/// This party's share of a number, stepped down by `bits`.
pub fn truncate_within_ring(role: Role, share: u64, bits: u32) -> u64 {
    match role {
        Role::P0 => share >> bits,
        Role::P1 => (share.wrapping_neg() >> bits).wrapping_neg(),
    }
}

/// A rational number by which shares are multiplied: an integer, then a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: u64,
    fall: u32,
}

/// Bits of a rate's integer: few, since what they add to a product makes its truncation fail more often.
const RATE_BITS: u32 = 12;

impl Rate {
    /// numerator / denominator to [`RATE_BITS`] significant bits, exactly if they suffice; none if it is too small.
    fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if numerator == 0 {
            return Some(Rate { times: 0, fall: 0 });
        }
        // As many bits after the binary point as make the integer below 2^RATE_BITS.
        let whole = u128::from(numerator) << 64;
        let quotient = whole / u128::from(denominator);
        let bits = u128::BITS - quotient.leading_zeros();
        let excess = bits.saturating_sub(RATE_BITS);
        let rounded = match excess {
            0 => quotient,
            _ => (quotient + (1 << (excess - 1))) >> excess,
        };
        let zeros = rounded.trailing_zeros();
        let fall = 64i64 - i64::from(excess) - i64::from(zeros);
        let times = (rounded >> zeros) as u64;
        match fall {
            ..0 => Some(Rate {
                times: times.checked_shl((-fall) as u32)?,
                fall: 0,
            }),
            0..60 => Some(Rate {
                times,
                fall: fall as u32,
            }),
            _ => None,
        }
    }

    /// What takes the velocities of a stage's weights and of its biases to the steps of the master weights: the learning
    /// rate, for the mean over a batch, and the pooling's divisor, by which the weights are kept divided and their
    /// gradients are too large. The learning rate has [`RATE_FRACTION`] fraction bits.
    pub fn steps([learning_rate, batch]: [u32; 2], stage: &Stage) -> [Option<Rate>; 2] {
        let rate = |divisor: u32| {
            let over = u64::from(batch) * u64::from(divisor).checked_pow(2)?;
            let rate = Rate::new(learning_rate.into(), over.checked_mul(1 << RATE_FRACTION)?)?;
            (rate.times > 0).then_some(rate)
        };
        [rate(stage.divisor), rate(1)]
    }

    /// The momentum, given with [`RATE_FRACTION`] fraction bits.
    pub fn momentum(momentum: u32) -> Self {
        Rate::new(momentum.into(), 1 << RATE_FRACTION).unwrap_or(Rate { times: 0, fall: 0 })
    }

    /// This party's share of a number times the rate.
    pub fn of(self, role: Role, share: u64) -> u64 {
        truncate_within_ring(role, share.wrapping_mul(self.times), self.fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gate::harness::key,
        prg::{Address, Prg},
    };

    extern crate std;
    use std::vec;

    /// Of so many numbers of equal size, those whose truncation failed; all others are checked.
    fn failures(magnitude: i64, count: usize, fall: u32) -> usize {
        let prg = Prg::new(key(7, Role::P0));
        let mut words = vec![0u64; count];
        let address = Address {
            iteration: fall,
            gate: 1,
            wire: 0,
        };
        prg.fill(address, magnitude.unsigned_abs(), &mut words);
        let failed = |&&word: &&u64| {
            let other = (magnitude as u64).wrapping_sub(word);
            let sum = truncate_within_ring(Role::P0, word, fall)
                .wrapping_add(truncate_within_ring(Role::P1, other, fall));
            let error = (sum as i64).wrapping_sub(magnitude >> fall);
            if !(0..=1).contains(&error) {
                let off = error.unsigned_abs().abs_diff(1 << (64 - fall));
                assert!(off <= 1, "{error}");
            }
            !(0..=1).contains(&error)
        };
        words.iter().filter(failed).count()
    }

    #[test]
    fn truncation_fails_as_often_as_the_documentation_says() {
        // 2^20 times with probability 2^-12 each: 256 failures, and 16 is their standard deviation.
        for magnitude in [1 << 52, -(1 << 52)] {
            let failed = failures(magnitude, 1 << 20, 13);
            assert!((176..336).contains(&failed), "{failed}");
        }
    }

    #[test]
    fn truncation_of_what_networks_hold_fails_in_none_of_ten_million() {
        // 2^-31 each: products of 33 bits, 2^7 at 26 fraction bits.
        let failed: usize = [1 << 33, -(1 << 33) + 12345, 77, -1, 0]
            .map(|magnitude| failures(magnitude, 2_000_000, 13))
            .iter()
            .sum();
        assert_eq!(failed, 0);
    }

    #[test]
    fn rates_are_what_they_say() {
        let exact = |numerator, denominator| Rate::new(numerator, denominator).unwrap();
        assert_eq!(exact(1, 2048), Rate { times: 1, fall: 11 });
        assert_eq!(exact(7, 8), Rate { times: 7, fall: 3 });
        assert_eq!(exact(6, 1), Rate { times: 6, fall: 0 });
        assert_eq!(Rate::new(1, u64::MAX), None);
        for (numerator, denominator) in [(1u64, 10u64), (9, 10), (1, 1280), (3, 7 << 20)] {
            let rate = exact(numerator, denominator);
            let value = rate.times as f64 / 2f64.powi(rate.fall as i32);
            let wanted = numerator as f64 / denominator as f64;
            assert!((value / wanted - 1.0).abs() < 2f64.powi(-12), "{rate:?}");
            assert!(rate.times < 1 << 12);
        }
    }

    #[test]
    fn a_share_times_a_rate_is_a_share_of_the_product() {
        let rate = Rate::new(7, 8).unwrap();
        let prg = Prg::new(key(8, Role::P1));
        let mut words = [0u64; 1000];
        let address = Address {
            iteration: 0,
            gate: 0,
            wire: 0,
        };
        prg.fill(address, 0, &mut words);
        for (value, word) in (-500i64..500).zip(words) {
            let value = value << 20 | 5;
            let other = (value as u64).wrapping_sub(word);
            let sum = rate
                .of(Role::P0, word)
                .wrapping_add(rate.of(Role::P1, other));
            assert!((0..=1).contains(&(sum as i64 - ((value * 7) >> 3))));
        }
    }
}
