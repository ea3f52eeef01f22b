//! Eight blocks of ChaCha12 at a time, by AVX2: each register holds one word of all of them.

use core::{
    arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32,
        _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_unpackhi_epi32,
        _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
    },
    hint,
};

use bytemuck::must_cast;

use super::{
    key::Key,
    state::{DOUBLE_ROUNDS, Position},
};

/// Blocks that are made at a time.
pub(super) const BLOCKS: usize = 8;

/// Where the bytes of four words come from when they are rotated left by 16 bits, and by 8.
const ROTATIONS: [[u8; 16]; 2] = [
    [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13],
    [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14],
];

/// Fills `out` with the blocks `first`, `first + 1`, ... of the stream of `key` and `nonce`.
#[target_feature(enable = "avx2")]
pub(super) fn fill_blocks(key: &Key, nonce: u64, first: u64, out: &mut [[[u8; 64]; BLOCKS]]) {
    // Loops instead of `map`, whose closures have these instructions and `map` itself has not: it would call them.
    let state = Position::new(nonce, first).state(key);
    let mut start = [_mm256_set1_epi32(0); 16];
    for (word, value) in start.iter_mut().zip(state) {
        *word = _mm256_set1_epi32(value as i32);
    }
    // What the compiler does not know, it does not replace: it takes twice as many shuffles for these.
    let rotations = hint::black_box(ROTATIONS.map(|bytes| must_cast([bytes; 2])));
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
                quarter_round(&mut words, [a, 4 + a, 8 + a, 12 + a], rotations);
            }
            for a in 0..4 {
                let [b, c, d] = [(a + 1) % 4, (a + 2) % 4, (a + 3) % 4];
                quarter_round(&mut words, [a, 4 + b, 8 + c, 12 + d], rotations);
            }
        }
        for (word, start) in words.iter_mut().zip(start) {
            *word = _mm256_add_epi32(*word, start);
        }
        store(words, out);
    }
}

/// RFC 8439, section 2.1.
#[inline]
#[target_feature(enable = "avx2")]
fn quarter_round(words: &mut [__m256i; 16], [a, b, c, d]: [usize; 4], [by_16, by_8]: [__m256i; 2]) {
    words[a] = _mm256_add_epi32(words[a], words[b]);
    words[d] = _mm256_shuffle_epi8(_mm256_xor_si256(words[d], words[a]), by_16);
    words[c] = _mm256_add_epi32(words[c], words[d]);
    words[b] = rotate_left::<12, 20>(_mm256_xor_si256(words[b], words[c]));
    words[a] = _mm256_add_epi32(words[a], words[b]);
    words[d] = _mm256_shuffle_epi8(_mm256_xor_si256(words[d], words[a]), by_8);
    words[c] = _mm256_add_epi32(words[c], words[d]);
    words[b] = rotate_left::<7, 25>(_mm256_xor_si256(words[b], words[c]));
}

/// The words rotated left by `LEFT` bits, which is right by `RIGHT`.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_left<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_slli_epi32::<LEFT>(words),
        _mm256_srli_epi32::<RIGHT>(words),
    )
}

/// Stores the words block by block.
#[inline]
#[target_feature(enable = "avx2")]
fn store(words: [__m256i; 16], out: &mut [[u8; 64]; BLOCKS]) {
    // For each four words: a register for each `block % 4`, whose halves have these words of blocks 0 and 4 on.
    let mut fours = [[words[0]; 4]; 4];
    for (four, words) in fours.iter_mut().zip(words.as_chunks::<4>().0) {
        let low = _mm256_unpacklo_epi32(words[0], words[1]);
        let low_next = _mm256_unpacklo_epi32(words[2], words[3]);
        let high = _mm256_unpackhi_epi32(words[0], words[1]);
        let high_next = _mm256_unpackhi_epi32(words[2], words[3]);
        *four = [
            _mm256_unpacklo_epi64(low, low_next),
            _mm256_unpackhi_epi64(low, low_next),
            _mm256_unpacklo_epi64(high, high_next),
            _mm256_unpackhi_epi64(high, high_next),
        ];
    }
    for block in 0..4 {
        let [a, b, c, d] = [
            fours[0][block],
            fours[1][block],
            fours[2][block],
            fours[3][block],
        ];
        out[block] = must_cast([low_halves(a, b), low_halves(c, d)]);
        out[block + 4] = must_cast([high_halves(a, b), high_halves(c, d)]);
    }
}

/// The low halves of both registers.
#[inline]
#[target_feature(enable = "avx2")]
fn low_halves(low: __m256i, high: __m256i) -> __m256i {
    _mm256_permute2x128_si256::<0x20>(low, high)
}

/// The high halves of both registers.
#[inline]
#[target_feature(enable = "avx2")]
fn high_halves(low: __m256i, high: __m256i) -> __m256i {
    _mm256_permute2x128_si256::<0x31>(low, high)
}
