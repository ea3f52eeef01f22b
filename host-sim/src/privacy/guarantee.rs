//! Epsilon and delta of a training.
//!
//! Divergences of iterations add up. Canonne, Kamath and Steinke ("The Discrete Gaussian for Differential Privacy", 2020,
//! proposition 12) turn a divergence R of order a into
//!
//! ```text
//! epsilon = R + ln(1 - 1/a) - ln(delta a) / (a - 1)
//! ```
//!
//! Noise in a ring is discrete. Where its deviation is many last bits, that changes the divergence by less than floats hold.
//!
//! (a - 1) epsilon is convex in a, so epsilon falls and then rises, and its smallest value is found by a search.

use ringlet_core::prg::discrete_gaussian::{RATIO_BITS, TAIL_BITS};

use super::{SampledGaussian, padding::Padding};
use crate::error::Failure;

/// The first order of the search is 1 more than this, and each next one twice as far from 1.
const FIRST: f64 = 1.0 / 64.0;
/// The most doublings.
const DOUBLINGS: i32 = 30;
/// Steps of the golden section search, each of which leaves 0.618 of the interval.
const SECTIONS: usize = 24;
/// Most rounds in which what the imprecision takes from delta is found.
const ROUNDS: usize = 50;
/// What epsilon is rounded up by, relatively, beyond all rounding of floats.
const MARGIN: f64 = 1e-7;

/// A training with noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// What one iteration does.
    pub mechanism: SampledGaussian,
    /// How far one iteration is from the mechanism.
    pub imprecision: Imprecision,
}

/// Bounds on how far one iteration is from the mechanism: probabilities differ by a factor of at most e^`ratio`, but for events
/// of probability `distance`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Imprecision {
    /// The logarithm of the factor.
    pub ratio: f64,
    /// The probability of the events.
    pub distance: f64,
}

impl Imprecision {
    /// None.
    pub const NONE: Imprecision = Imprecision {
        ratio: 0.0,
        distance: 0.0,
    };

    /// That of Ringlet's noise on so many parameters, and of padded batches.
    pub fn new(parameters: u64, padding: &Padding) -> Self {
        let parameters = parameters as f64;
        Imprecision {
            ratio: parameters * 2.0 * (-f64::from(RATIO_BITS)).exp2(),
            distance: padding.overflow + parameters * (-f64::from(TAIL_BITS)).exp2(),
        }
    }
}

/// What a training guarantees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guarantee {
    /// Epsilon.
    pub epsilon: f64,
    /// The order that gives it.
    pub order: f64,
}

impl Training {
    /// The guarantee of so many iterations for a delta.
    pub fn guarantee(&self, iterations: u64, delta: f64) -> Result<Guarantee, Failure> {
        if !(delta > 0.0 && delta < 1.0) {
            return Err(Failure::new(
                format!("delta is {delta}, not between 0 and 1"),
                "choose one below 1 / (number of samples), such as 1e-5",
            ));
        }
        let [ratio, distance] = [self.imprecision.ratio, self.imprecision.distance]
            .map(|bound| bound * iterations as f64);
        // What the imprecision takes from delta grows with epsilon, and what is left of delta has a larger epsilon.
        let taken = |epsilon: f64| distance * (1.0 + epsilon.exp());
        let mut ideal = self.ideal(iterations, delta)?;
        for _ in 0..ROUNDS {
            let left = delta * (-ratio).exp() - taken(ideal.epsilon);
            if left <= 0.0 {
                return Err(too_small(delta, ideal.epsilon));
            }
            let next = self.ideal(iterations, left)?;
            let settled = next.epsilon - ideal.epsilon <= MARGIN / 10.0 * ideal.epsilon;
            ideal = next;
            if settled {
                break;
            }
        }
        // Whatever the rounds have found, it counts only if its delta is within what is asked for.
        let epsilon = ideal.epsilon * (1.0 + MARGIN);
        let sum = self.delta(iterations, epsilon, ideal.order) + taken(epsilon);
        match sum * ratio.exp() <= delta {
            true => Ok(Guarantee {
                epsilon: epsilon + ratio,
                order: ideal.order,
            }),
            false => Err(not_finite()),
        }
    }

    /// The guarantee of the mechanism itself.
    fn ideal(&self, iterations: u64, delta: f64) -> Result<Guarantee, Failure> {
        let at = |order: f64| Guarantee {
            epsilon: self.epsilon(iterations, delta, order),
            order,
        };
        let mut best = at(1.0 + FIRST);
        let mut doublings = 0;
        while doublings < DOUBLINGS {
            let next = at(1.0 + FIRST * f64::from(doublings + 1).exp2());
            if next.epsilon > best.epsilon {
                break;
            }
            best = next;
            doublings += 1;
        }
        let mut sides = [-1.0, 1.0].map(|side| f64::from(doublings) + side);
        let order = |doublings: f64| 1.0 + FIRST * doublings.exp2();
        let golden = (5f64.sqrt() - 1.0) / 2.0;
        for _ in 0..SECTIONS {
            let [low, high] = sides;
            let inner = [high - golden * (high - low), low + golden * (high - low)];
            let [left, right] = inner.map(|doublings| at(order(doublings)));
            let (nearer, outer) = match left.epsilon <= right.epsilon {
                true => (left, [low, inner[1]]),
                false => (right, [inner[0], high]),
            };
            if nearer.epsilon < best.epsilon {
                best = nearer;
            }
            sides = outer;
        }
        match best.epsilon.is_finite() {
            true => Ok(best),
            false => Err(not_finite()),
        }
    }

    /// Epsilon of an order; infinite if the order gives none.
    fn epsilon(&self, iterations: u64, delta: f64, order: f64) -> f64 {
        let divergence = iterations as f64 * self.mechanism.divergence(order);
        let epsilon = divergence + (-1.0 / order).ln_1p() - (delta * order).ln() / (order - 1.0);
        match epsilon.is_nan() {
            true => f64::INFINITY,
            false => epsilon.max(0.0),
        }
    }

    /// Delta of an epsilon and an order.
    fn delta(&self, iterations: u64, epsilon: f64, order: f64) -> f64 {
        let divergence = iterations as f64 * self.mechanism.divergence(order);
        let exponent = (order - 1.0) * (divergence - epsilon + (-1.0 / order).ln_1p());
        exponent.exp() / order
    }
}

fn too_small(delta: f64, epsilon: f64) -> Failure {
    Failure::new(
        format!(
            "delta {delta:e} is too small: at epsilon {epsilon:.1} the noise's precision and overflowing batches take all of it"
        ),
        "choose a larger delta, more noise, larger padded batches or fewer epochs",
    )
}

fn not_finite() -> Failure {
    Failure::new(
        "no order gives a finite epsilon",
        "choose more noise, a smaller batch or fewer epochs",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::smallest_noise;

    fn training(rate: f64, multiplier: f64) -> Training {
        Training {
            mechanism: SampledGaussian::new(rate, multiplier).expect("a mechanism"),
            imprecision: Imprecision::NONE,
        }
    }

    /// Sampling rate, noise multiplier, iterations, delta; epsilon by dp-accounting 0.6.0 (`RdpAccountant` with Poisson sampling,
    /// orders in steps of 0.01 up to 5, of 0.05 up to 65) and by Opacus 1.6.0 (`compute_rdp`, `get_privacy_spent`, with its own
    /// orders: steps of 0.1 up to 11, whole ones up to 63).
    const PUBLISHED: [(f64, f64, u64, f64, f64, f64); 16] = [
        (256.0 / 60_000.0, 1.1, 14_062, 1e-5, 2.59656, 2.59656),
        (256.0 / 60_000.0, 1.1, 235, 1e-5, 0.73132, 0.74055),
        (250.0 / 60_000.0, 1.3, 3_600, 1e-5, 0.9422, 0.9422),
        (250.0 / 60_000.0, 1.1, 14_400, 1e-5, 2.56172, 2.56172),
        (250.0 / 60_000.0, 0.7, 10_800, 1e-5, 6.23425, 6.23295),
        (0.01, 4.0, 10_000, 1e-5, 1.03538, 1.03549),
        (1024.0 / 60_000.0, 0.8, 200, 1e-5, 3.4752, 3.4753),
        (0.02, 0.845, 200, 1e-5, 3.40041, 3.40028),
        (0.001, 0.6, 10_000, 1e-6, 3.99758, 3.99913),
        (0.1, 2.0, 1_000, 1e-5, 8.94693, 8.94385),
        (0.1, 10.0, 100, 1e-5, 0.38343, 0.38343),
        (1.0, 5.0, 10, 1e-5, 2.81365, 2.81365),
        (0.5, 20.0, 100, 1e-8, 1.37927, 1.37933),
        (0.0001, 0.5, 1_000, 1e-7, 3.71313, 3.7138),
        (0.03, 1.5, 3_000, 1e-5, 6.17725, 6.17724),
        (0.004, 1.0, 500, 1e-3, 0.47747, 0.4777),
    ];

    #[test]
    fn epsilon_is_that_of_other_accountants() {
        for (rate, multiplier, iterations, delta, fine, coarse) in PUBLISHED {
            let guarantee = training(rate, multiplier).guarantee(iterations, delta);
            let epsilon = guarantee.expect("a guarantee").epsilon;
            // Where orders are coarse, epsilon is larger.
            for (other, tolerance) in [(fine, 1e-3), (coarse, 1.3e-2)] {
                let error = (epsilon / other - 1.0).abs();
                assert!(
                    error < tolerance,
                    "{rate}, {multiplier}, {iterations}: {epsilon} for {other}"
                );
            }
        }
    }

    /// Epsilon by the conversion of Mironov (2017), which earlier publications used: R + ln(1/delta) / (a - 1).
    fn earlier(rate: f64, multiplier: f64, iterations: u64, delta: f64) -> f64 {
        let mechanism = SampledGaussian::new(rate, multiplier).expect("a mechanism");
        let orders = (11..1000).map(|tenths| f64::from(tenths) / 10.0);
        let epsilon = orders.map(|order| {
            iterations as f64 * mechanism.divergence(order) - delta.ln() / (order - 1.0)
        });
        epsilon.fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn earlier_publications_have_the_epsilon_of_the_earlier_conversion() {
        // The table in the tutorials of TensorFlow Privacy (January 2019): batches of 256 of MNIST, delta 1e-5.
        for (multiplier, epochs, epsilon) in [(1.12, 60, 2.92), (0.6, 30, 9.74), (1.2, 10, 1.2)] {
            let iterations = epochs * 60_000 / 256;
            let got = earlier(256.0 / 60_000.0, multiplier, iterations, 1e-5);
            assert!((got / epsilon - 1.0).abs() < 0.01, "{multiplier}: {got}");
        }
        // Abadi et al. (2016), section 3.2.
        let got = earlier(0.01, 4.0, 10_000, 1e-5);
        assert!((got - 1.26).abs() < 0.01, "{got}");
    }

    /// Sampling rate, noise multiplier, order; the divergence as mpmath 1.3 integrates it with 30 digits.
    const INTEGRATED: [(f64, f64, f64, f64); 10] = [
        (256.0 / 60_000.0, 1.1, 1.5, 1.74797844629243e-5),
        (256.0 / 60_000.0, 1.1, 10.3, 1.29382709279666e-4),
        (256.0 / 60_000.0, 1.1, 8.0, 9.8341061779926e-5),
        (0.01, 4.0, 30.5, 1.00228021485302e-4),
        (0.5, 0.7, 2.25, 1.22858624417148),
        (0.0001, 0.5, 3.75, 1.4676244992906e-6),
        (0.1, 10.0, 64.5, 3.43942819427896e-3),
        (0.02, 0.845, 6.6, 0.146557909761712),
        (0.001, 0.6, 5.5, 6.06882530287172e-3),
        (0.9, 0.3, 1.05, 5.10359892006716),
    ];

    #[test]
    fn divergences_are_those_of_another_integration() {
        for (rate, multiplier, order, exact) in INTEGRATED {
            let mechanism = SampledGaussian::new(rate, multiplier).expect("a mechanism");
            let got = mechanism.divergence(order);
            assert!(
                (got / exact - 1.0).abs() < 1e-9,
                "{order}: {got} for {exact}"
            );
        }
    }

    #[test]
    fn the_wanted_epsilon_is_met_and_less_noise_does_not_meet_it() {
        for epsilon in [0.5, 1.0, 3.0, 8.0] {
            let make = |multiplier| {
                Ok(Training {
                    mechanism: SampledGaussian::new(0.034, multiplier)?,
                    imprecision: Imprecision::NONE,
                })
            };
            let noise = smallest_noise(make, (200, 1e-5), epsilon).expect("a multiplier");
            let of = |multiplier| make(multiplier)?.guarantee(200, 1e-5);
            assert!(of(noise).expect("a guarantee").epsilon <= epsilon);
            assert!(of(0.999 * noise).expect("a guarantee").epsilon > epsilon);
        }
    }

    #[test]
    fn imprecision_takes_from_delta_and_a_delta_that_it_eats_is_refused() {
        let exact = training(0.01, 1.0);
        let with = |distance, ratio| {
            let imprecision = Imprecision { ratio, distance };
            Training {
                imprecision,
                ..exact
            }
            .guarantee(1000, 1e-5)
        };
        let epsilon = exact.guarantee(1000, 1e-5).expect("a guarantee").epsilon;
        let some = with(1e-10, 0.0).expect("a guarantee").epsilon;
        assert!(some > epsilon && some < 1.1 * epsilon, "{some}, {epsilon}");
        let shifted = with(0.0, 1e-6).expect("a guarantee").epsilon;
        assert!(
            (shifted - epsilon - 1e-3).abs() < 1e-3 * epsilon,
            "{shifted}"
        );
        let refused = with(1e-8, 0.0).expect_err("no guarantee").to_string();
        assert!(refused.contains("too small"), "{refused}");
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        let sound = training(0.01, 1.0);
        for delta in [0.0, -1.0, 1.0, f64::NAN] {
            assert!(sound.guarantee(10, delta).is_err(), "{delta}");
        }
        let make = |multiplier| {
            Ok(Training {
                mechanism: SampledGaussian::new(1.0, multiplier)?,
                ..sound
            })
        };
        for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(
                smallest_noise(make, (1_000_000, 1e-9), epsilon).is_err(),
                "{epsilon}"
            );
        }
        // Little noise has a large epsilon, and never none.
        for multiplier in [0.1, 0.2, 0.5] {
            for rate in [1e-6, 0.01, 0.5, 1.0] {
                let training = training(rate, multiplier);
                if let Ok(guarantee) = training.guarantee(10_000, 1e-5) {
                    assert!(guarantee.epsilon.is_finite() && guarantee.epsilon > 0.0);
                }
            }
        }
    }
}
