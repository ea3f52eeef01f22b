//! Seeded random numbers of the twin's differentially private training.

use ringlet_core::prg::{Address, Key, Prg};

/// Numbers from a seed, by the place where they are used. Whoever knows the seed knows them, so they protect nothing.
pub struct Seeded(Prg);

impl Seeded {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; Key::LEN];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Seeded(Prg::new(Key::new(key)))
    }

    /// Bytes.
    pub fn bytes(&self, address: Address, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(address, 0, &mut bytes);
        bytes
    }

    /// Numbers above 0 and below 1, all with the same probability.
    pub fn uniform(&self, address: Address, len: usize) -> Vec<f64> {
        let mut words = vec![0u64; len];
        self.0.fill(address, 0, &mut words);
        let place = |word: u64| (word >> 12) as f64 + 0.5;
        words
            .into_iter()
            .map(|word| place(word) / 2f64.powi(52))
            .collect()
    }

    /// Normal numbers of mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&self, address: Address, len: usize) -> impl Iterator<Item = f64> {
        let uniform = self.uniform(address, len.next_multiple_of(2));
        let pair = |[u, v]: [f64; 2]| {
            let (sine, cosine) = (2.0 * std::f64::consts::PI * v).sin_cos();
            [sine, cosine].map(|part| (-2.0 * u.ln()).sqrt() * part)
        };
        let pairs: Vec<[f64; 2]> = uniform.as_chunks().0.iter().copied().map(pair).collect();
        pairs.into_iter().flatten().take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address {
        iteration: 3,
        gate: 2,
        wire: 1,
    };

    #[test]
    fn normal_numbers_have_the_moments_and_tails_of_their_distribution() {
        let drawn: Vec<f64> = Seeded::new(1).normal(HERE, 100_001).collect();
        let count = drawn.len() as f64;
        assert_eq!(drawn.len(), 100_001);
        let moment = |power: i32| drawn.iter().map(|z| z.powi(power)).sum::<f64>() / count;
        for (power, wanted, tolerance) in [(1, 0.0, 0.01), (2, 1.0, 0.02), (4, 3.0, 0.12)] {
            let got = moment(power);
            assert!((got - wanted).abs() < tolerance, "moment {power}: {got}");
        }
        let beyond = drawn.iter().filter(|z| z.abs() > 1.959_964).count() as f64;
        assert!((beyond / count - 0.05).abs() < 0.003, "{beyond}");
    }

    #[test]
    fn numbers_differ_by_seed_and_place() {
        let there = Address {
            iteration: 4,
            ..HERE
        };
        let first = |seed, address| Seeded::new(seed).uniform(address, 3);
        assert_eq!(first(1, HERE), first(1, HERE));
        assert_ne!(first(1, HERE), first(2, HERE));
        assert_ne!(first(1, HERE), first(1, there));
    }
}
