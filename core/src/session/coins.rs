//! The coins of a dropout. All roles know them, so they have to be well mixed but not secret.

use super::{Session, shuffle::mix};
use crate::network::Dropout;

/// Well mixed numbers, one after the other (SplitMix64; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Mixed(u64);

impl Mixed {
    /// The numbers that `seed` gives for a row of a batch at a place.
    pub(super) fn new(seed: u64, place: u64, row: u32) -> Self {
        Mixed(mix(mix(seed ^ mix(place)) ^ u64::from(row)))
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// Coins for the values of one sample, one after the other.
#[derive(Clone, Debug)]
pub struct Coins {
    mixed: Mixed,
    percent: u64,
}

impl Coins {
    /// The coins that `seed` gives for the sample in a row of an iteration's batch, at a stage.
    fn new(seed: u64, dropout: Dropout, stage: usize, [iteration, row]: [u32; 2]) -> Self {
        // The shuffle's own words have an epoch and a round below 2^40 in this place.
        let place = 1 << 63 | u64::from(iteration) << 8 | stage as u64;
        Coins {
            mixed: Mixed::new(seed, place, row),
            percent: dropout.percent().into(),
        }
    }

    /// Whether the next value is dropped.
    pub fn drops(&mut self) -> bool {
        // The upper half of the number as one from 0 to 99.
        ((self.mixed.next() >> 32) * 100) >> 32 < self.percent
    }
}

impl Session {
    /// The coins of a stage's `dropout` in an iteration, for the sample in row `row` of the batch. They are the same for any
    /// micro-batch and any number of ranks.
    pub fn coins(&self, dropout: Dropout, stage: usize, iteration: u32, row: u32) -> Coins {
        Coins::new(self.shuffle_seed, dropout, stage, [iteration, row])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Layer, Model},
        network::Network,
    };

    extern crate std;
    use std::vec::Vec;

    #[test]
    fn coins_are_fair_and_differ_by_sample_stage_and_iteration() {
        let layers = [
            Layer::Dense { units: 4 },
            Layer::Dropout { percent: 30 },
            Layer::Dense { units: 4 },
        ];
        let model = Model::new("m", [1, 1, 4], &layers).unwrap();
        let dropout = Network::new(&model).unwrap().stages[1].dropout.unwrap();
        let drawn = |seed, stage, iteration, row| -> Vec<bool> {
            let mut coins = Coins::new(seed, dropout, stage, [iteration, row]);
            core::iter::repeat_with(|| coins.drops())
                .take(200)
                .collect()
        };
        let mut dropped = 0;
        for row in 0..500 {
            let coins = drawn(9, 1, 7, row);
            dropped += coins.iter().filter(|&&drops| drops).count();
            for other in [(1, 7, row + 1), (2, 7, row), (1, 8, row)] {
                let other = drawn(9, other.0, other.1, other.2);
                let both = coins.iter().zip(&other).filter(|&(&a, &b)| a && b).count();
                // 18 of 200 are expected to coincide, within six deviations.
                assert!((1..45).contains(&both), "{both}");
            }
        }
        // 30,000 of 100,000, within five deviations of 145.
        assert!((29_275..30_725).contains(&dropped), "{dropped}");
        assert_ne!(drawn(9, 1, 7, 0), drawn(10, 1, 7, 0));
    }
}
