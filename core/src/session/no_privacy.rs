//! Private gradients in a program without them, which reads no session that has them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::Session;
use crate::share::Role;

/// Fraction bits of a noise multiplier.
pub const NOISE_FRACTION: u32 = 16;

/// How single samples are protected: this program cannot, so there is no such value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {}

impl Privacy {
    /// See the program with private gradients.
    pub const RANGE_BITS: u32 = 4;
}

impl Session {
    /// None.
    pub fn privacy(&self) -> Option<Privacy> {
        None
    }

    /// Whether samples keep their masks for the whole run, so that each is opened once.
    pub fn keeps_data(&self) -> bool {
        self.protocol.triples().keep_data() && self.contributions.is_none()
    }

    /// None.
    pub(crate) fn drawn_rows(&self, _: Role) -> Option<core::ops::Range<u32>> {
        None
    }

    /// Rows of a whole batch.
    pub fn batch_rows(&self) -> u32 {
        self.batch
    }
}

/// The serialised form of a session without private gradients. One with them cannot be read.
pub(super) mod encoded {
    use super::{Deserialize, Deserializer, Error, Privacy, Serialize, Serializer};

    pub fn serialize<S: Serializer>(
        privacy: &Option<Privacy>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        privacy.is_some().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Privacy>, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Err(D::Error::custom("private gradients")),
            false => Ok(None),
        }
    }
}
