//! Local truncation: each party divides its own share by a power of two, and nothing is sent.

use crate::{num::ring::Word, share::Role};

/// Truncates a share locally: Z_2^from -> Z_2^(from-by), division by 2^by. Each party applies it to its own
/// share. P0 computes s0 >> by, and P1 computes -((-s1) >> by).
///
/// The results add up to the exact quotient, rounded up or down, and unbiased when the shares are uniform. The
/// sum cannot wrap, because the ring shrinks with the value. Truncation within one ring (SecureML, section
/// 4.1), which this replaces, fails with probability |x| / 2^L per element.
#[inline(always)]
pub fn truncate<W: Word>(role: Role, share: W, from: u32, by: u32) -> W {
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
    use crate::num::ring::{mask, signed};
    use proptest::prelude::*;

    #[test]
    fn truncate_is_exact_up_to_one_unit_and_unbiased() {
        for from in 2..=9u32 {
            for by in 1..from {
                let modulus = 1u32 << from;
                let narrow = from - by;
                for value in 0..modulus {
                    let x = signed(value, from);
                    let mut sum = 0i128;
                    for s0 in 0..modulus {
                        let s1 = value.wrapping_sub(s0).low(from);
                        let y = truncate(Role::P0, s0, from, by)
                            .plus(truncate(Role::P1, s1, from, by))
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
        fn truncate_at_protocol_widths(x in -(1i64 << 30)..(1i64 << 30), s0: u32, by in 1u32..=20) {
            let s1 = u32::from_i64(x).minus(s0);
            let narrow = 32 - by;
            let y = truncate(Role::P0, s0, 32, by).plus(truncate(Role::P1, s1, 32, by)).low(narrow);
            let y = signed(y, narrow);
            prop_assert!((y << by) - i128::from(x) < (1 << by) && i128::from(x) - (y << by) < (1 << by));
        }

        #[test]
        fn truncate_from_the_ring_of_master_weights(x in -(1i64 << 50)..(1i64 << 50), s0: u64) {
            // From a master weight at scale 36 to an operand at scale 12; then drop the high bits.
            let s1 = u64::from_i64(x).minus(s0);
            let y0: u32 = truncate(Role::P0, s0, 64, 24).cast();
            let y1: u32 = truncate(Role::P1, s1, 64, 24).cast();
            let y = signed(y0.plus(y1), 32);
            prop_assert!((y - (i128::from(x) >> 24)).abs() <= 1);
        }
    }

    /// Truncates `count` values of any size under the range contract of the result, |x| < 2^(from - by - 2) in
    /// its units, each under a fresh sharing. Returns the worst error in units of the result's last bit.
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
                let y = truncate(Role::P0, x0, from, by)
                    .plus(truncate(Role::P1, x1, from, by))
                    .low(from - by);
                // The quotient rounded down, and the remainder.
                let (floor, rest) = (x >> by, x & mask::<u128>(by) as i128);
                let whole = signed(y, from - by) - floor;
                let part = libm::scalbn(rest as f64, -(by as i32));
                worst = worst.max((whole as f64 - part).abs());
            }
        }
        worst
    }

    #[test]
    fn no_truncation_of_ten_million_errs_by_more_than_a_unit() {
        // 64 bits: products and weights of both rings and of the direct format. 128 bits: powers and sums of
        // chains and of fused polynomials.
        let each = 10_000_000 / 8;
        for (from, by) in [(32, 12), (64, 24), (64, 42), (64, 20)] {
            assert!(worst_error::<u64>(from, by, each, 1) <= 1.0, "{from} {by}");
        }
        for (from, by) in [(128, 40), (124, 12), (112, 48), (110, 46)] {
            assert!(worst_error::<u128>(from, by, each, 2) <= 1.0, "{from} {by}");
        }
    }
}
