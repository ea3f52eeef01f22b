//! Dropout in whole numbers.

use core::num::NonZeroU8;

use crate::model::MAX_DROPOUT;

/// A dropout of a stage's input: training makes each value zero with a probability, and what is kept larger in proportion, so
/// that the mean stays (Srivastava et al., 2014).
///
/// With p percent the kept values grow by 100 / (100 - p), in lowest terms a / b. Shares can be multiplied by whole numbers
/// alone: so training multiplies what it keeps by a, any other use multiplies all values by b, and the stage's weights are kept
/// divided by b, as they are by the area of an average pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout {
    // Not zero, so that a stage without dropout takes no room for it.
    percent: NonZeroU8,
}

/// The step between percents. Others would have a larger b, and each of its bits costs the gradients one.
const STEP: u8 = 5;

impl Dropout {
    /// Drops so many percent: 5 to [`MAX_DROPOUT`], in steps of 5.
    pub(super) fn new(percent: u8) -> Option<Self> {
        let fits = (STEP..=MAX_DROPOUT).contains(&percent) && percent.is_multiple_of(STEP);
        let percent = NonZeroU8::new(percent).filter(|_| fits)?;
        Some(Dropout { percent })
    }

    /// The percent of values that training makes zero.
    pub fn percent(self) -> u8 {
        self.percent.get()
    }

    /// The factor of a value that training keeps.
    pub fn kept(self) -> u32 {
        100 / self.divisor()
    }

    /// The factor of all values outside of training, by which the weights are divided.
    pub fn whole(self) -> u32 {
        (100 - u32::from(self.percent())) / self.divisor()
    }

    /// The largest whole number that divides both 100 and what is kept of it.
    fn divisor(self) -> u32 {
        let (mut a, mut b) = (100, 100 - u32::from(self.percent()));
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_keep_the_mean() {
        let factors = |percent| Dropout::new(percent).map(|it| [it.kept(), it.whole()]);
        assert_eq!(factors(50), Some([2, 1]));
        assert_eq!(factors(25), Some([4, 3]));
        assert_eq!(factors(90), Some([10, 1]));
        assert_eq!(factors(5), Some([20, 19]));
        for percent in 0..=u8::MAX {
            let Some(dropout) = Dropout::new(percent) else {
                assert!(percent == 0 || percent % 5 != 0 || percent > 90);
                continue;
            };
            let kept = 100 - u32::from(dropout.percent());
            assert_eq!(dropout.kept() * kept, dropout.whole() * 100);
        }
    }
}
