//! Fixed point in Z_2^64 as in SecureNN: a product has twice the fraction bits, and each party truncates its share
//! within the same ring (SecureML, section 4.1).
//!
//! That truncation sends nothing, but it can fail. For uniform shares of a number x the result is off by 2^(64 - bits)
//! with probability |x| / 2^64. Otherwise the result is x / 2^bits, rounded up with a probability equal to the fraction
//! that is cut off and rounded down else, so the mean is exact.

use crate::{
    Role,
    gate::{Contract, range::Range},
    network::Stage,
    num::fixed_point::RATE_FRACTION,
    session::Session,
};

/// This party's share of a number divided by 2^`bits`: SecureML's local truncation, which fails as the module says.
pub fn truncate_within_ring(role: Role, share: u64, bits: u32) -> u64 {
    match role {
        Role::P0 => share >> bits,
        Role::P1 => (share.wrapping_neg() >> bits).wrapping_neg(),
    }
}

/// The contract of values with f fraction bits: the products that they are truncated from are below 2^62, so neither they
/// nor twice their size go around Z_2^64. Every gate takes such values.
pub fn contract(session: &Session) -> Contract {
    Contract {
        bits: u64::BITS - session.format.fraction,
    }
}

/// A public rational factor of shares, times / 2^shift: a product with an integer, then a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: u64,
    shift: u32,
}

/// Bits of a rate's integer. Few, because each bit doubles the probability that the truncation fails.
const RATE_BITS: u32 = 12;

impl Rate {
    /// numerator / denominator, rounded to [`RATE_BITS`] significant bits; none if it is too small or too large.
    fn new(numerator: u64, denominator: u64) -> Option<Self> {
        if numerator == 0 {
            return Some(Rate { times: 0, shift: 0 });
        }
        // Keep the top RATE_BITS bits of the quotient, which has 64 fraction bits.
        let whole = u128::from(numerator) << 64;
        let quotient = whole / u128::from(denominator);
        let bits = u128::BITS - quotient.leading_zeros();
        let excess = bits.saturating_sub(RATE_BITS);
        let rounded = match excess {
            0 => quotient,
            _ => (quotient + (1 << (excess - 1))) >> excess,
        };
        let zeros = rounded.trailing_zeros();
        let shift = 64i64 - i64::from(excess) - i64::from(zeros);
        let times = (rounded >> zeros) as u64;
        match shift {
            ..0 => Some(Rate {
                times: times.checked_shl((-shift) as u32)?,
                shift: 0,
            }),
            0..60 => Some(Rate {
                times,
                shift: shift as u32,
            }),
            _ => None,
        }
    }

    /// The factors of the velocities of a stage's weights and of its biases in the update: the learning rate, which has
    /// [`RATE_FRACTION`] fraction bits, divided by the batch size. For weights it is also divided by the square of the
    /// stage's divisor: the gradient is larger by the divisor, and the master weights are smaller by it.
    pub fn steps([learning_rate, batch]: [u32; 2], stage: &Stage) -> [Option<Rate>; 2] {
        let rate = |divisor: u32| {
            let divided_by = u64::from(batch) * u64::from(divisor).checked_pow(2)?;
            let rate = Rate::new(
                learning_rate.into(),
                divided_by.checked_mul(1 << RATE_FRACTION)?,
            )?;
            (rate.times > 0).then_some(rate)
        };
        [rate(stage.divisor), rate(1)]
    }

    /// The factor of the last velocities; `momentum` has [`RATE_FRACTION`] fraction bits.
    pub fn momentum(momentum: u32) -> Self {
        Rate::new(momentum.into(), 1 << RATE_FRACTION).unwrap_or(Rate { times: 0, shift: 0 })
    }

    /// The contract of a stage's velocities, which have 2f fraction bits: their products with the integers of the rates
    /// are below 2^62, as products of values are. It has no more bits than an audit can count.
    pub fn contract(session: &Session, stage: &Stage) -> Contract {
        let steps = Rate::steps([session.learning_rate, session.batch], stage);
        let rates = steps.into_iter().flatten();
        let rates = rates.chain([Rate::momentum(session.momentum)]);
        let most = rates.map(|rate| rate.times).max().unwrap_or(0);
        // The smallest power of two that is no smaller.
        let power = u64::BITS - most.saturating_sub(1).leading_zeros();
        Contract {
            bits: (u64::BITS - power).min(Range::most_bits::<u64>()),
        }
    }

    /// Whether rounding changes 1 minus the momentum, by which steps add up, by at most a quarter.
    pub fn momentum_is_close(momentum: u32) -> bool {
        let Rate { times, shift } = Rate::momentum(momentum);
        let one = 1u64 << RATE_FRACTION;
        let exact = one - u64::from(momentum);
        let rounded = (u128::from(times) << RATE_FRACTION >> shift) as u64;
        4 * one.saturating_sub(rounded).abs_diff(exact) <= exact
    }

    /// This party's share of a number times the rate.
    pub fn apply(self, role: Role, share: u64) -> u64 {
        truncate_within_ring(role, share.wrapping_mul(self.times), self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gate::harness::key,
        prg::{Address, Prg},
        securenn::session_tests::session,
        tests::networks,
    };

    extern crate std;
    use std::vec;

    /// Truncates `count` sharings of one number and returns how many fail. Checks all other results.
    fn failures(magnitude: i64, count: usize, shift: u32) -> usize {
        let prg = Prg::new(key(7, Role::P0));
        let mut words = vec![0u64; count];
        let address = Address {
            iteration: shift,
            gate: 1,
            wire: 0,
        };
        prg.fill(address, magnitude.unsigned_abs(), &mut words);
        let failed = |&&word: &&u64| {
            let other = (magnitude as u64).wrapping_sub(word);
            let sum = truncate_within_ring(Role::P0, word, shift)
                .wrapping_add(truncate_within_ring(Role::P1, other, shift));
            let error = (sum as i64).wrapping_sub(magnitude >> shift);
            if !(0..=1).contains(&error) {
                let off = error.unsigned_abs().abs_diff(1 << (64 - shift));
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
    fn truncation_of_typical_products_does_not_fail_in_ten_million() {
        // Products of 33 bits, which are 2^7 at 26 fraction bits, fail with probability 2^-31 each.
        let failed: usize = [1 << 33, -(1 << 33) + 12345, 77, -1, 0]
            .map(|magnitude| failures(magnitude, 2_000_000, 13))
            .iter()
            .sum();
        assert_eq!(failed, 0);
    }

    #[test]
    fn rates_are_right_to_twelve_bits() {
        let exact = |numerator, denominator| Rate::new(numerator, denominator).unwrap();
        assert_eq!(
            exact(1, 2048),
            Rate {
                times: 1,
                shift: 11
            }
        );
        assert_eq!(exact(7, 8), Rate { times: 7, shift: 3 });
        assert_eq!(exact(6, 1), Rate { times: 6, shift: 0 });
        assert_eq!(Rate::new(1, u64::MAX), None);
        for (numerator, denominator) in [(1u64, 10u64), (9, 10), (1, 1280), (3, 7 << 20)] {
            let rate = exact(numerator, denominator);
            let value = rate.times as f64 / 2f64.powi(rate.shift as i32);
            let wanted = numerator as f64 / denominator as f64;
            assert!((value / wanted - 1.0).abs() < 2f64.powi(-12), "{rate:?}");
            assert!(rate.times < 1 << 12);
        }
    }

    #[test]
    fn velocities_times_a_rate_stay_within_the_ring() {
        // Each with the bits of the contract. Of the stages one divides its weights by 4.
        let tenth = (1 << RATE_FRACTION) / 10;
        for (learning_rate, batch, momentum, bits) in [
            (1 << 19, 128, 0, 61),
            (1 << 19, 128, 7 << 21, 61),
            (1 << 19, 128, 9 * tenth, 53),
            (tenth, 128, 0, 52),
            (1 << 19, 96, 0, 52),
            (5 << 19, 64, 15 << 20, 60),
        ] {
            let (input, layers) = networks().swap_remove(0);
            let session = Session {
                learning_rate,
                batch,
                momentum,
                samples: [200, 0],
                ..session(input, &layers)
            };
            let network = crate::securenn::check(&session).unwrap();
            for stage in &network.stages {
                let contract = Rate::contract(&session, stage);
                assert_eq!(contract.bits, bits, "{session:?}");
                let steps = Rate::steps([learning_rate, batch], stage);
                for rate in [
                    steps[0].unwrap(),
                    steps[1].unwrap(),
                    Rate::momentum(momentum),
                ] {
                    assert!(contract.limit() * rate.times <= 1 << 62);
                }
            }
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
                .apply(Role::P0, word)
                .wrapping_add(rate.apply(Role::P1, other));
            assert!((0..=1).contains(&(sum as i64 - ((value * 7) >> 3))));
        }
    }
}
