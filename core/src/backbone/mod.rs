//! Public layers in front of a model, which the owner of the images computes in the clear: only what they make, the
//! features, enters the protocol.
//!
//! A backbone is one block of bytes (see [`image`]), for a file or a device's flash. It computes in integers, so a host and
//! a device make the same features of the same image, to the bit.

mod block;
mod compute;
mod features;
pub mod image;
#[cfg(test)]
mod tests;

pub use features::Features;
pub use image::{BackboneError, BackboneHead};

use block::Blocks;

use crate::data::{MAX_NORMALISED, Normalisation};

/// Fraction bits of the values between layers, and of the features' range.
pub const VALUE_FRACTION: u32 = 16;

/// Values between layers are limited to this magnitude, in units of 2^-[`VALUE_FRACTION`]: 512.
pub const VALUE_LIMIT: i32 = 1 << 25;

/// The most inputs of one output value, so that a sum of products cannot overflow.
pub const MAX_FAN_IN: usize = 1 << 22;

/// The most bits by which a layer's weights are scaled.
pub const MAX_SHIFT: u8 = 30;

/// A backbone that was read from its block of bytes.
#[derive(Clone, Copy)]
pub struct Backbone<'a> {
    bytes: &'a [u8],
    input: [u16; 3],
    output: [usize; 3],
    /// The lowest and the highest feature.
    range: [i32; 2],
    scratch: usize,
}

impl<'a> Backbone<'a> {
    /// Rows, columns and channels of an image.
    pub fn input(&self) -> [usize; 3] {
        self.input.map(usize::from)
    }

    /// Rows, columns and channels of the features.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// What tells this backbone from others: half of the SHA-256 of its bytes, as whoever made it gives it.
    pub fn digest(&self) -> [u8; 16] {
        image::digest(self.bytes)
    }

    /// Bytes of the backbone.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a backbone has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// 32-bit words of scratch that [`Backbone::features`] takes: those of the two largest neighbouring tensors.
    pub fn scratch_len(&self) -> usize {
        self.scratch
    }

    /// How images become numbers.
    fn normalisation(&self) -> Normalisation {
        let mut channels = heapless::Vec::<_, MAX_NORMALISED>::new();
        for channel in image::channels(self.bytes) {
            let _ = channels.push(channel);
        }
        Normalisation::new(&channels).unwrap_or_default()
    }

    fn blocks(&self) -> Blocks<'a> {
        image::blocks(self.bytes, self.input())
    }

    /// Computes the features of an image: 0 stands for the lowest value of the range and 255 for the highest. Returns how many
    /// of them lay outside the range, and were brought to its ends.
    ///
    /// `out` has the length of the output; see [`Backbone::values`] for the others. With other lengths nothing is computed, and
    /// every feature counts as outside.
    #[must_use = "features outside the range are clipped"]
    pub fn features(&self, pixels: &[u8], scratch: &mut [i32], out: &mut [u8]) -> u32 {
        let fits = out.len() == self.output.iter().product::<usize>();
        match self.values(pixels, scratch).filter(|_| fits) {
            Some(values) => self.quantise(values, out),
            None => out.len() as u32,
        }
    }

    /// Computes the features of an image with [`VALUE_FRACTION`] fraction bits, before they become bytes.
    ///
    /// `pixels` has the length of the input, and `scratch` at least [`Backbone::scratch_len`] words; None otherwise.
    pub fn values<'s>(&self, pixels: &[u8], scratch: &'s mut [i32]) -> Option<&'s [i32]> {
        let [input, output] = [self.input(), self.output].map(|shape| shape.iter().product());
        let scratch = scratch.get_mut(..self.scratch)?;
        if pixels.len() != input {
            return None;
        }
        let normalisation = self.normalisation();
        let channels = self.input()[2];
        for (index, (value, &pixel)) in scratch.iter_mut().zip(pixels).enumerate() {
            *value = normalisation.units::<u32>(index % channels, pixel, VALUE_FRACTION) as i32;
        }
        // A tensor lies at the start of the scratch and the next one at its end, in turn.
        let mut at_start = true;
        for block in self.blocks() {
            let [from, to] = [block.input, block.output].map(|shape| shape.iter().product());
            let (low, high) = match at_start {
                true => scratch.split_at_mut(self.scratch - to),
                false => scratch.split_at_mut(to),
            };
            match at_start {
                true => compute::block(&block, &low[..from], high),
                false => {
                    let start = high.len() - from;
                    compute::block(&block, &high[start..], low);
                }
            }
            at_start = !at_start;
        }
        Some(match at_start {
            true => &scratch[..output],
            false => &scratch[self.scratch - output..],
        })
    }

    /// Features as bytes, and how many were outside the range.
    fn quantise(&self, values: &[i32], out: &mut [u8]) -> u32 {
        let [low, high] = self.range.map(i64::from);
        let span = (high - low).max(1);
        let mut outside = 0;
        for (out, &value) in out.iter_mut().zip(values) {
            let value = i64::from(value);
            outside += u32::from(value < low || value > high);
            let above = value.clamp(low, high) - low;
            *out = ((above * 510 + span) / (2 * span)) as u8;
        }
        outside
    }
}
