//! The state of ChaCha12 that a block of a stream starts from, and its rounds (RFC 8439, section 2.3, with a block counter and a
//! nonce of 64 bits each).

#[cfg(any(test, not(thumb2)))]
use super::key::Key;

/// Words of a block.
pub(super) const WORDS: usize = 16;

/// Rounds of a block, in pairs of a column round and a diagonal round.
#[cfg(any(test, not(thumb2)))]
pub(super) const DOUBLE_ROUNDS: usize = 6;

/// The words of the state that are public: the first row, which is constant, and the last.
#[repr(C)]
pub(super) struct Position {
    pub(super) constants: [u32; 4],
    /// The block's number, low word first.
    pub(super) block: [u32; 2],
    pub(super) nonce: [u32; 2],
}

impl Position {
    /// Block `block` of the stream of `nonce`.
    pub(super) fn new(nonce: u64, block: u64) -> Self {
        let words = |value: u64| [value as u32, (value >> 32) as u32];
        Position {
            // "expand 32-byte k"
            constants: [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574],
            block: words(block),
            nonce: words(nonce),
        }
    }

    /// The state that the block of the stream of `key` starts from: the constants, the key, the block's number, the nonce.
    #[cfg(any(test, not(thumb2)))]
    pub(super) fn state(&self, key: &Key) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        let (bytes, _) = key.reveal().as_chunks();
        words[..4].copy_from_slice(&self.constants);
        for (word, &bytes) in words[4..12].iter_mut().zip(bytes) {
            *word = u32::from_le_bytes(bytes);
        }
        words[12..14].copy_from_slice(&self.block);
        words[14..].copy_from_slice(&self.nonce);
        words
    }
}
