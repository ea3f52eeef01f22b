//! Blocks of ChaCha12 in plain Rust, one at a time: for processors of 32 bits without code of their own.

use super::{
    key::Key,
    state::{DOUBLE_ROUNDS, Position, WORDS},
};

/// Fills `out` with the blocks from `position` on of the stream of `key`, and moves the position on.
pub(super) fn fill_blocks(key: &Key, position: &mut Position, out: &mut [[u32; WORDS]]) {
    for block in out {
        let start = position.state(key);
        let mut words = start;
        for _ in 0..DOUBLE_ROUNDS {
            words = double_round(words);
        }
        for ((out, word), start) in block.iter_mut().zip(words).zip(start) {
            *out = word.wrapping_add(start).to_le();
        }
        let [low, high] = position.block;
        let (low, carry) = low.overflowing_add(1);
        position.block = [low, high.wrapping_add(carry.into())];
    }
}

/// A column round and a diagonal round. Its words have names, for the compiler to hold them in registers.
#[inline(always)]
fn double_round(words: [u32; WORDS]) -> [u32; WORDS] {
    let [
        a0,
        a1,
        a2,
        a3,
        b0,
        b1,
        b2,
        b3,
        c0,
        c1,
        c2,
        c3,
        d0,
        d1,
        d2,
        d3,
    ] = words;
    let [a0, b0, c0, d0] = quarter_round([a0, b0, c0, d0]);
    let [a1, b1, c1, d1] = quarter_round([a1, b1, c1, d1]);
    let [a2, b2, c2, d2] = quarter_round([a2, b2, c2, d2]);
    let [a3, b3, c3, d3] = quarter_round([a3, b3, c3, d3]);
    let [a0, b1, c2, d3] = quarter_round([a0, b1, c2, d3]);
    let [a1, b2, c3, d0] = quarter_round([a1, b2, c3, d0]);
    let [a2, b3, c0, d1] = quarter_round([a2, b3, c0, d1]);
    let [a3, b0, c1, d2] = quarter_round([a3, b0, c1, d2]);
    [
        a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3,
    ]
}

#[inline(always)]
fn quarter_round([a, b, c, d]: [u32; 4]) -> [u32; 4] {
    let a = a.wrapping_add(b);
    let d = (d ^ a).rotate_left(16);
    let c = c.wrapping_add(d);
    let b = (b ^ c).rotate_left(12);
    let a = a.wrapping_add(b);
    let d = (d ^ a).rotate_left(8);
    let c = c.wrapping_add(d);
    let b = (b ^ c).rotate_left(7);
    [a, b, c, d]
}
