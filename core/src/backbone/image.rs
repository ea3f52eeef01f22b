//! A backbone as one block of bytes.
//!
//! ```text
//! "RNGB" · version (2 bytes) · normalised channels (1) · layers (1) · bytes in all (4)
//! rows, columns, channels of an image (2 each) · zeros (2)
//! lowest and highest feature, with 16 fraction bits (4 each)
//! digest: the first half of the SHA-256 of all other bytes but the CRC (16)
//! for each normalised channel its scale and offset, with 32 fraction bits (8 each)
//! for each layer its kind, rows and columns of a window, stride, rows and columns of padding (1 each) and outputs (2)
//! for each convolution and dense layer its shift (1), weights (2 each) and biases (4 each)
//! CRC-32 (IEEE) of everything before (4)
//! ```
//!
//! Numbers are little-endian. Kinds are 0 for a convolution, 1 dense, 2 average pooling, 3 max pooling, 4 ReLU, 5 flatten.
//! Weights are whole numbers, w * 2^shift, in the order `[kernel rows][kernel columns][inputs][outputs]`; biases have 16 fraction bits.

use serde::{Deserialize, Serialize};

use crate::{
    backbone::block::{Blocks, LAYER_LEN, layer_bytes},
    data::{Channel, MAX_NORMALISED, Normalisation},
    model::{Layer, MAX_LAYERS},
    num::crc::crc32,
};

pub(super) const MAGIC: [u8; 4] = *b"RNGB";
pub(super) const VERSION: u16 = 2;

/// Bytes before those of the channels.
pub(super) const FIXED_LEN: usize = 44;
/// Where the digest lies.
const DIGEST: core::ops::Range<usize> = 28..FIXED_LEN;
/// Bytes of a channel's numbers.
const CHANNEL_LEN: usize = 16;
/// Bytes of the CRC at the end.
pub(super) const CHECK_LEN: usize = 4;

/// The most bytes before the parameters.
pub const MAX_HEAD_LEN: usize = FIXED_LEN + MAX_NORMALISED * CHANNEL_LEN + MAX_LAYERS * LAYER_LEN;

/// Why a backbone cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BackboneError {
    /// The memory does not start with a backbone.
    Missing,
    /// The backbone has another version of the format. Remedy: make it again.
    Version(u16),
    /// The header gives a length beyond the end of the memory. Remedy: program the backbone again.
    Truncated,
    /// The CRC does not match. Remedy: program the backbone again.
    Damaged,
    /// The CRC matches, and what it says does not fit together. Remedy: make it again.
    Unsound,
}

impl core::fmt::Display for BackboneError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            BackboneError::Missing => f.write_str("there is no backbone"),
            BackboneError::Version(version) => write!(
                f,
                "the backbone has version {version}, this program reads {VERSION}"
            ),
            BackboneError::Truncated => f.write_str("the backbone is cut off"),
            BackboneError::Damaged => f.write_str("the backbone is damaged"),
            BackboneError::Unsound => f.write_str("the layers of the backbone do not fit together"),
        }
    }
}

impl core::error::Error for BackboneError {}

/// What a backbone's header says.
#[derive(Clone, Copy, Debug)]
pub struct BackboneHead<'a> {
    /// Rows, columns and channels of an image.
    pub input: [u16; 3],
    /// How its pixels become numbers.
    pub normalisation: &'a Normalisation,
    /// The layers in order, without polynomials.
    pub layers: &'a [Layer],
    /// The lowest and the highest feature, with [`VALUE_FRACTION`](super::VALUE_FRACTION) fraction bits.
    pub range: [i32; 2],
}

/// The bytes before the parameters of a backbone, whose parameters have so many bytes. Whoever makes the backbone appends the
/// parameters, enters the digest with [`enter_digest`] and appends [`check`]. None if a backbone cannot have such layers.
pub fn head(head: &BackboneHead<'_>, parameters: usize) -> Option<heapless::Vec<u8, MAX_HEAD_LEN>> {
    let channels = head.normalisation.channels();
    let before = FIXED_LEN + channels.len() * CHANNEL_LEN + head.layers.len() * LAYER_LEN;
    let len = before.checked_add(parameters)?.checked_add(CHECK_LEN)?;
    let mut bytes = heapless::Vec::new();
    let mut put = |part: &[u8]| bytes.extend_from_slice(part).ok();
    put(&MAGIC)?;
    put(&VERSION.to_le_bytes())?;
    put(&[channels.len() as u8, u8::try_from(head.layers.len()).ok()?])?;
    put(&u32::try_from(len).ok()?.to_le_bytes())?;
    for side in head.input {
        put(&side.to_le_bytes())?;
    }
    put(&[0; 2])?;
    for end in head.range {
        put(&end.to_le_bytes())?;
    }
    put(&[0; DIGEST.end - DIGEST.start])?;
    for Channel { scale, offset } in channels {
        put(&scale.to_le_bytes())?;
        put(&offset.to_le_bytes())?;
    }
    for layer in head.layers {
        put(&layer_bytes(layer)?)?;
    }
    Some(bytes)
}

/// Enters the digest of a backbone without its CRC: the first half of the SHA-256 of `bytes` with zeros in its place, which
/// they have as [`head`] and the parameters leave them.
pub fn enter_digest(bytes: &mut [u8], digest: [u8; 16]) {
    if let Some(place) = bytes.get_mut(DIGEST) {
        place.copy_from_slice(&digest);
    }
}

/// The CRC-32 that ends a backbone of these bytes.
pub fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    crc32([bytes]).to_le_bytes()
}

/// `N` bytes from `at` on; zeros beyond the end.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    array(bytes, DIGEST.start)
}

/// The numbers of the normalised channels.
pub(super) fn channels(bytes: &[u8]) -> impl Iterator<Item = Channel> {
    let count = usize::from(array::<1>(bytes, 6)[0]);
    (0..count).map(move |index| {
        let at = FIXED_LEN + index * CHANNEL_LEN;
        let [scale, offset] = [at, at + 8].map(|at| i64::from_le_bytes(array(bytes, at)));
        Channel { scale, offset }
    })
}

/// The blocks of a backbone for images of a shape.
pub(super) fn blocks(bytes: &[u8], input: [usize; 3]) -> Blocks<'_> {
    let [channels, layers] = array::<2>(bytes, 6).map(usize::from);
    let at = FIXED_LEN + channels * CHANNEL_LEN;
    let end = bytes.len().saturating_sub(CHECK_LEN);
    let body = bytes.get(at..end).unwrap_or_default();
    match body.split_at_checked(layers * LAYER_LEN) {
        Some((layers, parameters)) => Blocks::new(input, layers, parameters),
        None => Blocks::new(input, body, &[]),
    }
}
