//! Sixteen blocks of ChaCha12 at a time, by AVX-512: each register holds one word of all of them.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_shuffle_i32x4,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use bytemuck::must_cast;

use super::{
    key::Key,
    state::{DOUBLE_ROUNDS, Position},
};

/// Blocks that are made at a time.
pub(super) const BLOCKS: usize = 16;

/// Fills `out` with the blocks `first`, `first + 1`, ... of the stream of `key` and `nonce`.
#[target_feature(enable = "avx512f")]
pub(super) fn fill_blocks(key: &Key, nonce: u64, first: u64, out: &mut [[[u8; 64]; BLOCKS]]) {
    // Loops instead of `map`, whose closures have these instructions and `map` itself has not: it would call them.
    let state = Position::new(nonce, first).state(key);
    let mut start = [_mm512_set1_epi32(0); 16];
    for (word, value) in start.iter_mut().zip(state) {
        *word = _mm512_set1_epi32(value as i32);
    }
    for (first, out) in (first..).step_by(BLOCKS).zip(out) {
        let (mut low, mut high) = ([0u32; BLOCKS], [0u32; BLOCKS]);
        for (block, (low, high)) in low.iter_mut().zip(&mut high).enumerate() {
            [*low, *high] = Position::new(nonce, first.wrapping_add(block as u64)).block;
        }
        start[12] = must_cast(low);
        start[13] = must_cast(high);
        let mut words = start;
        for _ in 0..DOUBLE_ROUNDS {
            for a in 0..4 {
                quarter_round(&mut words, [a, 4 + a, 8 + a, 12 + a]);
            }
            for a in 0..4 {
                let [b, c, d] = [(a + 1) % 4, (a + 2) % 4, (a + 3) % 4];
                quarter_round(&mut words, [a, 4 + b, 8 + c, 12 + d]);
            }
        }
        for (word, start) in words.iter_mut().zip(start) {
            *word = _mm512_add_epi32(*word, start);
        }
        store(words, out);
    }
}

/// RFC 8439, section 2.1.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarter_round(words: &mut [__m512i; 16], [a, b, c, d]: [usize; 4]) {
    words[a] = _mm512_add_epi32(words[a], words[b]);
    words[d] = _mm512_rol_epi32::<16>(_mm512_xor_si512(words[d], words[a]));
    words[c] = _mm512_add_epi32(words[c], words[d]);
    words[b] = _mm512_rol_epi32::<12>(_mm512_xor_si512(words[b], words[c]));
    words[a] = _mm512_add_epi32(words[a], words[b]);
    words[d] = _mm512_rol_epi32::<8>(_mm512_xor_si512(words[d], words[a]));
    words[c] = _mm512_add_epi32(words[c], words[d]);
    words[b] = _mm512_rol_epi32::<7>(_mm512_xor_si512(words[b], words[c]));
}

/// Stores the words block by block.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: [__m512i; 16], out: &mut [[u8; 64]; BLOCKS]) {
    // For each four words: a register for each `block % 4`, whose quarters have these words of blocks 0, 4, 8 and 12 on.
    let mut fours = [[words[0]; 4]; 4];
    for (four, words) in fours.iter_mut().zip(words.as_chunks::<4>().0) {
        let low = _mm512_unpacklo_epi32(words[0], words[1]);
        let low_next = _mm512_unpacklo_epi32(words[2], words[3]);
        let high = _mm512_unpackhi_epi32(words[0], words[1]);
        let high_next = _mm512_unpackhi_epi32(words[2], words[3]);
        *four = [
            _mm512_unpacklo_epi64(low, low_next),
            _mm512_unpackhi_epi64(low, low_next),
            _mm512_unpacklo_epi64(high, high_next),
            _mm512_unpackhi_epi64(high, high_next),
        ];
    }
    for block in 0..4 {
        let [a, b, c, d] = [
            fours[0][block],
            fours[1][block],
            fours[2][block],
            fours[3][block],
        ];
        let (even_low, even_high) = (even_quarters(a, b), even_quarters(c, d));
        let (odd_low, odd_high) = (odd_quarters(a, b), odd_quarters(c, d));
        out[block] = must_cast(even_quarters(even_low, even_high));
        out[block + 4] = must_cast(even_quarters(odd_low, odd_high));
        out[block + 8] = must_cast(odd_quarters(even_low, even_high));
        out[block + 12] = must_cast(odd_quarters(odd_low, odd_high));
    }
}

/// Quarters 0 and 2 of both registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_quarters(low: __m512i, high: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high)
}

/// Quarters 1 and 3 of both registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd_quarters(low: __m512i, high: __m512i) -> __m512i {
    _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high)
}
