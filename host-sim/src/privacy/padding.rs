//! Batches of a fixed size: how many samples are drawn is a secret, so those that are drawn are filled up with samples that
//! have no weight. A draw of more than the batch holds breaks the guarantee, and its probability counts in delta.

/// The part of delta that the smallest padded batch may overflow with. The larger epsilon is, the more of delta that takes: a
/// hundred-thousandth at epsilon 9.
const PART: f64 = 1e-9;

/// The padding of a training's batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Padding {
    /// Samples of a padded batch.
    pub size: u32,
    /// A bound on the probability that an iteration draws more.
    pub overflow: f64,
}

impl Padding {
    /// Batches of `size`, of which each of `samples` samples is drawn with probability `rate`.
    pub fn new(samples: u32, rate: f64, size: u32) -> Self {
        let overflow = match size >= samples {
            true => 0.0,
            false => tail(samples.into(), rate, f64::from(size) + 1.0),
        };
        Padding { size, overflow }
    }

    /// The smallest batches that in all `iterations` overflow with a probability far below `delta`.
    pub fn smallest(samples: u32, rate: f64, iterations: u64, delta: f64) -> Self {
        let most = PART * delta / iterations as f64;
        let (mut short, mut enough) = (0, samples);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            match Padding::new(samples, rate, middle).overflow <= most {
                true => enough = middle,
                false => short = middle,
            }
        }
        Padding::new(samples, rate, enough)
    }
}

/// Chernoff's bound on the probability that at least `least` of `samples` are drawn.
fn tail(samples: f64, rate: f64, least: f64) -> f64 {
    let part = least / samples;
    if part <= rate {
        return 1.0;
    }
    let rest = match part < 1.0 {
        true => (1.0 - part) * ((1.0 - part) / (1.0 - rate)).ln(),
        false => 0.0,
    };
    (-samples * (part * (part / rate).ln() + rest)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probability itself, by the binomial distribution.
    fn exact(samples: u32, rate: f64, least: u32) -> f64 {
        let mut term = (f64::from(samples) * (-rate).ln_1p()).exp();
        let mut sum = 0.0;
        for count in 0..=samples {
            if count >= least {
                sum += term;
            }
            let (count, left) = (f64::from(count), f64::from(samples - count));
            term *= left / (count + 1.0) * rate / (1.0 - rate);
        }
        sum
    }

    #[test]
    fn the_bound_is_above_the_probability_and_not_far() {
        for (samples, rate, size) in [
            (100, 0.1, 20),
            (1000, 0.05, 80),
            (60_000, 256.0 / 60_000.0, 340),
            (10, 0.5, 9),
        ] {
            let exact = exact(samples, rate, size + 1);
            let bound = Padding::new(samples, rate, size).overflow;
            assert!(exact <= bound && bound < 40.0 * exact, "{exact}, {bound}");
        }
    }

    #[test]
    fn the_smallest_padding_is_enough_and_one_less_is_not() {
        let (samples, rate, iterations, delta) = (60_000, 256.0 / 60_000.0, 14_063, 1e-5);
        let smallest = Padding::smallest(samples, rate, iterations, delta);
        let most = PART * delta / iterations as f64;
        assert!(smallest.overflow <= most);
        assert!(Padding::new(samples, rate, smallest.size - 1).overflow > most);
        assert!((370..420).contains(&smallest.size), "{}", smallest.size);
    }

    #[test]
    fn a_batch_of_all_samples_never_overflows() {
        assert_eq!(Padding::new(50, 0.9, 50).overflow, 0.0);
        assert_eq!(Padding::smallest(3, 1.0, 1000, 1e-9).overflow, 0.0);
        assert_eq!(Padding::new(50, 0.9, 40).overflow, 1.0);
    }
}
