//! The two kinds of secure links: their ciphers and frame sizes.

use serde::{Deserialize, Serialize};

/// The cipher and the frame size of a link. The role that connects chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Suite {
    /// Between hosts: AES-256-GCM, frames of 16 KiB.
    Host,
    /// Where a device takes part: ChaCha20-Poly1305, frames of 1 KiB.
    Device,
}

impl Suite {
    /// Length in bytes of an end's buffer for a frame: its capacity and one byte.
    pub const fn buffer_len(self) -> usize {
        match self {
            Suite::Host => (16 << 10) + 1,
            Suite::Device => (1 << 10) + 1,
        }
    }
}
