//! Packing of 32-bit words of at most 25 bits by AVX2: eight values, which fill `bits` bytes, at a time.
//!
//! A half of a register holds four values. Their bits begin at a byte, or, for the second four values of an odd width,
//! four bits after one.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_or_si128, _mm_shuffle_epi8, _mm256_and_si256,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_or_si256, _mm256_set_m128i,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_shuffle_epi8, _mm256_sll_epi64,
    _mm256_sllv_epi64, _mm256_srli_epi64, _mm256_srlv_epi32,
};

use bytemuck::{bytes_of, must_cast, pod_read_unaligned};

use super::halves::{HALF, NONE, VALUES};

/// The widest values, in bits: with the seven bits of the byte before it a value fits four bytes.
pub(super) const MAX_BITS: u32 = 25;

/// How the values of one width move.
struct Moves {
    /// Unpacking: for each byte of a value the byte of its half that it is taken from.
    from: [u8; 2 * HALF],
    /// Unpacking: the bits to the right of each value.
    from_bits: [u32; VALUES],
    /// Packing: pairs of values make fields of twice the width, one in each 64 bits. The bits by which each is shifted.
    to_bits: [u64; VALUES / 2],
    /// Packing: for each byte of a half the byte of its first field.
    first: [u8; 2 * HALF],
    /// Packing: the same for its second field.
    second: [u8; 2 * HALF],
    /// Packing: for each byte of the second half the byte of the first. With an odd width both have a part of one byte.
    joint: [u8; HALF],
}

/// The moves of all widths.
static MOVES: [Moves; MAX_BITS as usize + 1] = {
    let mut moves = [const { Moves::new(0) }; MAX_BITS as usize + 1];
    let mut bits = 1;
    while bits <= MAX_BITS {
        moves[bits as usize] = Moves::new(bits);
        bits += 1;
    }
    moves
};

impl Moves {
    const fn new(bits: u32) -> Moves {
        let mut moves = Moves {
            from: [NONE; 2 * HALF],
            from_bits: [0; VALUES],
            to_bits: [0; VALUES / 2],
            first: [NONE; 2 * HALF],
            second: [NONE; 2 * HALF],
            joint: [NONE; HALF],
        };
        let mut half = 0;
        while half < 2 {
            // The bit of the half's first byte at which its values begin.
            let start = if half == 0 { 0 } else { 4 * bits % 8 };
            let mut value = 0;
            while value < 4 {
                let bit = start + value * bits;
                let at = half * 4 + value as usize;
                moves.from_bits[at] = bit % 8;
                let mut byte = 0;
                while byte < 4 {
                    moves.from[at * 4 + byte] = (bit / 8) as u8 + byte as u8;
                    byte += 1;
                }
                value += 1;
            }
            let middle = start + 2 * bits;
            moves.to_bits[2 * half] = start as u64;
            moves.to_bits[2 * half + 1] = (middle % 8) as u64;
            let mut byte = 0;
            while byte < 8 {
                moves.first[half * HALF + byte] = byte as u8;
                let to = middle as usize / 8 + byte;
                if to < HALF {
                    moves.second[half * HALF + to] = 8 + byte as u8;
                }
                byte += 1;
            }
            half += 1;
        }
        if bits % 2 == 1 {
            moves.joint[0] = (bits / 2) as u8;
        }
        moves
    }
}

/// Packs whole registers. Bytes behind them may change, up to the end of the last register's second half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pack(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    let moves = &MOVES[bits as usize];
    let [first, second]: [__m256i; 2] = [moves.first, moves.second].map(must_cast);
    let (shifts, joint): (__m256i, __m128i) = (must_cast(moves.to_bits), must_cast(moves.joint));
    let mask = _mm256_set1_epi32((1i32 << bits) - 1);
    let low_word = _mm256_set1_epi64x(u32::MAX.into());
    let width = _mm_cvtsi32_si128(bits as i32);
    for (number, values) in values.iter().enumerate() {
        let values = _mm256_and_si256(must_cast(*values), mask);
        let odd = _mm256_sll_epi64(_mm256_srli_epi64(values, 32), width);
        let fields = _mm256_or_si256(_mm256_and_si256(values, low_word), odd);
        let fields = _mm256_sllv_epi64(fields, shifts);
        let packed = _mm256_or_si256(
            _mm256_shuffle_epi8(fields, first),
            _mm256_shuffle_epi8(fields, second),
        );
        let low = _mm256_castsi256_si128(packed);
        let high = _mm256_extracti128_si256(packed, 1);
        let high = _mm_or_si128(high, _mm_shuffle_epi8(low, joint));
        let bytes = &mut bytes[number * bits as usize..];
        bytes[..HALF].copy_from_slice(bytes_of(&low));
        bytes[bits as usize / 2..][..HALF].copy_from_slice(bytes_of(&high));
    }
}

/// Unpacks whole registers. Reads up to the end of the last register's second half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn unpack(bits: u32, bytes: &[u8], values: &mut [[u32; VALUES]]) {
    let moves = &MOVES[bits as usize];
    let (from, shifts): (__m256i, __m256i) = (must_cast(moves.from), must_cast(moves.from_bits));
    let mask = _mm256_set1_epi32((1i32 << bits) - 1);
    for (number, values) in values.iter_mut().enumerate() {
        let bytes = &bytes[number * bits as usize..];
        let low: __m128i = pod_read_unaligned(&bytes[..HALF]);
        let high: __m128i = pod_read_unaligned(&bytes[bits as usize / 2..][..HALF]);
        let spread = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), from);
        let unpacked = _mm256_and_si256(_mm256_srlv_epi32(spread, shifts), mask);
        *values = must_cast(unpacked);
    }
}
