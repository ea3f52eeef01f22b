//! The public range of features, in which each becomes a byte.

use std::{fmt, str::FromStr};

use ringlet_core::backbone::VALUE_FRACTION;
use serde::{Deserialize, Serialize};

use super::normalise::MeanAndDeviation;

/// Features stay below this magnitude, as normalised pixels do.
const LIMIT: f64 = 64.0;

/// The lowest and the highest feature, which the bytes 0 and 255 stand for. Zero lies between them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeatureRange([f64; 2]);

impl FeatureRange {
    /// The range from `low` to `high`, if it is one: low <= 0 < high, both below 64 in magnitude, and not too narrow.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        let sound = -LIMIT < low && low <= 0.0 && 0.0 < high && high < LIMIT;
        // A zero has no sign.
        (sound && high - low >= 1e-2).then_some(FeatureRange([low + 0.0, high]))
    }

    /// A range in which values from `low` to `high` lie, in few digits. None if there is none.
    pub fn around(low: f64, high: f64) -> Option<Self> {
        let up = |value: f64| (value * 100.0).ceil() / 100.0;
        FeatureRange::new(-up((-low).max(0.0)), up(high.max(1e-2)))
    }

    /// The ends.
    pub fn ends(&self) -> [f64; 2] {
        self.0
    }

    /// The ends with [`VALUE_FRACTION`] fraction bits.
    pub fn units(&self) -> [i32; 2] {
        self.0
            .map(|end| (end * f64::from(1u32 << VALUE_FRACTION)).round() as i32)
    }

    /// How bytes become features again.
    pub fn normalise(&self) -> MeanAndDeviation {
        let [low, high] = self.0;
        let span = high - low;
        MeanAndDeviation::of_all(-low / span, 1.0 / span)
    }

    /// The byte of a feature, and whether it lay outside.
    pub fn byte(&self, value: f64) -> (u8, bool) {
        let [low, high] = self.0;
        let part = (value.clamp(low, high) - low) / (high - low);
        ((part * 255.0).round() as u8, !(low..=high).contains(&value))
    }
}

impl FromStr for FeatureRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ends = text.split_once(':');
        let number = |text: &str| text.trim().parse().ok();
        let range = ends.and_then(|(low, high)| FeatureRange::new(number(low)?, number(high)?));
        range.ok_or_else(|| {
            format!(
                "give LOW:HIGH such as 0:6, with zero between them and both below {LIMIT} in magnitude"
            )
        })
    }
}

impl TryFrom<String> for FeatureRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FeatureRange> for String {
    fn from(value: FeatureRange) -> Self {
        value.to_string()
    }
}

impl fmt::Display for FeatureRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = self.0;
        write!(f, "{low}:{high}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::normalise::floats;

    #[test]
    fn text_and_numbers_agree() {
        for text in ["0:6", "-1.5:2.25", "0:0.01", "-63:63.5"] {
            let range: FeatureRange = text.parse().expect("a range");
            assert_eq!(range.to_string(), text);
        }
        for wrong in [
            "", "6", "0:0", "1:2", "0:64", "-64:1", "0:nan", "0:1:2", "-inf:1",
        ] {
            assert!(wrong.parse::<FeatureRange>().is_err(), "{wrong}");
        }
        let zero: FeatureRange = "-0:1".parse().expect("a range");
        assert_eq!(zero.to_string(), "0:1");
        let around = FeatureRange::around(-0.001, 2.111).expect("a range");
        assert_eq!(around.to_string(), "-0.01:2.12");
        assert_eq!(
            FeatureRange::around(0.0, 0.0).map(|r| r.to_string()),
            Some("0:0.01".into())
        );
        assert_eq!(FeatureRange::around(0.0, 64.0), None);
        assert_eq!(
            FeatureRange::around(0.0, f64::NAN).map(|r| r.ends()),
            Some([0.0, 0.01])
        );
    }

    /// A byte, as the session reads it, is the feature again but for rounding.
    #[test]
    fn bytes_stand_for_features() {
        for text in ["0:6", "-1.5:2.25", "0:3.47", "-40:63"] {
            let range: FeatureRange = text.parse().expect("a range");
            let [low, high] = range.ends();
            let normalisation = range.normalise().normalisation();
            for step in 0..=1000 {
                let value = low + (high - low) * f64::from(step) / 1000.0;
                let (byte, outside) = range.byte(value);
                let back: f64 = floats(&normalisation, 1, &[byte]).next().expect("a float");
                assert!(
                    (back - value).abs() <= (high - low) / 509.0,
                    "{text}: {value} {back}"
                );
                assert!(!outside);
            }
            assert_eq!(range.byte(high + 1.0), (255, true));
            assert_eq!(range.byte(low - 1.0), (0, true));
        }
    }
}
