//! Headroom: bits of range that the values between a network's stages have beyond the format's.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::network::MAX_STAGES;

/// For the network's input, and then for the output of each stage, the bits by which its fraction is shorter than the
/// format's. A value with h bits of headroom has f - h fraction bits, and may be 2^h times as large as one without.
///
/// A product has the fraction bits of both its factors. So a stage's weights, as operands, have f fraction bits less what
/// its output has more headroom than its input, and the truncation of its output is always by f bits. The rings of all
/// gates, and what they send, do not depend on headroom.
///
/// Places that are not listed have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Headroom(Vec<u8, { MAX_STAGES + 1 }>);

impl Headroom {
    /// No headroom anywhere.
    pub const NONE: Self = Headroom(Vec::new());

    /// These bits for the input and for the output of each stage in turn; none if there are too many.
    pub fn new(bits: &[u8]) -> Option<Self> {
        Vec::from_slice(bits).ok().map(Headroom)
    }

    /// The bits as given to [`Headroom::new`].
    pub fn bits(&self) -> &[u8] {
        &self.0
    }

    /// Bits of headroom of a stage's input, and of its output.
    pub fn of_stage(&self, index: usize) -> [u32; 2] {
        [index, index + 1].map(|place| self.0.get(place).copied().unwrap_or(0).into())
    }
}
