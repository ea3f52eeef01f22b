//! The parameters of a model as one block of bytes, for the flash of a device that owns it.
//!
//! ```text
//! "RNGM" · version (2 bytes) · zeros (2) · parameters (4)
//! what they are made for: a hash of model, format, headroom and normalisation (32)
//! the parameters of each stage, weights and then biases (8 each)
//! CRC-32 (IEEE) of everything before (4)
//! ```
//!
//! Numbers are little-endian. A parameter has the fraction bits of the format's master weights.

use serde::{Deserialize, Serialize};

use crate::{net::secure::Prologue, num::crc::crc32, session::Session};

const MAGIC: [u8; 4] = *b"RNGM";
const VERSION: u16 = 1;

/// Bytes of the header, before the parameters.
pub const HEAD_LEN: usize = 44;
/// Bytes of a parameter.
pub const PARAMETER_LEN: usize = 8;
/// Bytes of the CRC at the end.
const CHECK_LEN: usize = 4;

/// Why a model image cannot be read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ModelImageError {
    /// The memory does not start with a model image. Remedy: program one.
    Missing,
    /// The image has another version of the format. Remedy: pack it again.
    Version(u16),
    /// The header gives a length beyond the end of the memory. Remedy: program the image again.
    Truncated,
    /// The CRC does not match. Remedy: program the image again.
    Damaged,
}

impl core::fmt::Display for ModelImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ModelImageError::Missing => f.write_str("there is no image of a model"),
            ModelImageError::Version(version) => write!(
                f,
                "the image of the model has version {version}, this program reads {VERSION}"
            ),
            ModelImageError::Truncated => f.write_str("the image of the model is cut off"),
            ModelImageError::Damaged => f.write_str("the image of the model is damaged"),
        }
    }
}

impl core::error::Error for ModelImageError {}

/// What parameters in fixed point are made for: a hash of all that says what they mean.
#[inline(never)]
fn purpose(session: &Session) -> [u8; 32] {
    let mut hash = Prologue::new("ringlet parameters");
    hash.add_message(&session.model);
    hash.add_message(&session.format);
    hash.add_message(&session.headroom);
    hash.add_message(&session.normalisation);
    hash.hash()
}

/// The header of an image of so many parameters, made for a session.
pub fn head(session: &Session, parameters: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&MAGIC);
    head[4..6].copy_from_slice(&VERSION.to_le_bytes());
    head[8..12].copy_from_slice(&parameters.to_le_bytes());
    head[12..].copy_from_slice(&purpose(session));
    head
}

/// The CRC-32 that ends an image of these bytes.
pub fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    crc32([bytes]).to_le_bytes()
}

/// The parameters in a model image whose CRC matches.
#[derive(Clone, Copy)]
pub struct ModelImage<'a> {
    purpose: [u8; 32],
    parameters: &'a [u8],
}

impl<'a> ModelImage<'a> {
    /// Reads the image at the start of `memory`, which may be longer. Fails if there is no sound image.
    pub fn new(memory: &'a [u8]) -> Result<Self, ModelImageError> {
        let (head, rest) = memory
            .split_first_chunk::<HEAD_LEN>()
            .filter(|(head, _)| head[..4] == MAGIC)
            .ok_or(ModelImageError::Missing)?;
        let version = u16::from_le_bytes([head[4], head[5]]);
        if version != VERSION {
            return Err(ModelImageError::Version(version));
        }
        let count = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let len = count.checked_mul(PARAMETER_LEN);
        let split = len.and_then(|len| rest.split_at_checked(len));
        let (parameters, rest) = split.ok_or(ModelImageError::Truncated)?;
        let sum = rest
            .first_chunk::<CHECK_LEN>()
            .ok_or(ModelImageError::Truncated)?;
        if check(&memory[..HEAD_LEN + parameters.len()]) != *sum {
            return Err(ModelImageError::Damaged);
        }
        let mut purpose = [0; 32];
        purpose.copy_from_slice(&head[12..]);
        Ok(ModelImage {
            purpose,
            parameters,
        })
    }

    /// Whether the parameters are made for a session.
    pub fn is_for(&self, session: &Session) -> bool {
        self.purpose == purpose(session)
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.parameters.len() / PARAMETER_LEN
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The parameters in order.
    pub fn parameters(&self) -> impl Iterator<Item = i64> + use<'a> {
        let chunks = self.parameters.as_chunks::<PARAMETER_LEN>().0.iter();
        chunks.map(|bytes| i64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    use crate::{
        data::Normalisation,
        model::{Layer, Model},
        num::Format,
        session::{ClassList, Headroom, KnownBackbone, Protocol, Task},
    };

    fn session() -> Session {
        Session {
            model: Model::new("m", [1, 1, 4], &[Layer::Dense { units: 3 }]).unwrap(),
            format: Format::new::<u32>(12).unwrap(),
            headroom: Headroom::NONE,
            normalisation: Normalisation::NONE,
            task: Task::Infer,
            protocol: Protocol::DEALT,
            samples: [0, 5],
            contributions: None,
            batch: 5,
            micro_batch: 5,
            epochs: 1,
            limit: 0,
            learning_rate: 1 << 20,
            momentum: 0,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 9,
            receiver: None,
            reveal_loss: false,
            initial_model: None,
            audit: 0,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Unknown,
        }
    }

    fn image() -> Vec<u8> {
        let mut image = head(&session(), 3).to_vec();
        image.extend([5i64, -6, i64::MAX].into_iter().flat_map(i64::to_le_bytes));
        let sum = check(&image);
        image.extend(sum);
        image
    }

    #[test]
    fn image_format_is_stable() {
        let image = image();
        assert_eq!(image[..12], *b"RNGM\x01\0\0\0\x03\0\0\0");
        assert_eq!(image.len(), 44 + 24 + 4);
        let model = ModelImage::new(&image).unwrap();
        assert!(model.parameters().eq([5, -6, i64::MAX]));
        assert_eq!((model.len(), model.is_empty()), (3, false));
    }

    #[test]
    fn parameters_are_made_for_what_they_mean() {
        let image = image();
        let model = ModelImage::new(&image).unwrap();
        let changed = |change: fn(&mut Session)| {
            let mut session = session();
            change(&mut session);
            model.is_for(&session)
        };
        assert!(changed(|_| ()));
        // How many images there are says nothing of the model.
        assert!(changed(|s| s.samples = [0, 7]));
        assert!(!changed(|s| s.model.input[2] = 5));
        assert!(!changed(|s| s.format.fraction = 11));
        assert!(!changed(|s| s.headroom = Headroom::new(&[2]).unwrap()));
        let normalised = |s: &mut Session| {
            let channel = crate::data::Channel {
                scale: 1 << 24,
                offset: 0,
            };
            s.normalisation = Normalisation::new(&[channel]).unwrap();
        };
        assert!(!changed(normalised));
    }

    #[test]
    fn each_fault_has_its_error() {
        let whole = image();
        let error = |image: &[u8]| ModelImage::new(image).err();
        let mut longer = whole.clone();
        longer.extend([0xFF; 9]);
        assert_eq!(error(&longer), None);
        assert_eq!(error(&[0xFF; 64]), Some(ModelImageError::Missing));
        assert_eq!(error(&[]), Some(ModelImageError::Missing));
        for len in HEAD_LEN..whole.len() {
            assert_eq!(error(&whole[..len]), Some(ModelImageError::Truncated));
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(error(&damaged).is_some(), "{at}");
        }
        let mut newer = whole;
        newer[4] = 2;
        assert_eq!(error(&newer), Some(ModelImageError::Version(2)));
    }
}
