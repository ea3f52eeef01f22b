//! The features of a party's images as its samples.

use super::layers::Backbone;
use crate::data::{Data, DataError};

/// The samples of a party that computes features of its images: see [`Backbone::features`].
pub struct Features<'a, 'm, D> {
    backbone: Backbone<'a>,
    images: D,
    pixels: &'m mut [u8],
    scratch: &'m mut [i32],
}

impl<'a, 'm, D: Data> Features<'a, 'm, D> {
    /// 32-bit words that [`Features::new`] takes: the scratch of the backbone and the pixels of an image.
    pub fn words(backbone: &Backbone<'_>) -> usize {
        let pixels = backbone.input().iter().product::<usize>();
        backbone.scratch_len() + pixels.div_ceil(4)
    }

    /// The features of `images`. None if `memory` has fewer than [`Features::words`] words.
    pub fn new(backbone: Backbone<'a>, images: D, memory: &'m mut [i32]) -> Option<Self> {
        let (scratch, rest) = memory.split_at_mut_checked(backbone.scratch_len())?;
        let pixels = bytemuck::must_cast_slice_mut::<i32, u8>(rest);
        let pixels = pixels.get_mut(..backbone.input().iter().product())?;
        Some(Features {
            backbone,
            images,
            pixels,
            scratch,
        })
    }
}

impl<D: Data> Data for Features<'_, '_, D> {
    fn pixels(&mut self, sample: u32, out: &mut [u8]) -> Result<(), DataError> {
        if out.len() != self.backbone.output().iter().product::<usize>() {
            return Err(DataError::Missing(sample));
        }
        self.images.pixels(sample, self.pixels)?;
        // Features beyond the public range are brought to its ends, which is part of what features are.
        let _ = self.backbone.features(self.pixels, self.scratch, out);
        Ok(())
    }

    fn label(&mut self, sample: u32) -> Result<u8, DataError> {
        self.images.label(sample)
    }
}
