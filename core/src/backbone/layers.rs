//! A backbone as it is read from its bytes, and what it computes.

use super::{
    block::Blocks,
    compute,
    image::{self, BackboneError},
    numbers::VALUE_FRACTION,
};
use crate::{
    data::{MAX_NORMALISED, Normalisation},
    model::MAX_LAYERS,
};

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
    /// Reads the backbone at the start of `memory`, which may be longer. Fails if there is no sound one.
    pub fn new(memory: &'a [u8]) -> Result<Self, BackboneError> {
        if memory.len() < image::FIXED_LEN || memory[..4] != image::MAGIC {
            return Err(BackboneError::Missing);
        }
        let version = u16::from_le_bytes(image::array(memory, 4));
        if version != image::VERSION {
            return Err(BackboneError::Version(version));
        }
        let len = u32::from_le_bytes(image::array(memory, 8)) as usize;
        let bytes = memory.get(..len).ok_or(BackboneError::Truncated)?;
        let (content, sum) = bytes
            .split_last_chunk::<{ image::CHECK_LEN }>()
            .filter(|(content, _)| content.len() >= image::FIXED_LEN)
            .ok_or(BackboneError::Damaged)?;
        if image::check(content) != *sum {
            return Err(BackboneError::Damaged);
        }
        Backbone::sound(bytes).ok_or(BackboneError::Unsound)
    }

    /// The backbone of bytes whose CRC matches.
    fn sound(bytes: &'a [u8]) -> Option<Self> {
        let input = [12, 14, 16].map(|at| u16::from_le_bytes(image::array(bytes, at)));
        let range = [20, 24].map(|at| i32::from_le_bytes(image::array(bytes, at)));
        let mut backbone = Backbone {
            bytes,
            input,
            output: [0; 3],
            range,
            scratch: 0,
        };
        let limit = 64i32 << VALUE_FRACTION;
        if !(-limit <= range[0] && range[0] < range[1] && range[1] < limit) {
            return None;
        }
        let [channels, layers] = image::array::<2>(bytes, 6).map(usize::from);
        let normalised = backbone.normalisation();
        if channels != normalised.channels().len() || layers > MAX_LAYERS {
            return None;
        }
        if !normalised.is_sound(input[2].into()) {
            return None;
        }
        let mut blocks = backbone.blocks();
        let mut any = false;
        for block in &mut blocks {
            let [from, to] =
                [block.input, block.output].map(|shape| shape.iter().product::<usize>());
            backbone.scratch = backbone.scratch.max(from + to);
            any = true;
        }
        backbone.output = blocks.shape();
        (any && blocks.is_whole()).then_some(backbone)
    }

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
