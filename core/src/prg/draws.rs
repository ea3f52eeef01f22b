//! Streams of which each draw is made alone, but for the blocks that draws end in: for microcontrollers.
//!
//! Gates draw a few bytes at a time from each of two wires in turn. So the last two blocks that were drawn in part are kept, and
//! the draws that follow in them take their bytes from there. Whole blocks are made where they are asked for. Addresses
//! and offsets are public, so which block is kept tells nothing.

use core::{cell::RefCell, slice};

use zeroize::{Zeroize, ZeroizeOnDrop};

#[cfg(not(thumb2))]
use super::portable::fill_blocks;
#[cfg(thumb2)]
use super::thumb2::fill_blocks;
use super::{
    key::Key,
    state::{Position, WORDS},
};

/// Length of a block in bytes.
const BLOCK: usize = 4 * WORDS;

/// The streams of one key.
pub(super) struct Draws {
    key: Key,
    kept: RefCell<Kept>,
}

/// Blocks that were drawn in part.
struct Kept {
    blocks: [Block; 2],
    /// Whether the second block was drawn from last.
    second: bool,
}

/// A block of a stream.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Block {
    nonce: u64,
    number: u64,
    words: [u32; WORDS],
}

impl Draws {
    /// The streams of `key`.
    pub(super) fn new(key: Key) -> Self {
        Draws {
            key,
            kept: RefCell::new(Kept::nothing()),
        }
    }

    /// Fills `out` with the stream of `nonce` from byte `first` on.
    pub(super) fn fill(&self, nonce: u64, first: u64, out: &mut [u8]) {
        let mut number = first / BLOCK as u64;
        let inside = first as usize % BLOCK;
        let mut rest = out;
        if inside > 0 {
            let head;
            (head, rest) = rest.split_at_mut((BLOCK - inside).min(rest.len()));
            self.fill_part(nonce, number, inside, head);
            number += 1;
        }
        let (whole, tail) = rest.split_at_mut(rest.len() - rest.len() % BLOCK);
        let after = number + (whole.len() / BLOCK) as u64;
        if let Ok(blocks) = bytemuck::try_cast_slice_mut(whole) {
            fill_blocks(&self.key, &mut Position::new(nonce, number), blocks);
        } else {
            for (number, part) in (number..).zip(whole.chunks_exact_mut(BLOCK)) {
                self.fill_part(nonce, number, 0, part);
            }
        }
        if !tail.is_empty() {
            self.fill_part(nonce, after, 0, tail);
        }
    }

    /// Fills `out` with the bytes of one block from byte `inside` on.
    fn fill_part(&self, nonce: u64, number: u64, inside: usize, out: &mut [u8]) {
        let mut fill = |kept: &mut Kept| {
            let words = kept.block(&self.key, nonce, number);
            out.copy_from_slice(&bytemuck::cast_slice(words)[inside..][..out.len()]);
        };
        match self.kept.try_borrow_mut() {
            Ok(mut kept) => fill(&mut kept),
            Err(_) => fill(&mut Kept::nothing()),
        }
    }
}

impl Kept {
    /// No blocks: no stream is so long that it has the last number.
    fn nothing() -> Self {
        let block = || Block {
            nonce: 0,
            number: u64::MAX,
            words: [0; WORDS],
        };
        Kept {
            blocks: [block(), block()],
            second: false,
        }
    }

    /// The words of a block, which is made if it is not kept.
    fn block(&mut self, key: &Key, nonce: u64, number: u64) -> &[u32; WORDS] {
        let is_kept = |block: &Block| block.nonce == nonce && block.number == number;
        if !is_kept(&self.blocks[usize::from(self.second)]) {
            self.second = !self.second;
            let block = &mut self.blocks[usize::from(self.second)];
            if !is_kept(block) {
                block.nonce = nonce;
                block.number = number;
                let mut position = Position::new(nonce, number);
                fill_blocks(key, &mut position, slice::from_mut(&mut block.words));
            }
        }
        &self.blocks[usize::from(self.second)].words
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::prg::reference::{self, Reference, draws};

    fn both() -> (Draws, Reference) {
        (
            Draws::new(reference::key()),
            Reference::new(reference::key()),
        )
    }

    #[test]
    fn blocks_go_on_when_the_low_half_of_their_counter_returns_to_0() {
        let (streams, reference) = both();
        for carry in [1, 77, (1 << 26) - 1].map(|high| high << 38) {
            for before in [0, 1, 63, 64, 65, 500] {
                for length in [1, 8, 63, 64, 65, 256, 1000] {
                    let fill = |out: &mut [u8]| streams.fill(9, carry - before, out);
                    reference.compare(9, carry - before, length, fill);
                }
            }
        }
    }

    #[test]
    fn draws_that_end_in_the_same_block_share_it() {
        let (streams, reference) = both();
        let numbers = || {
            streams
                .kept
                .borrow()
                .blocks
                .each_ref()
                .map(|block| block.number)
        };
        for at in 0..64 {
            for nonce in [5, 6] {
                reference.compare(nonce, 8 * at, 8, |out| streams.fill(nonce, 8 * at, out));
            }
            assert_eq!(numbers(), [at / 8; 2]);
        }
        reference.compare(7, 64, 256, |out| streams.fill(7, 64, out));
        assert_eq!(numbers(), [7; 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Draws from several streams, in order, back and forth, to words and to bytes between them.
        #[test]
        fn a_kept_block_never_gives_another_byte_than_the_stream_has(
            (base, draws) in draws(),
            skip in 0usize..4,
        ) {
            let (streams, reference) = both();
            reference.compare_all(base, draws, |nonce, first, out| {
                let mut shifted = vec![0; out.len() + skip];
                streams.fill(nonce, first, &mut shifted[skip..]);
                out.copy_from_slice(&shifted[skip..]);
            });
        }
    }
}
