//! Where a stream's next block is.

/// Words of a block.
pub(super) const WORDS: usize = 16;

/// The words of ChaCha's state that are public: the first row, which is constant, and the last.
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
}
