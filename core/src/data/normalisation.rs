//! The normalisation of inputs: public numbers by which pixels are centred and scaled.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::num::ring::Ring;

/// Fraction bits of [`Channel`]'s numbers.
pub const NORMALISATION_FRACTION: u32 = 32;

/// The most channels with numbers of their own.
pub const MAX_NORMALISED: usize = 4;

/// The most fraction bits of contributions: so numbers below 64 fit 32 bits with two to spare.
#[cfg(feature = "contributions")]
pub const MOST_MASKED_FRACTION: u32 = 24;

/// Bits before the binary point of a normalised pixel's limit.
const RANGE_BITS: u32 = 6;

/// How the pixels p of a channel become numbers: scale * p + offset, both with [`NORMALISATION_FRACTION`] fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Channel {
    /// The factor.
    pub scale: i64,
    /// What is added.
    pub offset: i64,
}

impl Channel {
    /// Whether all pixels become numbers below 64 in magnitude.
    fn is_sound(self) -> bool {
        let limit = 1i64 << (NORMALISATION_FRACTION + RANGE_BITS);
        let [black, white] = [0, 255].map(|pixel| {
            let scaled = self.scale.checked_mul(pixel);
            scaled.and_then(|scaled| scaled.checked_add(self.offset))
        });
        [black, white]
            .into_iter()
            .all(|x| x.is_some_and(|x| (-limit..limit).contains(&x)))
    }
}

/// The normalisation of a model's inputs: none, for which a pixel p becomes p / 255; or the same for all channels; or one
/// for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Normalisation(Vec<Channel, MAX_NORMALISED>);

impl Normalisation {
    /// A pixel p becomes p / 255.
    pub const NONE: Self = Normalisation(Vec::new());

    /// These numbers, for all channels or for each; none if there are too many.
    pub fn new(channels: &[Channel]) -> Option<Self> {
        Vec::from_slice(channels).ok().map(Normalisation)
    }

    /// The numbers as given to [`Normalisation::new`].
    pub fn channels(&self) -> &[Channel] {
        &self.0
    }

    /// Whether images of so many channels can be normalised by it.
    pub(crate) fn is_sound(&self, channels: usize) -> bool {
        let given = self.0.len();
        given <= 1.max(channels)
            && (given <= 1 || given == channels)
            && self.0.iter().all(|c| c.is_sound())
    }

    /// Bits of the ring in which owners mask the values of contributions with `channels` channels, at most
    /// [`MOST_MASKED_FRACTION`] fraction bits: the fewest whole bytes, two to four, that leave a value two bits more than it takes.
    #[cfg(feature = "contributions")]
    pub fn masked_bits(&self, channels: usize, fraction: u32) -> u32 {
        let fits = |bits: u32| {
            let limit = 1i64 << (bits - 2);
            (0..channels).all(|channel| {
                [0, 255].into_iter().all(|pixel| {
                    let value = self.units::<u64>(channel, pixel, fraction) as i64;
                    (-limit..limit).contains(&value)
                })
            })
        };
        [16, 24].into_iter().find(|&bits| fits(bits)).unwrap_or(32)
    }

    /// A pixel of a channel as a number with `fraction` fraction bits, rounded to the nearest unit. What it does depends
    /// on public numbers only.
    pub fn units<R: Ring>(&self, channel: usize, pixel: u8, fraction: u32) -> R {
        let Some(first) = self.0.first() else {
            return R::from_u64(((u64::from(pixel) << fraction) + 127) / 255);
        };
        let Channel { scale, offset } = self.0.get(channel).unwrap_or(first);
        let drop = NORMALISATION_FRACTION - fraction;
        let exact = scale.wrapping_mul(pixel.into()).wrapping_add(*offset);
        R::from_i64((exact + (1 << drop >> 1)) >> drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_rounded_to_the_nearest_unit() {
        for (mean, deviation) in [(0.0, 1.0), (0.1307, 0.3081), (0.7, 0.05)] {
            let one = libm::scalbn(1.0, NORMALISATION_FRACTION as i32);
            let channel = Channel {
                scale: libm::round(one / 255.0 / deviation) as i64,
                offset: libm::round(-one * mean / deviation) as i64,
            };
            let normalisation = Normalisation::new(&[channel]).unwrap();
            assert!(normalisation.is_sound(3));
            for fraction in [8, 12, 20] {
                for pixel in 0..=255u8 {
                    let units = normalisation.units::<u32>(2, pixel, fraction) as i32;
                    let exact = (f64::from(pixel) / 255.0 - mean) / deviation;
                    let exact = libm::scalbn(exact, fraction as i32);
                    assert!(
                        (f64::from(units) - exact).abs() <= 0.51,
                        "{pixel} {units} {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_out_of_range_and_for_other_channels_are_not_sound() {
        let plain = Channel {
            scale: 1 << 24,
            offset: 0,
        };
        let of = |channels: &[Channel]| Normalisation::new(channels).unwrap();
        assert!(of(&[plain; 3]).is_sound(3) && of(&[plain]).is_sound(3) && of(&[]).is_sound(3));
        assert!(!of(&[plain; 2]).is_sound(3) && !of(&[plain; 3]).is_sound(1));
        for (scale, offset) in [(i64::MAX, 0), (0, i64::MIN), (1 << 31, 0), (-1, i64::MIN)] {
            assert!(
                !of(&[Channel { scale, offset }]).is_sound(1),
                "{scale} {offset}"
            );
        }
        assert_eq!(Normalisation::new(&[plain; MAX_NORMALISED + 1]), None);
    }
}
