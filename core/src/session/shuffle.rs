//! The order of samples: for each epoch a permutation that any role computes in constant memory. It is public, so it
//! has to be well mixed but not secret.

/// The shuffle: a permutation of `0..samples` for each epoch.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    samples: u32,
    seed: u64,
    /// Bits of each half of the Feistel network's block.
    half: u32,
}

/// Rounds of the Feistel network.
const ROUNDS: u64 = 6;

impl Shuffle {
    /// The shuffle of `samples` samples by a public seed.
    pub fn new(samples: u32, seed: u64) -> Self {
        let bits = u32::BITS - samples.saturating_sub(1).leading_zeros();
        Shuffle {
            samples,
            seed,
            half: bits.div_ceil(2).max(1),
        }
    }

    /// The number of the sample at `position` of `epoch`. `position` must be below the number of samples.
    pub fn sample(&self, epoch: u32, position: u32) -> u32 {
        // A balanced Feistel network permutes 0..2^(2 half). Cycle walking repeats it until the result is a sample.
        let mut value = u64::from(position);
        loop {
            let mask = (1u64 << self.half) - 1;
            let (mut left, mut right) = (value >> self.half, value & mask);
            for round in 0..ROUNDS {
                let mixed = mix(self.seed ^ mix(u64::from(epoch) << 8 | round) ^ right << 17);
                (left, right) = (right, left ^ (mixed & mask));
            }
            value = left << self.half | right;
            if value < u64::from(self.samples) {
                return value as u32;
            }
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::{vec, vec::Vec};

    #[test]
    fn every_epoch_visits_every_sample_once() {
        for samples in [1, 2, 3, 10, 255, 256, 257, 1500, 60_000] {
            let shuffle = Shuffle::new(samples, 9);
            let mut first = Vec::new();
            for epoch in 0..2 {
                let mut seen = vec![false; samples as usize];
                let visited: Vec<u32> = (0..samples).map(|p| shuffle.sample(epoch, p)).collect();
                for &sample in &visited {
                    assert!(!core::mem::replace(&mut seen[sample as usize], true));
                }
                if epoch == 1 && samples > 9 {
                    assert_ne!(first, visited);
                }
                first = visited;
            }
        }
    }

    #[test]
    fn batches_are_spread_over_the_data() {
        let shuffle = Shuffle::new(1000, 1);
        let mean = (0..100).map(|p| shuffle.sample(0, p)).sum::<u32>() / 100;
        assert!((400..600).contains(&mean), "{mean}");
    }
}
