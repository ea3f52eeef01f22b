//! What a role knows of the public layers by which images became samples.

use serde::{Deserialize, Serialize};

/// What a role knows of the [`Backbone`](crate::backbone::Backbone), or the like, by which its images became samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KnownBackbone {
    /// Nothing, as at a role without images. It agrees with every other.
    #[default]
    Unknown,
    /// Samples are images.
    Absent,
    /// Samples are features, by the backbone of this digest.
    Digest([u8; 16]),
}

impl KnownBackbone {
    /// Whether samples of this backbone and of `other` can mean the same.
    pub fn agrees(&self, other: &KnownBackbone) -> bool {
        *self == KnownBackbone::Unknown || *other == KnownBackbone::Unknown || self == other
    }
}
