//! The samples that a party owns. The caller implements [`Data`].

mod normalisation;
pub mod sample_image;

#[cfg(feature = "contributions")]
pub use normalisation::MOST_MASKED_FRACTION;
pub use normalisation::{Channel, MAX_NORMALISED, NORMALISATION_FRACTION, Normalisation};

use crate::{network::Stage, num::ring::Ring};

/// The samples that one party owns, numbered from 0. They leave the party only as masked values.
pub trait Data {
    /// Writes the pixels of a sample to `out`: row by row, in a row pixel by pixel, the channels of a pixel together.
    /// 0 stands for 0.0 and 255 for 1.0. `out` has the length of the model's input.
    ///
    /// Fails with [`DataError::Missing`] if there is no such sample.
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError>;
    /// The class of a sample, from 0. Fails with [`DataError::Missing`] if there is no such sample.
    fn label(&mut self, sample: u32) -> Result<u8, DataError>;
    /// Writes the bytes of a contribution to `out`, masked sample and masked label, and the key of this party's masks to `key`.
    ///
    /// Fails with [`DataError::Missing`] if there is no such contribution.
    #[cfg(feature = "contributions")]
    fn contribution(
        &mut self,
        sample: u32,
        key: &mut [u8; crate::prg::Key::LEN],
        out: &mut [u8],
    ) -> Result<(), DataError> {
        let _ = (key, out);
        Err(DataError::Missing(sample))
    }
}

/// The keys of contributions, which the dealer knows.
#[cfg(feature = "contributions")]
pub trait ContributionKeys {
    /// Writes the keys of a contribution's masks at P0 and at P1. Fails with [`DataError::Missing`] if there is no such
    /// contribution.
    fn keys(
        &mut self,
        sample: u32,
        out: [&mut [u8; crate::prg::Key::LEN]; 2],
    ) -> Result<(), DataError>;
}

impl<D: Data + ?Sized> Data for &mut D {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        (**self).pixels(sample, out)
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        (**self).label(sample)
    }

    #[cfg(feature = "contributions")]
    fn contribution(
        &mut self,
        sample: u32,
        key: &mut [u8; crate::prg::Key::LEN],
        out: &mut [u8],
    ) -> Result<(), DataError> {
        (**self).contribution(sample, key, out)
    }
}

/// The samples of a party that owns none: every access fails.
pub struct NoData;

impl Data for NoData {
    fn pixels(&mut self, sample: u32, _: &mut [u8]) -> Result<(), DataError> {
        Err(DataError::Missing(sample))
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        Err(DataError::Missing(sample))
    }
}

/// Why a party's samples cannot be used.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DataError {
    /// The session takes a sample of this number, and the data has none.
    Missing(u32),
    /// A sample's label is not a class of the model.
    Label {
        /// Number of the sample.
        sample: u32,
        /// Its label.
        label: u8,
    },
}

impl core::fmt::Display for DataError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DataError::Missing(sample) => write!(f, "sample {sample} is missing from the data"),
            DataError::Label { sample, label } => write!(
                f,
                "sample {sample} has label {label}, which is not a class of the model"
            ),
        }
    }
}

impl core::error::Error for DataError {}

/// Writes a sample's pixels, normalised, with `fraction` fraction bits, less the headroom of the stage's input, to
/// `operand`, summed over the windows if the stage pools its input. `pixels` has [`Stage::entering_len`] values and
/// `operand` the length of the map's input; `channels` are those of an image.
pub(crate) fn read_pixels<R: Ring>(
    stage: &Stage,
    (normalisation, channels): (&Normalisation, usize),
    fraction: u32,
    pixels: &[u8],
    operand: &mut [R],
) {
    let fraction = fraction - stage.headroom[0];
    let units = |index: usize| normalisation.units::<R>(index % channels, pixels[index], fraction);
    let Some(pool) = stage.pooled_input else {
        for (index, to) in operand.iter_mut().enumerate().take(pixels.len()) {
            *to = units(index);
        }
        return;
    };
    let (window, [_, width, channels]) = (pool.window, pool.shape);
    let [rows, columns, _] = pool.output();
    operand.fill(R::ZERO);
    for y in 0..rows * window {
        for x in 0..columns * window {
            let from = (y * width + x) * channels;
            let to = (y / window * columns + x / window) * channels;
            for channel in 0..channels {
                operand[to + channel] = operand[to + channel].plus(units(from + channel));
            }
        }
    }
}
