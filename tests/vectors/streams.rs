//! Streams, against their definition: ChaCha (RFC 8439) with 12 rounds, a 64-bit counter and a 64-bit nonce.

use ringlet_core::prg::{Address, Key, Prg};

/// The stream of `key` and `nonce` from byte `first` on.
pub(crate) fn stream(key: [u8; 32], nonce: u64, first: u64) -> impl Iterator<Item = u8> {
    let inside = (first % 64) as usize;
    let blocks = (first / 64..).flat_map(move |counter| block(key, counter, nonce));
    blocks.skip(inside)
}

fn block(key: [u8; 32], counter: u64, nonce: u64) -> [u8; 64] {
    let mut input = [0; 64];
    input[..16].copy_from_slice(b"expand 32-byte k");
    input[16..48].copy_from_slice(&key);
    input[48..56].copy_from_slice(&counter.to_le_bytes());
    input[56..].copy_from_slice(&nonce.to_le_bytes());
    let (words, _) = input.as_chunks();
    let input: [u32; 16] = core::array::from_fn(|at| u32::from_le_bytes(words[at]));
    let mut state = input;
    for _ in 0..6 {
        for at in 0..4 {
            quarter_round(&mut state, [at, 4 + at, 8 + at, 12 + at]);
        }
        for at in 0..4 {
            let [b, c, d] = [1, 2, 3].map(|more| 4 * more + (at + more) % 4);
            quarter_round(&mut state, [at, b, c, d]);
        }
    }
    let mut output = [0; 64];
    for (bytes, (state, input)) in output.chunks_exact_mut(4).zip(state.iter().zip(input)) {
        bytes.copy_from_slice(&state.wrapping_add(input).to_le_bytes());
    }
    output
}

fn quarter_round(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (to, from, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[to] = state[to].wrapping_add(state[from]);
        state[turned] = (state[turned] ^ state[to]).rotate_left(by);
    }
}

#[test]
fn draws_of_all_lengths_are_the_stream() {
    let key = [5; 32];
    let prg = Prg::new(Key::new(key));
    let check = |prg: &Prg, gate: u32, first: u64, length: usize| {
        let at = Address {
            iteration: 7,
            gate,
            wire: 9,
        };
        let nonce = 7 << 32 | u64::from(gate) << 8 | 9;
        let want: Vec<u8> = stream(key, nonce, first).take(length).collect();
        let mut got = vec![2; length];
        prg.fill(at, first, &mut got);
        assert!(got == want, "{length} bytes from {first}");
    };
    // The counter's low half returns to 0 after 2^32 blocks.
    let carry = 1 << 38;
    for (gate, base) in [(1, 0), (2, 64 * 1000 + 3), (3, carry - 64 * 20), (4, carry)] {
        let mut next = base;
        for blocks in 0..24 {
            for length in [64 * blocks, 64 * blocks + 5] {
                // In order, and again without what was made ahead.
                check(&prg, gate, next, length);
                check(&Prg::new(Key::new(key)), gate, next, length);
                next += length as u64;
            }
        }
    }
}
