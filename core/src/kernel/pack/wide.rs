//! Packing of 32-bit words of 26 to 31 bits by AVX2: eight values, which fill `bits` bytes, at a time.
//!
//! A half of eight values has 16 bytes when packed, and each of its four values a lane of 64 bits on the way. The bits of
//! a half begin at a byte, or, for the second half of an odd width, four bits after one.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_and_si128, _mm_or_si128, _mm_set1_epi32, _mm_shuffle_epi8,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cvtepu32_epi64, _mm256_extracti128_si256, _mm256_or_si256,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_shuffle_ps,
    _mm256_sllv_epi64, _mm256_srlv_epi64,
};

use bytemuck::{bytes_of, must_cast, pod_read_unaligned};

use super::{
    halves::{HALF, NONE, VALUES},
    narrow,
};

/// The widest values, in bits.
pub(super) const MAX_BITS: u32 = 31;

/// The narrowest values, in bits. A value and the bits of the byte before it have five bytes.
const MIN_BITS: u32 = narrow::MAX_BITS + 1;

/// Bytes of a value and the bits before it.
const BYTES: usize = 5;

/// How the values of one half and one width move. A lane is one of two values that share 16 bytes of a register.
#[derive(Clone, Copy)]
struct Moves {
    /// The bits before each value in its first byte.
    shifts: [u64; VALUES / 2],
    /// Unpacking: for each byte of a lane the byte of the half that it is taken from.
    from: [u8; 2 * HALF],
    /// Packing: for each byte of the half the byte of the first lane of either 16 bytes.
    first: [u8; 2 * HALF],
    /// Packing: the same for the second lane.
    second: [u8; 2 * HALF],
}

/// The moves of both halves, from the narrowest width on.
static MOVES: [[Moves; 2]; (MAX_BITS - MIN_BITS + 1) as usize] = {
    let mut moves = [[Moves::new(MIN_BITS, 0); 2]; (MAX_BITS - MIN_BITS + 1) as usize];
    let mut bits = MIN_BITS;
    while bits <= MAX_BITS {
        moves[(bits - MIN_BITS) as usize] = [Moves::new(bits, 0), Moves::new(bits, 4 * bits % 8)];
        bits += 1;
    }
    moves
};

impl Moves {
    /// For a half whose values begin `start` bits after its first byte.
    const fn new(bits: u32, start: u32) -> Moves {
        let mut moves = Moves {
            shifts: [0; VALUES / 2],
            from: [NONE; 2 * HALF],
            first: [NONE; 2 * HALF],
            second: [NONE; 2 * HALF],
        };
        let mut value = 0;
        while value < VALUES / 2 {
            let bit = start + value as u32 * bits;
            moves.shifts[value] = (bit % 8) as u64;
            let mut byte = 0;
            while byte < BYTES {
                let at = (bit / 8) as usize + byte;
                // Beyond the half a value has no bits.
                if at < HALF {
                    moves.from[8 * value + byte] = at as u8;
                    let to = HALF * (value / 2) + at;
                    match value % 2 {
                        0 => moves.first[to] = byte as u8,
                        _ => moves.second[to] = 8 + byte as u8,
                    }
                }
                byte += 1;
            }
            value += 1;
        }
        moves
    }
}

/// Packs whole registers. Bytes behind them may change, up to the end of the last register's second half.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pack(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    let moves = &MOVES[(bits - MIN_BITS) as usize];
    let mask = _mm_set1_epi32((1i32 << bits) - 1);
    let pack_half = |values: __m128i, moves: &Moves| {
        let lanes = _mm256_cvtepu32_epi64(_mm_and_si128(values, mask));
        let lanes = _mm256_sllv_epi64(lanes, must_cast(moves.shifts));
        let packed = _mm256_or_si256(
            _mm256_shuffle_epi8(lanes, must_cast(moves.first)),
            _mm256_shuffle_epi8(lanes, must_cast(moves.second)),
        );
        let high = _mm256_extracti128_si256(packed, 1);
        _mm_or_si128(_mm256_castsi256_si128(packed), high)
    };
    // With an odd width both halves have a part of one byte.
    let mut joint = [NONE; HALF];
    if bits % 2 == 1 {
        joint[0] = (bits / 2) as u8;
    }
    let joint: __m128i = must_cast(joint);
    for (number, values) in values.iter().enumerate() {
        let [low, high]: [__m128i; 2] = must_cast(*values);
        let low = pack_half(low, &moves[0]);
        let high = pack_half(high, &moves[1]);
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
    let moves = &MOVES[(bits - MIN_BITS) as usize];
    let mask = _mm256_set1_epi32((1i32 << bits) - 1);
    let unpack_half = |packed: __m128i, moves: &Moves| {
        let both = _mm256_broadcastsi128_si256(packed);
        let lanes = _mm256_shuffle_epi8(both, must_cast(moves.from));
        _mm256_castsi256_ps(_mm256_srlv_epi64(lanes, must_cast(moves.shifts)))
    };
    for (number, values) in values.iter_mut().enumerate() {
        let bytes = &bytes[number * bits as usize..];
        let low = unpack_half(pod_read_unaligned(&bytes[..HALF]), &moves[0]);
        let high = unpack_half(
            pod_read_unaligned(&bytes[bits as usize / 2..][..HALF]),
            &moves[1],
        );
        // The low words of all lanes: values 0, 1, 4, 5 and 2, 3, 6, 7.
        let words = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(low, high));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let words: __m256i = _mm256_and_si256(words, mask);
        *values = must_cast(words);
    }
}
