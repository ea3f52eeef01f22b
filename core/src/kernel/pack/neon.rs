//! Packing of 32-bit words of at most 31 bits by NEON: eight values, which fill `bits` bytes, at a time.
//!
//! A register holds four values before and after. Packed, their bits begin at a byte, or, for the second four values of an
//! odd width, four bits after one.

use core::arch::aarch64::{
    int32x4_t, uint8x16_t, uint8x16x2_t, uint8x16x4_t, uint32x4_t, vaddq_s32, vandq_u8, vandq_u32,
    vdupq_n_s16, vdupq_n_s32, vdupq_n_s64, vdupq_n_u8, vdupq_n_u32, vnegq_s16, vnegq_s32,
    vnegq_s64, vorrq_u8, vorrq_u32, vqtbl1q_u8, vqtbl2q_u8, vqtbl4q_u8, vreinterpretq_s8_s16,
    vreinterpretq_s16_s32, vreinterpretq_s32_s64, vreinterpretq_u8_u16, vreinterpretq_u8_u32,
    vreinterpretq_u8_u64, vreinterpretq_u16_u8, vreinterpretq_u16_u32, vreinterpretq_u32_u8,
    vreinterpretq_u32_u16, vreinterpretq_u64_u32, vshlq_u8, vshlq_u16, vshlq_u32, vshlq_u64,
    vuzp1q_u8, vuzp1q_u16,
};

use bytemuck::{bytes_of, must_cast, pod_read_unaligned};

use super::halves::{HALF, NONE, VALUES, reach};

/// The widest values, in bits.
pub(super) const MAX_BITS: u32 = 31;

/// The widest values of which sixteen are packed at a time, a byte for each at first.
const MAX_BYTE_BITS: u32 = 8;

/// The widest values that fit four bytes with the seven bits of the byte before them. Wider ones have a fifth byte.
const MAX_FOUR_BYTES: u32 = 25;

/// How the values of one width move.
#[derive(Clone, Copy)]
struct Moves {
    /// The bits before each value in its first byte.
    shifts: [i32; VALUES],
    /// Unpacking: for each byte of a value the byte of its half that it is taken from.
    from: [[u8; HALF]; 2],
    /// Unpacking: the same for the fifth byte of each value.
    from_fifth: [[u8; HALF]; 2],
    /// Packing: for each byte of a half the byte of its even values that is put there. Fifth bytes are in a register after
    /// that of the others. Two even values have no byte in common, nor have two odd ones.
    even: [[u8; HALF]; 2],
    /// Packing: the same for odd values. With an odd width the second half begins within the last byte of the first one,
    /// whose registers come after those of the second.
    odd: [[u8; HALF]; 2],
}

/// The moves of all widths. Packing of the narrowest values needs none.
static MOVES: [Moves; MAX_BITS as usize + 1] = {
    let mut moves = [Moves::new(0); MAX_BITS as usize + 1];
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
            shifts: [0; VALUES],
            from: [[NONE; HALF]; 2],
            from_fifth: [[NONE; HALF]; 2],
            even: [[NONE; HALF]; 2],
            odd: [[NONE; HALF]; 2],
        };
        let mut half = 0;
        while half < 2 {
            // The bit of the half's first byte at which its values begin.
            let start = if half == 0 { 0 } else { 4 * bits % 8 };
            let mut value = 0;
            while value < 4 {
                let bit = start + value as u32 * bits;
                moves.shifts[4 * half + value] = (bit % 8) as i32;
                let first = (bit / 8) as usize;
                let mut byte = 0;
                // Beyond the half a value has no bits.
                while byte < 5 && first + byte < HALF {
                    match byte {
                        4 => moves.from_fifth[half][4 * value] = (first + byte) as u8,
                        _ => moves.from[half][4 * value + byte] = (first + byte) as u8,
                    }
                    byte += 1;
                }
                if bits > MAX_BYTE_BITS {
                    moves.put(half, value, bit, bits);
                }
                value += 1;
            }
            half += 1;
        }
        if bits > MAX_BYTE_BITS && bits % 2 == 1 {
            let byte = (bits / 2 - 3 * bits / 8) as usize;
            let registers = if bits > MAX_FOUR_BYTES { 2 } else { 1 };
            assert!(moves.odd[1][0] == NONE);
            moves.odd[1][0] = (registers * HALF + place(3, byte)) as u8;
        }
        moves
    }

    /// Puts the bytes of a value that begins at `bit` of its half.
    const fn put(&mut self, half: usize, value: usize, bit: u32, bits: u32) {
        let (first, last) = ((bit / 8) as usize, ((bit + bits - 1) / 8) as usize);
        let mut byte = 0;
        while first + byte <= last {
            let to = match value % 2 {
                0 => &mut self.even[half][first + byte],
                _ => &mut self.odd[half][first + byte],
            };
            assert!(*to == NONE);
            *to = place(value, byte) as u8;
            byte += 1;
        }
    }
}

/// Where a byte of a value is: in the register of the first four bytes of values, or in that of their fifth bytes after it.
const fn place(value: usize, byte: usize) -> usize {
    match byte {
        4 => HALF + 4 * value,
        _ => 4 * value + byte,
    }
}

/// Packs groups of eight values. Bytes behind them may change, up to the end of the last group's second half.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pack(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    if bits <= MAX_BYTE_BITS {
        pack_bytes(bits, values, bytes);
    } else if bits <= MAX_FOUR_BYTES {
        pack_words::<false>(bits, values, bytes);
    } else {
        pack_words::<true>(bits, values, bytes);
    }
}

/// Unpacks groups of eight values. Reads up to the end of the last group's second half.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn unpack(bits: u32, bytes: &[u8], values: &mut [[u32; VALUES]]) {
    match bits <= MAX_FOUR_BYTES {
        true => unpack_words::<false>(bits, bytes, values),
        false => unpack_words::<true>(bits, bytes, values),
    }
}

/// Packs values of at most eight bits, sixteen at a time.
#[inline]
#[target_feature(enable = "neon")]
fn pack_bytes(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    // Eight values make whole bytes, in the low bytes of 64 bits.
    let mut low = [NONE; HALF];
    for byte in 0..bits as usize {
        low[byte] = byte as u8;
        low[bits as usize + byte] = (HALF / 2 + byte) as u8;
    }
    let low: uint8x16_t = must_cast(low);
    let mask = vdupq_n_u8(((1u32 << bits) - 1) as u8);
    let unused = 8 - bits as i16;
    let (by_8, by_16, by_32) = (
        vdupq_n_s16(unused),
        vdupq_n_s32(2 * i32::from(unused)),
        vdupq_n_s64(4 * i64::from(unused)),
    );
    let mut pack_sixteen = |number: usize, [first, second]: [[u32; VALUES]; 2]| {
        let words: [[uint32x4_t; 2]; 2] = [must_cast(first), must_cast(second)];
        let [first, second] = words
            .map(|[low, high]| vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)));
        let fields = vuzp1q_u8(vreinterpretq_u8_u16(first), vreinterpretq_u8_u16(second));
        let fields = vandq_u8(fields, mask);
        // Two neighbours make a field of twice the width: the first moves up to the second, and both move down.
        let fields = vreinterpretq_u16_u8(vshlq_u8(fields, vreinterpretq_s8_s16(by_8)));
        let fields = vshlq_u16(fields, vnegq_s16(by_8));
        let fields = vreinterpretq_u32_u16(vshlq_u16(fields, vreinterpretq_s16_s32(by_16)));
        let fields = vshlq_u32(fields, vnegq_s32(by_16));
        let fields = vreinterpretq_u64_u32(vshlq_u32(fields, vreinterpretq_s32_s64(by_32)));
        let fields = vshlq_u64(fields, vnegq_s64(by_32));
        let packed = vqtbl1q_u8(vreinterpretq_u8_u64(fields), low);
        bytes[number * 2 * bits as usize..][..HALF].copy_from_slice(bytes_of(&packed));
    };
    let (pairs, last) = values.as_chunks();
    for (number, &pair) in pairs.iter().enumerate() {
        pack_sixteen(number, pair);
    }
    if let [last] = *last {
        pack_sixteen(pairs.len(), [last, [0; VALUES]]);
    }
}

/// Packs values of more than eight bits. `FIVE_BYTES`: they may have bits in five bytes.
#[inline]
#[target_feature(enable = "neon")]
fn pack_words<const FIVE_BYTES: bool>(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    let moves = &MOVES[bits as usize];
    let shifts: [int32x4_t; 2] = must_cast(moves.shifts);
    let [even, odd]: [[uint8x16_t; 2]; 2] = [must_cast(moves.even), must_cast(moves.odd)];
    let mask = vdupq_n_u32((1 << bits) - 1);
    let shift = |values: uint32x4_t, shifts: int32x4_t| {
        let values = vandq_u32(values, mask);
        let fifth = vshlq_u32(values, vaddq_s32(shifts, vdupq_n_s32(-32)));
        [vshlq_u32(values, shifts), fifth].map(|bytes| vreinterpretq_u8_u32(bytes))
    };
    for (number, values) in values.iter().enumerate() {
        let [first, second]: [uint32x4_t; 2] = must_cast(*values);
        let ([a, a_fifth], [b, b_fifth]) = (shift(first, shifts[0]), shift(second, shifts[1]));
        let [[a_even, b_even], [a_odd, b_odd]] = match FIVE_BYTES {
            false => [
                [vqtbl1q_u8(a, even[0]), vqtbl1q_u8(b, even[1])],
                [
                    vqtbl1q_u8(a, odd[0]),
                    vqtbl2q_u8(uint8x16x2_t(b, a), odd[1]),
                ],
            ],
            true => {
                let (a, b) = (uint8x16x2_t(a, a_fifth), uint8x16x2_t(b, b_fifth));
                let both = uint8x16x4_t(b.0, b.1, a.0, a.1);
                [
                    [vqtbl2q_u8(a, even[0]), vqtbl2q_u8(b, even[1])],
                    [vqtbl2q_u8(a, odd[0]), vqtbl4q_u8(both, odd[1])],
                ]
            }
        };
        let bytes = &mut bytes[number * bits as usize..][..reach(bits)];
        bytes[..HALF].copy_from_slice(bytes_of(&vorrq_u8(a_even, a_odd)));
        bytes[bits as usize / 2..].copy_from_slice(bytes_of(&vorrq_u8(b_even, b_odd)));
    }
}

/// Unpacks values. `FIVE_BYTES`: they may have bits in five bytes.
#[inline]
#[target_feature(enable = "neon")]
fn unpack_words<const FIVE_BYTES: bool>(bits: u32, bytes: &[u8], values: &mut [[u32; VALUES]]) {
    let moves = &MOVES[bits as usize];
    let from: [uint8x16_t; 2] = must_cast(moves.from);
    let from_fifth: [uint8x16_t; 2] = must_cast(moves.from_fifth);
    let shifts: [int32x4_t; 2] = must_cast(moves.shifts);
    let (right, left) = (
        shifts.map(|shifts| vnegq_s32(shifts)),
        shifts.map(|shifts| vaddq_s32(vnegq_s32(shifts), vdupq_n_s32(32))),
    );
    let mask = vdupq_n_u32((1 << bits) - 1);
    let unpack_half = |packed: uint8x16_t, half: usize| {
        let spread = vreinterpretq_u32_u8(vqtbl1q_u8(packed, from[half]));
        let mut words = vshlq_u32(spread, right[half]);
        if FIVE_BYTES {
            let fifth = vreinterpretq_u32_u8(vqtbl1q_u8(packed, from_fifth[half]));
            words = vorrq_u32(words, vshlq_u32(fifth, left[half]));
        }
        vandq_u32(words, mask)
    };
    for (number, values) in values.iter_mut().enumerate() {
        let bytes = &bytes[number * bits as usize..][..reach(bits)];
        *values = must_cast([
            unpack_half(pod_read_unaligned(&bytes[..HALF]), 0),
            unpack_half(pod_read_unaligned(&bytes[bits as usize / 2..]), 1),
        ]);
    }
}
