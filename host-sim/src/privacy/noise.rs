//! The noise that a wanted epsilon takes.

use super::{
    Training,
    divergence::{LEAST_NOISE, MOST_NOISE},
};
use crate::error::Failure;

/// How close the noise multiplier is to the smallest one, relatively.
const PRECISION: f64 = 1e-5;

/// The smallest noise multiplier for which `iterations` have at most this epsilon. `training` makes the training of a multiplier.
pub fn smallest_noise(
    training: impl Fn(f64) -> Result<Training, Failure>,
    (iterations, delta): (u64, f64),
    epsilon: f64,
) -> Result<f64, Failure> {
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Failure::new(
            format!("epsilon is {epsilon}, not a number above 0"),
            "choose one such as 3",
        ));
    }
    // With little noise there may be no guarantee at all.
    let is_enough = |noise: f64| {
        let guarantee = training(noise).and_then(|training| training.guarantee(iterations, delta));
        guarantee.is_ok_and(|guarantee| guarantee.epsilon <= epsilon)
    };
    let most = training(MOST_NOISE)?.guarantee(iterations, delta)?;
    if most.epsilon > epsilon {
        return Err(Failure::new(
            format!(
                "no noise gives epsilon {epsilon}: at delta {delta:e} the least that can be proved is {:.1e}",
                most.epsilon
            ),
            "choose a larger epsilon or delta",
        ));
    }
    let (mut little, mut enough) = (LEAST_NOISE, LEAST_NOISE);
    while !is_enough(enough) {
        little = enough;
        enough = (2.0 * enough).min(MOST_NOISE);
    }
    while enough > little * (1.0 + PRECISION) {
        let middle = (little * enough).sqrt();
        match is_enough(middle) {
            true => enough = middle,
            false => little = middle,
        }
    }
    Ok(enough)
}
