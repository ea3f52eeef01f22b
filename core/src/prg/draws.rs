//! Streams of which each draw is made alone, without memory between draws: for microcontrollers, and the reference for
//! the other generator.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::key::Key;

/// The streams of one key.
pub(super) struct Draws {
    key: Key,
}

impl Draws {
    /// The streams of `key`.
    pub(super) fn new(key: Key) -> Self {
        Draws { key }
    }

    /// Fills `out` with the stream of `nonce` from byte `first` on.
    pub(super) fn fill(&self, nonce: u64, first: u64, out: &mut [u8]) {
        fill_bytes(self.key.reveal(), nonce, first, out);
    }
}

/// Fills `out` with the stream of `key` and `nonce` from byte `first` on.
fn fill_bytes(key: &[u8; Key::LEN], nonce: u64, first: u64, out: &mut [u8]) {
    let mut stream = ChaCha12Rng::from_seed(*key);
    stream.set_stream(nonce);
    stream.set_word_pos(u128::from(first / 4));
    // The first byte may be inside a 4-byte word of the stream.
    let inside = (first % 4) as usize;
    let (head, rest) = out.split_at_mut(((4 - inside) % 4).min(out.len()));
    if inside != 0 {
        let mut word = [0; 4];
        stream.fill_bytes(&mut word);
        head.copy_from_slice(&word[inside..inside + head.len()]);
    }
    stream.fill_bytes(rest);
}
