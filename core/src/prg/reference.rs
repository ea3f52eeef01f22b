//! The streams by the generator of another crate, which both generators are compared with.

extern crate std;

use std::{vec, vec::Vec};

use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::key::Key;

/// The streams of one key.
pub(super) struct Reference(Key);

/// A key.
pub(super) fn key() -> Key {
    Key::new(core::array::from_fn(|at| at as u8 ^ 0x5A))
}

impl Reference {
    /// The streams of `key`.
    pub(super) fn new(key: Key) -> Self {
        Reference(key)
    }

    /// Fills `out` with the stream of `nonce` from byte `first` on.
    fn fill(&self, nonce: u64, first: u64, out: &mut [u8]) {
        let mut stream = ChaCha12Rng::from_seed(*self.0.reveal());
        stream.set_stream(nonce);
        stream.set_word_pos(u128::from(first / 4));
        // The first byte may be inside a 4-byte word of the stream.
        let inside = (first % 4) as usize;
        let mut bytes = vec![0; inside + out.len()];
        stream.fill_bytes(&mut bytes);
        out.copy_from_slice(&bytes[inside..]);
    }

    /// Compares a draw of `length` bytes with that of `fill`.
    pub(super) fn compare(
        &self,
        nonce: u64,
        first: u64,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let (mut got, mut want) = (vec![1; length], vec![2; length]);
        fill(&mut got);
        self.fill(nonce, first, &mut want);
        assert_eq!(got, want, "{length} bytes of {nonce:x} from {first}");
    }

    /// Compares draws from several streams with those of `fill`, which takes a nonce and the first byte. Each stream starts
    /// at `base`.
    pub(super) fn compare_all(
        &self,
        base: u64,
        draws: Vec<Draw>,
        fill: impl Fn(u64, u64, &mut [u8]),
    ) {
        // Wires 1, 33 and another gate's wire 1 share a window of those that read ahead.
        let nonces = [
            0x1_0000_0001,
            0x1_0000_0021,
            0x1_0000_0101,
            0x2_0000_0001,
            0,
            31,
        ];
        let mut next = [base; STREAMS];
        for (stream, step, length) in draws {
            let first = next[stream].saturating_add_signed(step);
            self.compare(nonces[stream], first, length, |out| {
                fill(nonces[stream], first, out);
            });
            next[stream] = first + length as u64;
        }
    }
}

const STREAMS: usize = 6;

/// A draw: its stream, how far it is from the end of the stream's last one, and its length.
type Draw = (usize, i64, usize);

/// Draws in order, back and forth, and the byte that they start from.
pub(super) fn draws() -> impl Strategy<Value = (u64, Vec<Draw>)> {
    let step = prop_oneof![
        6 => Just(0),
        2 => -1500i64..1500,
        1 => (-30_000i64..30_000).prop_map(|words| words * 8),
    ];
    let length = prop_oneof![
        3 => Just(8),
        3 => Just(256),
        3 => 0usize..700,
        // About the longest draw that is read ahead.
        1 => 958usize..963,
        1 => 0usize..5000,
    ];
    let base = prop_oneof![
        Just(0u64),
        Just((1u64 << 38) - 2000),
        any::<u64>().prop_map(|at| at >> 2),
    ];
    (
        base,
        prop::collection::vec((0..STREAMS, step, length), 1..200),
    )
}
