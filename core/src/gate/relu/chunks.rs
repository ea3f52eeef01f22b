//! How the compared bits are split for the lookups.

/// Split of the compared bits into chunks; chunk 0 holds the least significant bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Number of chunks.
    pub count: u32,
    /// Bits of a chunk, without the extra bit of the longer ones.
    bits: u32,
    /// The first `longer` chunks have one bit more.
    longer: u32,
}

impl Chunks {
    /// Splits `compared` bits evenly into as few chunks of at most `most` bits as possible; at least one.
    pub fn new(compared: u32, most: u32) -> Self {
        let count = compared.div_ceil(most).max(1);
        Chunks {
            count,
            bits: compared / count,
            longer: compared % count,
        }
    }

    /// Width of a chunk, in bits.
    pub fn width(self, chunk: u32) -> u32 {
        self.bits + u32::from(chunk < self.longer)
    }

    /// Position of a chunk's least significant bit.
    pub fn shift(self, chunk: u32) -> u32 {
        chunk * self.bits + chunk.min(self.longer)
    }

    /// Inputs of the AND that combines chunks, opened per element: [equal] of each chunk but the lowest, and [less] of
    /// each chunk but the highest.
    pub fn opened(self) -> usize {
        2 * (self.count as usize - 1)
    }

    /// Products of masks of the AND's inputs that the dealer shares: each set of two or more [equal] masks, and each
    /// [less] mask with each non-empty set of the [equal] masks of higher chunks.
    pub fn products(self) -> usize {
        let above = self.count - 1;
        let equal_sets = (1usize << above) - 1 - above as usize;
        let less_sets: usize = (1..=above).map(|n| (1usize << n) - 1).sum();
        equal_sets + less_sets
    }
}
