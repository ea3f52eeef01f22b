//! The Rényi divergence of one iteration: the Gaussian mechanism on a Poisson sample.
//!
//! Mironov, Talwar and Zhang ("Rényi Differential Privacy of the Sampled Gaussian Mechanism", 2019) show that for sampling rate q,
//! noise multiplier s and order a > 1 it is ln(A) / (a - 1) with
//!
//! ```text
//! A = E [ (1 - q + q exp((2 z - 1) / (2 s^2)))^a ],  z normal with mean 0 and deviation s
//! ```
//!
//! They sum series. Here the expectation is integrated by the trapezoid rule, which is exact to the last digits for such
//! analytic functions: with the step h and any b below pi s, in deviations, its error is below 4 A exp(b^2/2 - 2 pi b / h).

use crate::error::Failure;

/// The least noise multiplier. Below it, epsilon is in the hundreds after one iteration.
pub const LEAST_NOISE: f64 = 0.1;
/// The largest noise multiplier.
pub const MOST_NOISE: f64 = 1e6;
/// The step of the rule, in deviations: at most this, and at most a part of the multiplier.
const STEP: f64 = 0.1;
const STEPS_OF_NOISE: f64 = 8.0;
/// How far the rule goes, in deviations, beyond the places where the integrand is large.
const REACH: f64 = 14.0;
/// Most steps. Orders that need more are not used.
const MOST_STEPS: f64 = 1e6;
/// From such an exponent on, the integrand is summed up by its logarithm.
const LARGE: f64 = 200.0;
/// Below this, (1 + x)^a - 1 - a x is the first terms of its series.
const SMALL: f64 = 1e-4;

/// The Gaussian mechanism on a Poisson sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledGaussian {
    rate: f64,
    noise: f64,
}

impl SampledGaussian {
    /// Samples are drawn with probability `rate`. `noise` is the noise multiplier: the noise's deviation over the most that one
    /// sample changes the sum (its clipping bound, and what rounding adds).
    pub fn new(rate: f64, noise: f64) -> Result<Self, Failure> {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(Failure::new(
                format!("the sampling rate is {rate}, not above 0 and at most 1"),
                "choose a batch of at least 1 sample, and of no more than there are",
            ));
        }
        if !(LEAST_NOISE..=MOST_NOISE).contains(&noise) {
            return Err(Failure::new(
                format!(
                    "the noise multiplier is {noise}, not between {LEAST_NOISE} and {MOST_NOISE}"
                ),
                "choose one between, such as 1",
            ));
        }
        Ok(SampledGaussian { rate, noise })
    }

    /// The Rényi divergence of an order above 1, in nats. It is infinite where the order is too large to compute it.
    pub fn divergence(&self, order: f64) -> f64 {
        if self.rate == 1.0 {
            return order / (2.0 * self.noise * self.noise);
        }
        self.log_moment(order) / (order - 1.0)
    }

    /// ln(A).
    fn log_moment(&self, order: f64) -> f64 {
        let step = STEP.min(self.noise / STEPS_OF_NOISE);
        let end = order / self.noise + REACH;
        let count = ((end + REACH) / step).ceil();
        if count > MOST_STEPS {
            return f64::INFINITY;
        }
        // The logarithm of the density, and the exponent of the ratio.
        let at = |number: u32| {
            let z = f64::from(number) * step - REACH;
            (-z * z / 2.0, (z - 0.5 / self.noise) / self.noise)
        };
        let excess = |exponent: f64| self.rate * exponent.exp_m1();
        let points = 0..=count as u32;
        let log_step = (step / (2.0 * std::f64::consts::PI).sqrt()).ln();
        let logarithm = |(density, exponent): (f64, f64)| match exponent > LARGE {
            // The exponential overflows, or will, and nothing counts beside it.
            true => density + order * (self.rate.ln() + exponent),
            false => density + order * excess(exponent).ln_1p(),
        };
        let largest = points
            .clone()
            .map(|number| logarithm(at(number)))
            .fold(f64::NEG_INFINITY, f64::max);
        if largest > LARGE {
            let sum: f64 = points
                .map(|number| (logarithm(at(number)) - largest).exp())
                .sum();
            return largest + sum.ln() + log_step;
        }
        // A - 1 with 1 + x for the ratio: the mean of x is 0, so a x may be taken off, and nothing below 0 is left.
        let sum: f64 = points
            .map(|number| {
                let (density, exponent) = at(number);
                let x = excess(exponent);
                match (order * x).abs() < SMALL {
                    true => {
                        let cubic = 1.0 + (order - 2.0) / 3.0 * x;
                        density.exp() * order * (order - 1.0) / 2.0 * x * x * cubic
                    }
                    false => {
                        let power = order * x.ln_1p();
                        (density + power).exp() - density.exp() * (1.0 + order * x)
                    }
                }
            })
            .sum();
        (sum * log_step.exp()).ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mechanism(rate: f64, noise: f64) -> SampledGaussian {
        SampledGaussian::new(rate, noise).expect("a mechanism")
    }

    /// ln(A) of a whole order by its sum of positive terms, with A - 1 apart.
    fn by_sum(rate: f64, noise: f64, order: u32) -> f64 {
        let mut binomial = 1.0f64;
        let mut sum = 0.0;
        for k in 0..=order {
            let (chosen, left) = (f64::from(k), f64::from(order - k));
            let power = chosen * (chosen - 1.0) / (2.0 * noise * noise);
            // The terms without the exponential sum up to 1.
            sum += binomial * rate.powf(chosen) * (1.0 - rate).powf(left) * power.exp_m1();
            binomial *= left / (chosen + 1.0);
        }
        sum.ln_1p()
    }

    #[test]
    fn whole_orders_have_the_divergence_of_the_sum() {
        for rate in [1e-6, 1e-3, 256.0 / 60_000.0, 0.05, 0.5, 0.99] {
            for noise in [0.5, 0.7, 1.1, 4.0, 50.0] {
                for order in [2, 3, 7, 20, 32] {
                    let exact = by_sum(rate, noise, order);
                    if exact > 600.0 {
                        // The sum overflows.
                        continue;
                    }
                    let got = mechanism(rate, noise).log_moment(order.into());
                    let error = (got / exact - 1.0).abs();
                    assert!(error < 1e-8, "{rate}, {noise}, {order}: {got} for {exact}");
                }
            }
        }
    }

    #[test]
    fn everything_in_each_batch_is_the_gaussian_mechanism() {
        for order in [1.1, 2.0, 17.5] {
            assert_eq!(mechanism(1.0, 2.0).divergence(order), order / 8.0);
            let nearly = mechanism(1.0 - 1e-12, 2.0).divergence(order);
            assert!((nearly - order / 8.0).abs() < 1e-9, "{nearly}");
        }
    }

    #[test]
    fn large_exponents_do_not_overflow() {
        let divergence = mechanism(0.01, 0.3).divergence(1000.0);
        // Nearly that of a sample that is always drawn.
        let gaussian = 1000.0 / (2.0 * 0.3 * 0.3);
        assert!(
            (gaussian - 5.0..gaussian).contains(&divergence),
            "{divergence}"
        );
        assert_eq!(mechanism(0.01, 0.1).divergence(1e6), f64::INFINITY);
    }

    #[test]
    fn what_is_no_mechanism_is_refused() {
        for (rate, noise) in [
            (0.0, 1.0),
            (-0.1, 1.0),
            (1.01, 1.0),
            (f64::NAN, 1.0),
            (0.1, 0.0),
            (0.1, -1.0),
            (0.1, f64::NAN),
            (0.1, f64::INFINITY),
        ] {
            assert!(
                SampledGaussian::new(rate, noise).is_err(),
                "{rate}, {noise}"
            );
        }
    }
}
