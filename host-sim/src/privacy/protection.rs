//! What a session's private gradients guarantee, and the noise and the rows that a wanted guarantee takes.

use ringlet_core::session::{Privacy, Session};

use super::{Guarantee, Imprecision, Padding, SampledGaussian, Training, smallest_noise};
use crate::error::Failure;

/// A training on the samples of two owners, each of which draws its own.
#[derive(Clone, Copy, Debug)]
pub struct Protection {
    /// Samples of P0 and of P1.
    pub samples: [u32; 2],
    /// Samples that an iteration draws on average.
    pub batch: u32,
    /// Parameters of the model, each of which gets noise.
    pub parameters: u64,
}

impl Protection {
    /// That of a session whose model has so many parameters.
    pub fn new(session: &Session, parameters: usize) -> Self {
        Protection {
            samples: session.samples,
            batch: session.batch,
            parameters: parameters as u64,
        }
    }

    /// The probability with which an iteration draws a sample.
    fn rate(&self) -> f64 {
        let all = f64::from(self.samples[0]) + f64::from(self.samples[1]);
        f64::from(self.batch) / all
    }

    /// The fewest rows of a batch for the samples of each owner, which in so many iterations overflow with a probability far below
    /// `delta`.
    pub fn rows(&self, iterations: u64, delta: f64) -> [u32; 2] {
        self.samples.map(|samples| match samples {
            0 => 0,
            samples => Padding::smallest(samples, self.rate(), iterations, delta / 2.0).size,
        })
    }

    /// The training with this noise multiplier, in batches with these rows.
    fn training(&self, noise: f64, rows: [u32; 2]) -> Result<Training, Failure> {
        let mechanism = SampledGaussian::new(self.rate(), noise)?;
        let of_owner = |(samples, rows)| match samples {
            0 => 0.0,
            samples => Padding::new(samples, self.rate(), rows).overflow,
        };
        let padding = Padding {
            size: rows[0] + rows[1],
            overflow: self.samples.into_iter().zip(rows).map(of_owner).sum(),
        };
        Ok(Training {
            mechanism,
            imprecision: Imprecision::new(self.parameters, &padding),
        })
    }

    /// The smallest noise multiplier with which so many iterations have at most this epsilon.
    pub fn noise(
        &self,
        rows: [u32; 2],
        (iterations, delta): (u64, f64),
        epsilon: f64,
    ) -> Result<f64, Failure> {
        let training = |noise| self.training(noise, rows);
        smallest_noise(training, (iterations, delta), epsilon)
    }

    /// What so many iterations with these private gradients guarantee; none without noise.
    pub fn guarantee(
        &self,
        privacy: &Privacy,
        iterations: u64,
        delta: f64,
    ) -> Result<Option<Guarantee>, Failure> {
        if privacy.noise == 0 || iterations == 0 {
            return Ok(None);
        }
        let training = self.training(privacy.multiplier(), privacy.rows)?;
        training.guarantee(iterations, delta).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNERS: Protection = Protection {
        samples: [40_000, 20_000],
        batch: 2048,
        parameters: 10_000,
    };

    #[test]
    fn two_owners_have_rows_for_what_each_draws() {
        let rows = OWNERS.rows(150, 1e-5);
        assert!((1600..1800).contains(&rows[0]), "{rows:?}");
        assert!((850..1000).contains(&rows[1]), "{rows:?}");
        let one = Protection {
            samples: [60_000, 0],
            ..OWNERS
        };
        let alone = one.rows(150, 1e-5);
        assert_eq!(alone[1], 0);
        assert!(alone[0] < rows[0] + rows[1]);
    }

    #[test]
    fn the_noise_for_an_epsilon_gives_it() {
        let rows = OWNERS.rows(150, 1e-5);
        let noise = OWNERS.noise(rows, (150, 1e-5), 3.0).unwrap();
        let guarantee = |noise: f64, rows| {
            let privacy = Privacy {
                clip: 1,
                noise: (noise * 65_536.0).ceil() as u32,
                rows,
            };
            OWNERS.guarantee(&privacy, 150, 1e-5)
        };
        let epsilon = guarantee(noise, rows).unwrap().unwrap().epsilon;
        assert!((2.99..=3.0).contains(&epsilon), "{epsilon}");
        // The float research of this network found 1.04 enough.
        assert!((0.9..1.2).contains(&noise), "{noise}");
        assert!(guarantee(0.0, rows).unwrap().is_none());
        // Too few rows leave no guarantee.
        assert!(guarantee(noise, [1300, 900]).is_err());
    }
}
