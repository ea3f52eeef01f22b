//! Labels of which all classes share a part, in units of the gradient by the logits.

use super::{ClassWeights, EXTENDED, RATE_FRACTION, Session, coins::Mixed};

/// A label's values: 1 less its smoothing at its class, and a part of the smoothing at every class (Szegedy et al., 2016).
///
/// A unit of the gradient can be larger than what a class gets. So values are rounded to one of their neighbours by public
/// numbers, with the right mean.
pub(crate) struct SmoothLabel {
    /// The value at the label's class and at others, with [`RATE_FRACTION`] fraction bits of a unit.
    values: [u64; 2],
}

impl SmoothLabel {
    /// A label of one of so many classes, where 1 is 2^`exponent` units.
    pub(crate) fn new(session: &Session, classes: usize, exponent: u32) -> Self {
        let smoothing = u64::from(session.training.label_smoothing);
        let each = (smoothing << exponent) / classes as u64;
        let rest = ((1 << RATE_FRACTION) - smoothing) << exponent;
        SmoothLabel {
            values: [rest + each, each],
        }
    }

    /// The values in whole units.
    #[cfg(feature = "contributions")]
    pub(crate) fn unweighted(&self, rounding: &mut LabelRounding) -> [u64; 2] {
        self.rounded(1 << ClassWeights::FRACTION, rounding)
    }

    /// The values in whole units, times a weight with [`ClassWeights::FRACTION`] fraction bits.
    pub(crate) fn rounded(&self, weight: u64, rounding: &mut LabelRounding) -> [u64; 2] {
        let part = rounding.next();
        self.values.map(|value| {
            let weighted = match EXTENDED {
                true => (value * weight) >> ClassWeights::FRACTION,
                false => value,
            };
            (weighted + part) >> RATE_FRACTION
        })
    }
}

/// The public numbers that round a sample's label.
pub(crate) struct LabelRounding(Option<Mixed>);

impl LabelRounding {
    /// A number below 2^[`RATE_FRACTION`]; 0 where nothing needs rounding.
    fn next(&mut self) -> u64 {
        let mixed = self.0.as_mut().map_or(0, Mixed::next);
        mixed >> (u64::BITS - RATE_FRACTION)
    }
}

impl Session {
    /// What rounds the label of the sample in a row of an iteration's batch.
    pub(crate) fn label_rounding(&self, (iteration, row): (u32, u32)) -> LabelRounding {
        // Dropouts have other places.
        let place = 3 << 62 | u64::from(iteration);
        let needs_rounding = self.training.label_smoothing > 0 || self.class_weights.is_given();
        LabelRounding(needs_rounding.then(|| Mixed::new(self.shuffle_seed, place, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_the_mean() {
        // A tenth of ten classes, in units of 1/16: 14.56 and 0.16 of them.
        for (smoothing, exponent, want) in [
            (1_677_722u64, 4, [14.56, 0.16]),
            (1_677_722, 12, [3727.36, 40.96]),
            (0, 4, [16.0, 0.0]),
        ] {
            let each = (smoothing << exponent) / 10;
            let rest = ((1 << RATE_FRACTION) - smoothing) << exponent;
            let label = SmoothLabel {
                values: [rest + each, each],
            };
            let mixed = (smoothing > 0).then(|| Mixed::new(5, 3 << 62, 1));
            let mut rounding = LabelRounding(mixed);
            let mut sums = [0; 2];
            for _ in 0..20_000 {
                let values = label.rounded(1 << ClassWeights::FRACTION, &mut rounding);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
            for (sum, want) in sums.into_iter().zip(want) {
                let mean = sum as f64 / 20_000.0;
                assert!((mean - want).abs() < 0.02, "{mean} {want}");
            }
        }
    }
}
