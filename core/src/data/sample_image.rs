//! A party's samples and labels as one block of bytes, for a device's flash or a file.
//!
//! ```text
//! "RNGD" · version (2 bytes) · samples (4) · rows, columns, channels (2 each)
//! labels, one byte for each sample
//! pixels, sample by sample
//! CRC-32 (IEEE) of everything before (4)
//! ```
//!
//! Numbers are little-endian.

use serde::{Deserialize, Serialize};

use crate::{
    data::{Data, DataError},
    num::crc::crc32,
};

const MAGIC: [u8; 4] = *b"RNGD";
const VERSION: u16 = 1;

/// Bytes of the header, before the labels.
pub const HEAD_LEN: usize = 16;
/// Bytes of the CRC at the end.
pub const CHECK_LEN: usize = 4;

/// Why a sample image cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SampleImageError {
    /// The memory does not start with a sample image. Remedy: program one.
    Missing,
    /// The image has another version of the format. Remedy: pack it again.
    Version(u16),
    /// The header gives a length beyond the end of the memory. Remedy: program the image again.
    Truncated,
    /// The CRC does not match. Remedy: program the image again.
    Damaged,
}

impl core::fmt::Display for SampleImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SampleImageError::Missing => f.write_str("there is no image of samples"),
            SampleImageError::Version(version) => write!(
                f,
                "the image of samples has version {version}, this program reads {VERSION}"
            ),
            SampleImageError::Truncated => f.write_str("the image of samples is cut off"),
            SampleImageError::Damaged => f.write_str("the image of samples is damaged"),
        }
    }
}

impl core::error::Error for SampleImageError {}

/// The header of an image of `samples` samples. `shape` is rows, columns and channels of each.
pub fn head(samples: u32, shape: [u16; 3]) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&MAGIC);
    head[4..6].copy_from_slice(&VERSION.to_le_bytes());
    head[6..10].copy_from_slice(&samples.to_le_bytes());
    for (bytes, side) in head[10..].chunks_exact_mut(2).zip(shape) {
        bytes.copy_from_slice(&side.to_le_bytes());
    }
    head
}

/// The CRC-32 that ends an image; `parts` are the bytes before it, in order.
pub fn check<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; CHECK_LEN] {
    crc32(parts).to_le_bytes()
}

/// The samples of a sample image whose CRC matches.
#[derive(Clone, Copy)]
pub struct SampleImage<'a> {
    shape: [u16; 3],
    labels: &'a [u8],
    pixels: &'a [u8],
}

impl<'a> SampleImage<'a> {
    /// Reads the image at the start of `memory`, which may be longer. Fails if there is no sound image.
    pub fn new(memory: &'a [u8]) -> Result<Self, SampleImageError> {
        let (head, rest) = memory
            .split_at_checked(HEAD_LEN)
            .ok_or(SampleImageError::Missing)?;
        if head[..4] != MAGIC {
            return Err(SampleImageError::Missing);
        }
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        if short(4) != VERSION {
            return Err(SampleImageError::Version(short(4)));
        }
        let samples = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
        let shape = [10, 12, 14].map(short);
        let each = shape
            .iter()
            .try_fold(1usize, |len, &side| len.checked_mul(side.into()));
        let pixels = each.and_then(|each| each.checked_mul(samples));
        let end = pixels.and_then(|pixels| pixels.checked_add(samples));
        let whole = end.and_then(|end| end.checked_add(HEAD_LEN));
        let (Some(end), Some(whole)) = (end, whole) else {
            return Err(SampleImageError::Truncated);
        };
        let content = memory.get(..whole).ok_or(SampleImageError::Truncated)?;
        let sum = memory[whole..]
            .first_chunk::<CHECK_LEN>()
            .ok_or(SampleImageError::Truncated)?;
        if check([content]) != *sum {
            return Err(SampleImageError::Damaged);
        }
        let (labels, pixels) = rest[..end].split_at(samples);
        Ok(SampleImage {
            shape,
            labels,
            pixels,
        })
    }

    /// Bytes of the image. What follows it in memory is not part of it.
    pub fn image_len(&self) -> usize {
        HEAD_LEN + self.labels.len() + self.pixels.len() + CHECK_LEN
    }

    /// Number of samples.
    pub fn len(&self) -> u32 {
        self.labels.len() as u32
    }

    /// Whether the image has no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The samples from `first` on, `count` of them: their labels, and their pixels. None if there are fewer.
    pub fn range(&self, first: u32, count: u16) -> Option<(&'a [u8], &'a [u8])> {
        let each = self.shape.iter().map(|&side| usize::from(side)).product();
        let (first, count) = (first as usize, usize::from(count));
        let labels = self.labels.get(first..)?.get(..count)?;
        let pixels = self.pixels.get(first.checked_mul(each)?..)?;
        Some((labels, pixels.get(..count.checked_mul(each)?)?))
    }

    /// Rows, columns and channels of a sample.
    pub fn shape(&self) -> [u16; 3] {
        self.shape
    }
}

impl Data for SampleImage<'_> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        let first = (sample as usize).checked_mul(out.len());
        let pixels = first.and_then(|first| self.pixels.get(first..)?.get(..out.len()));
        out.copy_from_slice(pixels.ok_or(DataError::Missing(sample))?);
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        let label = self.labels.get(sample as usize);
        label.copied().ok_or(DataError::Missing(sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    fn image() -> Vec<u8> {
        let mut image = head(3, [2, 1, 2]).to_vec();
        image.extend([7, 8, 9]);
        image.extend(0..12);
        let sum = check([&image[..]]);
        image.extend(sum);
        image
    }

    #[test]
    fn image_format_is_stable() {
        let image = image();
        assert_eq!(image[..16], *b"RNGD\x01\0\x03\0\0\0\x02\0\x01\0\x02\0");
        let mut samples = SampleImage::new(&image).unwrap();
        assert_eq!((samples.len(), samples.shape()), (3, [2, 1, 2]));
        let mut pixels = [0; 4];
        samples.pixels(1, &mut pixels).unwrap();
        assert_eq!((pixels, samples.label(1)), ([4, 5, 6, 7], Ok(8)));
        assert_eq!(samples.pixels(3, &mut pixels), Err(DataError::Missing(3)));
        assert_eq!(samples.label(u32::MAX), Err(DataError::Missing(u32::MAX)));
        let last: (&[u8], &[u8]) = (&[8, 9], &[4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(samples.range(1, 2), Some(last));
        assert_eq!(samples.range(1, 3), None);
        assert_eq!(samples.range(u32::MAX, 1), None);
    }

    #[test]
    fn each_fault_has_its_error() {
        let whole = image();
        let error = |image: &[u8]| SampleImage::new(image).err();
        // Erased flash reads as ones, and any bytes may follow the image.
        let mut longer = whole.clone();
        longer.extend([0xFF; 9]);
        assert_eq!(error(&longer), None);
        let len = SampleImage::new(&longer).unwrap().image_len();
        assert_eq!(len, whole.len());
        assert_eq!(error(&[0xFF; 64]), Some(SampleImageError::Missing));
        assert_eq!(error(&[]), Some(SampleImageError::Missing));
        for len in HEAD_LEN..whole.len() {
            assert_eq!(
                error(&whole[..len]),
                Some(SampleImageError::Truncated),
                "{len}"
            );
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(error(&damaged).is_some(), "{at}");
        }
        let mut newer = whole.clone();
        newer[4] = 2;
        assert_eq!(error(&newer), Some(SampleImageError::Version(2)));
        let mut huge = whole;
        huge[6..16].fill(0xFF);
        assert_eq!(error(&huge), Some(SampleImageError::Truncated));
    }
}
