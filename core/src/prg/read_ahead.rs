//! Streams of which the next bytes are made ahead, for hosts.
//!
//! Gates draw a few bytes at a time from each of several wires in turn, and each wire's draws follow each other. So a
//! window holds the next bytes of a stream, and draws share the work of making them. A stream that is read in order
//! doubles its window each time; one that is not makes little more than it is asked for. Addresses and offsets are
//! public, so which window a draw takes tells nothing.

use core::cell::RefCell;

use zeroize::{Zeroize, ZeroizeOnDrop, optimization_barrier};

use super::{
    blocks::{BLOCK, blocks_at_a_time, fill_blocks},
    key::Key,
};

/// Windows of a key. The wires of a gate have numbers below this.
const WINDOWS: usize = 32;
/// Blocks of a window.
const BLOCKS: usize = 16;
/// The longest draw that a window serves, in bytes: one that starts within a block fits too.
const LONGEST: usize = (BLOCKS - 1) * BLOCK;

/// The streams of one key.
pub(super) struct ReadAhead {
    key: Key,
    windows: RefCell<[Window; WINDOWS]>,
}

/// The window of a stream. The low bits of a nonce are the wire, and above them is the gate. The backward pass of a ReLU draws
/// from a wire of the forward pass too, which is the gate before it: the same wires of both are half the windows apart.
fn window_of(nonce: u64) -> usize {
    let [wire, gate] = [nonce, nonce >> 8].map(|part| part as usize);
    (wire + gate * WINDOWS / 2) % WINDOWS
}

/// Consecutive bytes of one stream.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Window {
    /// The stream.
    nonce: u64,
    /// Number of the first block that is held.
    block: u64,
    /// Number of blocks that are held.
    held: usize,
    /// The byte of the stream after the last one drawn.
    next: u64,
    blocks: [[u8; BLOCK]; BLOCKS],
}

impl ReadAhead {
    /// The streams of `key`.
    pub(super) fn new(key: Key) -> Self {
        ReadAhead {
            key,
            windows: RefCell::new([const { Window::EMPTY }; WINDOWS]),
        }
    }

    /// Fills `out` with the stream of `nonce` from byte `first` on.
    pub(super) fn fill(&self, nonce: u64, first: u64, out: &mut [u8]) {
        if out.len() <= LONGEST
            && let Ok(mut windows) = self.windows.try_borrow_mut()
        {
            return windows[window_of(nonce)].fill(&self.key, nonce, first, out);
        }
        fill_bytes(&self.key, nonce, first, out);
    }
}

impl Window {
    const EMPTY: Window = Window {
        nonce: 0,
        block: 0,
        held: 0,
        next: 0,
        blocks: [[0; BLOCK]; BLOCKS],
    };

    /// Fills `out`, of at most [`LONGEST`] bytes, with the stream of `key` and `nonce` from byte `first` on.
    fn fill(&mut self, key: &Key, nonce: u64, first: u64, mut out: &mut [u8]) {
        let mut at = first;
        let mut blocks = blocks_at_a_time();
        if self.nonce == nonce {
            let held = self.held_from(at);
            if !held.is_empty() {
                let (head, rest) = out.split_at_mut(out.len().min(held.len()));
                head.copy_from_slice(&held[..head.len()]);
                at += head.len() as u64;
                out = rest;
            }
            if first == self.next {
                blocks = 2 * self.held;
            }
        }
        if !out.is_empty() {
            let inside = (at % BLOCK as u64) as usize;
            let least = (inside + out.len()).div_ceil(BLOCK);
            self.nonce = nonce;
            self.block = at / BLOCK as u64;
            self.held = blocks.clamp(least, BLOCKS);
            fill_blocks(key, nonce, self.block, &mut self.blocks[..self.held]);
            out.copy_from_slice(&self.blocks.as_flattened()[inside..inside + out.len()]);
        }
        self.next = at + out.len() as u64;
    }

    /// The bytes that are held from byte `at` of the stream on; none if that byte is not held.
    fn held_from(&self, at: u64) -> &[u8] {
        let bytes = self.blocks[..self.held].as_flattened();
        at.checked_sub(self.block * BLOCK as u64)
            .and_then(|skip| bytes.get(usize::try_from(skip).ok()?..))
            .unwrap_or_default()
    }
}

/// Fills `out` with the stream of `key` and `nonce` from byte `first` on, without a window.
pub(super) fn fill_bytes(key: &Key, nonce: u64, first: u64, out: &mut [u8]) {
    let mut block = first / BLOCK as u64;
    let inside = (first % BLOCK as u64) as usize;
    let mut one = [[0; BLOCK]];
    let mut rest = out;
    if inside > 0 {
        let head;
        (head, rest) = rest.split_at_mut((BLOCK - inside).min(rest.len()));
        fill_blocks(key, nonce, block, &mut one);
        head.copy_from_slice(&one[0][inside..inside + head.len()]);
        block += 1;
    }
    let (whole, tail) = rest.as_chunks_mut();
    fill_blocks(key, nonce, block, whole);
    if !tail.is_empty() {
        fill_blocks(key, nonce, block + whole.len() as u64, &mut one);
        tail.copy_from_slice(&one[0][..tail.len()]);
    }
    one = [[0; BLOCK]];
    optimization_barrier(&one);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prg::reference::{self, Reference, draws};

    /// Compares a draw of `length` bytes with the reference.
    fn compare(streams: &ReadAhead, reference: &Reference, nonce: u64, first: u64, length: usize) {
        reference.compare(nonce, first, length, |out| streams.fill(nonce, first, out));
    }

    fn both() -> (ReadAhead, Reference) {
        (
            ReadAhead::new(reference::key()),
            Reference::new(reference::key()),
        )
    }

    #[test]
    fn blocks_go_on_when_the_low_half_of_their_counter_returns_to_0() {
        let (streams, reference) = both();
        for carry in [1, 2, 77, (1 << 26) - 1].map(|high| high << 38) {
            for before in [0, 1, 3, 64, 65, 255, 500, 960, 1024, 4096, 9999] {
                for length in [
                    1,
                    8,
                    63,
                    64,
                    65,
                    256,
                    512,
                    LONGEST,
                    LONGEST + 1,
                    8192,
                    20_000,
                ] {
                    compare(&streams, &reference, 9, carry - before, length);
                }
            }
        }
    }

    #[test]
    fn a_stream_that_is_read_in_order_gets_a_whole_window() {
        let (streams, reference) = both();
        for length in [8, 24, 200, 256, 512, 700] {
            let nonce = length as u64;
            for number in 0..256 {
                compare(&streams, &reference, nonce, number * nonce, length);
            }
            let held = streams.windows.borrow()[window_of(nonce)].held;
            assert_eq!(held, BLOCKS, "{length} bytes a draw");
        }
    }

    #[test]
    fn a_draw_alone_makes_few_blocks() {
        let (streams, reference) = both();
        for number in (0..20).rev() {
            for (nonce, first) in [(3, 8 * 1000 * number), (number << 8 | 5, 0)] {
                compare(&streams, &reference, nonce, first, 8);
                let held = streams.windows.borrow()[window_of(nonce)].held;
                assert_eq!(held, blocks_at_a_time());
            }
        }
    }

    #[test]
    fn neighbouring_gates_have_windows_of_their_own() {
        for wire in 0..WINDOWS as u64 / 2 {
            for gate in [0, 1, 38, 39, 1 << 23] {
                let window = |gate: u64| window_of(7 << 32 | gate << 8 | wire);
                assert_ne!(window(gate), window(gate + 1));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Draws from streams that share windows and from others, in order, back and forth.
        #[test]
        fn windows_never_give_another_byte_than_the_stream_has((base, draws) in draws()) {
            let (streams, reference) = both();
            reference.compare_all(base, draws, |nonce, first, out| streams.fill(nonce, first, out));
        }
    }
}
