//! The normalisation of images as a user gives it and as a model's file keeps it: mean and standard deviation of each
//! channel, in numbers from 0 (black) to 1 (white).

use std::{fmt, str::FromStr};

use ringlet_core::data::{Channel, MAX_NORMALISED, NORMALISATION_FRACTION, Normalisation};
use serde::{Deserialize, Serialize};

use super::{Images, parameters::Real};

/// Digits after the decimal point of measured numbers, so that they are the same in text.
const DIGITS: f64 = 1e4;

/// Mean and standard deviation of the pixels of each channel, or once for all; none for pixels as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeanAndDeviation(Vec<[f64; 2]>);

impl FromStr for MeanAndDeviation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "give `none`, MEAN:DEVIATION such as 0.13:0.31, or one of up to {MAX_NORMALISED} such pairs for each channel"
            )
        };
        if text == "none" {
            return Ok(MeanAndDeviation(Vec::new()));
        }
        let pair = |text: &str| {
            let (mean, deviation) = text.split_once(':')?;
            let [mean, deviation] = [mean, deviation].map(|number| number.trim().parse().ok());
            let pair: [f64; 2] = [mean?, deviation?];
            let is_sound = pair[0].abs() <= 1.0 && (1e-3..=1e3).contains(&pair[1]);
            is_sound.then_some(pair)
        };
        let pairs: Option<Vec<[f64; 2]>> = text.split(',').map(pair).collect();
        let pairs = pairs.ok_or_else(wrong)?;
        match pairs.len() <= MAX_NORMALISED {
            true => Ok(MeanAndDeviation(pairs)),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<String> for MeanAndDeviation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MeanAndDeviation> for String {
    fn from(value: MeanAndDeviation) -> Self {
        value.to_string()
    }
}

impl fmt::Display for MeanAndDeviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let pair = |[mean, deviation]: &[f64; 2]| format!("{mean}:{deviation}");
        let pairs: Vec<String> = self.0.iter().map(pair).collect();
        f.write_str(&pairs.join(","))
    }
}

impl MeanAndDeviation {
    /// The same mean and deviation for all channels.
    pub fn of_all(mean: f64, deviation: f64) -> Self {
        MeanAndDeviation(vec![[mean, deviation]])
    }

    /// Those of images; of all channels together if there are more than can have their own.
    pub fn of(images: &Images) -> Self {
        let mut sums = PixelSums::default();
        sums.add(images.shape[2], &images.pixels);
        sums.mean_and_deviation()
    }

    /// Whether images with these numbers are far from centred: in some channel the mean is more than the deviation. Their
    /// logits then grow with what all images have in common. An even channel cannot be normalised.
    pub fn helps(&self) -> bool {
        let even = self.0.iter().any(|&[_, deviation]| deviation < 1e-3);
        !even && self.0.iter().any(|&[mean, deviation]| mean > deviation)
    }

    /// Those that the core's numbers come from, to six digits; none if there are none that make the same numbers.
    pub fn of_core(normalisation: &Normalisation) -> Option<Self> {
        let one = 2f64.powi(NORMALISATION_FRACTION as i32);
        let pair = |channel: &Channel| {
            let deviation = one / (255.0 * channel.scale as f64);
            let mean = -channel.offset as f64 / one * deviation;
            [mean, deviation].map(|number| (number * 1e6).round() / 1e6)
        };
        let found = MeanAndDeviation(normalisation.channels().iter().map(pair).collect());
        (found.normalisation() == *normalisation).then_some(found)
    }

    /// As the core has it.
    pub fn normalisation(&self) -> Normalisation {
        let one = 2f64.powi(NORMALISATION_FRACTION as i32);
        let channels: Vec<Channel> = self
            .0
            .iter()
            .map(|&[mean, deviation]| Channel {
                scale: (one / (255.0 * deviation)).round() as i64,
                offset: (-one * mean / deviation).round() as i64,
            })
            .collect();
        Normalisation::new(&channels).unwrap_or_default()
    }
}

/// Sums of pixels and of their squares, channel by channel.
#[derive(Clone, Debug, Default)]
pub struct PixelSums {
    sums: Vec<[u64; 2]>,
    pixels: u64,
}

impl PixelSums {
    /// Takes images of so many channels in, always as many.
    pub fn add(&mut self, channels: usize, pixels: &[u8]) {
        let channels = match channels {
            1..=MAX_NORMALISED => channels,
            _ => 1,
        };
        self.sums.resize(channels, [0; 2]);
        for (index, &pixel) in pixels.iter().enumerate() {
            let [sum, squares] = &mut self.sums[index % channels];
            *sum += u64::from(pixel);
            *squares += u64::from(pixel).pow(2);
        }
        self.pixels += (pixels.len() / channels) as u64;
    }

    /// Mean and deviation of what was taken in.
    pub fn mean_and_deviation(&self) -> MeanAndDeviation {
        let count = self.pixels.max(1) as f64;
        let numbers = self.sums.iter().map(|&[sum, squares]| {
            let mean = sum as f64 / count / 255.0;
            let square = squares as f64 / count / 255.0 / 255.0;
            let deviation = (square - mean * mean).max(0.0).sqrt();
            [mean, deviation].map(|number| (number * DIGITS).round() / DIGITS)
        });
        MeanAndDeviation(numbers.collect())
    }
}

/// The pixels of an image with so many channels as normalised floats.
pub fn floats<'p, T: Real>(
    normalisation: &'p Normalisation,
    channels: usize,
    pixels: &'p [u8],
) -> impl Iterator<Item = T> + 'p {
    let one = 2f64.powi(NORMALISATION_FRACTION as i32);
    let given = normalisation.channels();
    pixels.iter().enumerate().map(move |(index, &pixel)| {
        let own = given.get(index % channels).or(given.first());
        T::from_f64(match own {
            None => f64::from(pixel) / 255.0,
            Some(channel) => {
                (channel.scale as f64 * f64::from(pixel) + channel.offset as f64) / one
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Classes;

    #[test]
    fn text_and_numbers_agree() {
        for text in ["none", "0.1307:0.3081", "0.5:0.25,0.4:0.2,0.3:0.1"] {
            let parsed: MeanAndDeviation = text.parse().expect("a normalisation");
            assert_eq!(parsed.to_string(), text);
        }
        for text in [
            "",
            "0.1",
            "0.1:0",
            "2:1",
            "0.1:nan",
            "0.1:0.1;0.2:0.2",
            "0:1,0:1,0:1,0:1,0:1",
        ] {
            assert!(text.parse::<MeanAndDeviation>().is_err(), "{text}");
        }
    }

    #[test]
    fn normalised_images_have_mean_0_and_deviation_1() {
        let images = Images {
            shape: [2, 2, 2],
            pixels: (0..80)
                .map(|pixel| {
                    if pixel % 2 == 0 {
                        200 + pixel / 2
                    } else {
                        pixel
                    }
                })
                .collect(),
            labels: vec![0; 10],
            classes: Classes::Numbered,
        };
        let numbers = MeanAndDeviation::of(&images);
        assert!(numbers.helps());
        let normalisation = numbers.normalisation();
        let floats: Vec<f64> = floats(&normalisation, 2, &images.pixels).collect();
        for channel in 0..2 {
            let values = floats.iter().skip(channel).step_by(2);
            let mean = values.clone().sum::<f64>() / 40.0;
            let square = values.map(|x| x * x).sum::<f64>() / 40.0;
            assert!(
                mean.abs() < 1e-2 && (square - 1.0).abs() < 1e-2,
                "{mean} {square}"
            );
        }
    }
}
