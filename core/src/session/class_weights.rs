//! How much the samples of each class count in a training. It is public.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{gate::softmax::WEIGHT_FRACTION, network::MAX_CLASSES};

/// The weight of each class, with [`ClassWeights::FRACTION`] fraction bits; none if all count the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassWeights(Vec<u16, MAX_CLASSES>);

impl ClassWeights {
    /// Fraction bits of a weight.
    pub const FRACTION: u32 = WEIGHT_FRACTION;

    /// All classes count the same.
    pub const NONE: ClassWeights = ClassWeights(Vec::new());

    /// The weights of as many classes, each above 0 and at most 1, with [`ClassWeights::FRACTION`] fraction bits. None if there
    /// are too many, or one is out of range.
    pub fn new(weights: &[u16]) -> Option<Self> {
        let weights = ClassWeights(Vec::from_slice(weights).ok()?);
        weights.are_in_range().then_some(weights)
    }

    /// Whether there are any.
    pub fn is_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// The weights, one for each class.
    pub fn weights(&self) -> &[u16] {
        &self.0
    }

    fn are_in_range(&self) -> bool {
        self.0
            .iter()
            .all(|weight| (1..=1 << Self::FRACTION).contains(weight))
    }

    /// Whether they are sound for so many classes.
    pub(crate) fn fit(&self, classes: usize) -> bool {
        !self.is_given() || (self.0.len() == classes && self.are_in_range())
    }

    /// The weight of a secret class, without an access that depends on it: 1 if there are no weights.
    pub(crate) fn of(&self, class: u8) -> u64 {
        if !self.is_given() {
            return 1 << Self::FRACTION;
        }
        let weights = self.0.iter().enumerate();
        weights.fold(0, |sum, (other, &weight)| {
            let is_class = u64::from(other == usize::from(class));
            sum + is_class * u64::from(weight)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_out_of_range_are_refused() {
        for weights in [&[1, 4096][..], &[5; 10], &[]] {
            let taken = ClassWeights::new(weights).expect("weights");
            assert_eq!(taken.weights(), weights);
            assert!(taken.fit(weights.len()));
            assert_eq!(taken.fit(weights.len() + 1), weights.is_empty());
        }
        assert_eq!(ClassWeights::new(&[1, 0]), None);
        assert_eq!(ClassWeights::new(&[4097, 1]), None);
        assert_eq!(ClassWeights::new(&[1; MAX_CLASSES + 1]), None);
        let weights = ClassWeights::new(&[7, 4096, 9]).expect("weights");
        assert_eq!([0, 1, 2].map(|class| weights.of(class)), [7, 4096, 9]);
        assert_eq!(ClassWeights::NONE.of(3), 4096);
    }
}
