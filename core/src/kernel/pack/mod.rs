//! Bit packing: values of `bits` bits without gaps, least significant bit first.

#[cfg(any(target_arch = "x86_64", neon))]
mod halves;
#[cfg(target_arch = "x86_64")]
mod narrow;
#[cfg(neon)]
mod neon;
#[cfg(any(target_arch = "x86_64", neon))]
mod registers;
#[cfg(any(test, target_pointer_width = "32"))]
mod small;
#[cfg(target_arch = "x86_64")]
mod wide;

use crate::num::ring::Word;

/// Packed length in bytes of `count` values of `bits` bits. Zeros fill up the last byte.
pub const fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Packs the low `bits` bits of each value; `bits` is 1 to the word's width. Bytes behind [`packed_len`] may change.
///
/// # Panics
/// When `bytes` is shorter than [`packed_len`].
pub fn pack<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
    let len = packed_len(values.len(), bits);
    if bits == W::BITS {
        let bytes = &mut bytes[..len];
        if cfg!(target_endian = "little") {
            return bytes.copy_from_slice(bytemuck::cast_slice(values));
        }
        let size = size_of::<W>();
        for (value, chunk) in values.iter().zip(bytes.chunks_exact_mut(size)) {
            let value = value.little_endian();
            chunk.copy_from_slice(bytemuck::bytes_of(&value));
        }
        return;
    }
    #[cfg(target_pointer_width = "32")]
    if bits < 32 {
        return small::pack(bits, values, &mut bytes[..len]);
    }
    let done = start_packing(bits, values, bytes);
    pack_rest(
        bits,
        &values[done..],
        &mut bytes[packed_len(done, bits)..len],
    );
}

/// Packs the first values by vector instructions, if this processor has some for them. Returns their number, a multiple of 8.
/// Bytes behind those of all values may change.
#[cfg(any(target_arch = "x86_64", neon))]
fn start_packing<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) -> usize {
    if !vectorised(bits) {
        return 0;
    }
    // SAFETY: `vectorised` has just found that the processor and the operating system support AVX2 or NEON.
    let pack = |values: &[u32], bytes: &mut [u8]| unsafe { registers::pack(bits, values, bytes) };
    if W::BITS == u32::BITS
        && let Ok(values) = bytemuck::try_cast_slice(values)
    {
        return pack(values, bytes);
    }
    let mut done = 0;
    for values in values.chunks(NARROWED) {
        let mut words = [0; NARROWED];
        let words = &mut words[..values.len()];
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_u64() as u32;
        }
        done += pack(words, &mut bytes[packed_len(done, bits)..]);
    }
    done
}

/// Unpacks the first values by vector instructions, if this processor has some for them. Returns their number, a multiple of 8.
#[cfg(any(target_arch = "x86_64", neon))]
fn start_unpacking<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) -> usize {
    if !vectorised(bits) {
        return 0;
    }
    // SAFETY: `vectorised` has just found that the processor and the operating system support AVX2 or NEON.
    let unpack =
        |bytes: &[u8], values: &mut [u32]| unsafe { registers::unpack(bits, bytes, values) };
    if W::BITS == u32::BITS
        && let Ok(values) = bytemuck::try_cast_slice_mut(values)
    {
        return unpack(bytes, values);
    }
    let mut done = 0;
    for values in values.chunks_mut(NARROWED) {
        let mut words = [0; NARROWED];
        let words = &mut words[..values.len()];
        let count = unpack(&bytes[packed_len(done, bits)..], words);
        for (value, &word) in values.iter_mut().zip(&words[..count]) {
            *value = W::from_u64(word.into());
        }
        done += count;
    }
    done
}

/// Wider words that are copied to 32-bit words at a time. Packed, they fill whole bytes.
#[cfg(any(target_arch = "x86_64", neon))]
const NARROWED: usize = 64;

/// Whether this processor has vector instructions for so many bits of a word.
#[cfg(any(target_arch = "x86_64", neon))]
fn vectorised(bits: u32) -> bool {
    bits <= registers::MAX_BITS && has_vectors()
}

#[cfg(target_arch = "x86_64")]
fn has_vectors() -> bool {
    cpufeatures::new!(has_avx2, "avx2");
    has_avx2::get()
}

/// Every processor of such a target has NEON.
#[cfg(neon)]
fn has_vectors() -> bool {
    true
}

#[cfg(not(any(target_arch = "x86_64", neon)))]
fn start_packing<W: Word>(_: u32, _: &[W], _: &mut [u8]) -> usize {
    0
}

#[cfg(not(any(target_arch = "x86_64", neon)))]
fn start_unpacking<W: Word>(_: u32, _: &[u8], _: &mut [W]) -> usize {
    0
}

/// Packs values, eight bytes at a time.
fn pack_rest<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
    let (mut held, mut pending) = (0u64, 0u32);
    let mut chunks = bytes.chunks_mut(8);
    let mut put = |word: u64| {
        if let Some(chunk) = chunks.next() {
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    };
    for value in values {
        let mut left = bits;
        let mut value = value.low(bits);
        while left > 0 {
            let (part, step) = (value.to_u64(), left.min(64));
            held |= part << pending;
            if pending + step >= 64 {
                put(held);
                held = part.right(64 - pending);
            }
            pending = (pending + step) % 64;
            value = value.right(64);
            left -= step;
        }
    }
    put(held);
}

/// The inverse of [`pack`]. Ignores bits after the last value.
///
/// # Panics
/// When `bytes` is shorter than [`packed_len`].
pub fn unpack<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
    let len = packed_len(values.len(), bits);
    if bits == W::BITS {
        bytemuck::cast_slice_mut(values).copy_from_slice(&bytes[..len]);
        for value in values {
            *value = value.little_endian();
        }
        return;
    }
    #[cfg(target_pointer_width = "32")]
    if bits < 32 {
        return small::unpack(bits, &bytes[..len], values);
    }
    let done = start_unpacking(bits, bytes, values);
    let bytes = &bytes[packed_len(done, bits)..len];
    unpack_rest(bits, bytes, &mut values[done..]);
}

/// Unpacks values, eight bytes at a time.
fn unpack_rest<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
    let (mut held, mut pending) = (0u64, 0u32);
    let mut chunks = bytes.chunks(8);
    let mut get = || {
        let mut word = [0; 8];
        let chunk = chunks.next().unwrap_or(&[]);
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    for value in values {
        let mut done = 0;
        *value = W::ZERO;
        while done < bits {
            let step = (bits - done).min(64);
            let mut part = held;
            if pending < step {
                held = get();
                part |= held << pending;
                held = held.right(step - pending);
                pending += 64;
            } else {
                held = held.right(step);
            }
            *value = value.plus(W::from_u64(part.low(step)).left(done));
            pending -= step;
            done += step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    extern crate std;
    use std::{vec, vec::Vec};

    fn check<W: Word>(bits: u32, values: &[u128]) {
        let values: Vec<W> = values.iter().map(|&v| W::from_u128(v)).collect();
        let mut bytes = vec![0xAA; packed_len(values.len(), bits)];
        pack(bits, &values, &mut bytes);
        // The definition: bit i of value j is bit i + j * bits of the packed bytes.
        for (at, &byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                let position = at * 8 + bit;
                let want = values
                    .get(position / bits as usize)
                    .is_some_and(|v| v.to_u128() >> (position % bits as usize) & 1 == 1);
                assert_eq!(byte >> bit & 1 == 1, want);
            }
        }
        // What is behind the bytes may change, but not the bytes.
        let mut longer = vec![0x55; bytes.len() + 40];
        pack(bits, &values, &mut longer);
        assert_eq!(longer[..bytes.len()], bytes);
        let mut back = vec![W::MAX; values.len()];
        unpack(bits, &longer, &mut back);
        assert!(back.iter().zip(&values).all(|(b, v)| *b == v.low(bits)));
        back.fill(W::MAX);
        unpack(bits, &bytes, &mut back);
        assert!(back.iter().zip(&values).all(|(b, v)| *b == v.low(bits)));
        if bits < 32 {
            let mut again = vec![0xAA; bytes.len()];
            small::pack(bits, &values, &mut again);
            assert_eq!(again, bytes);
            back.fill(W::MAX);
            small::unpack(bits, &bytes, &mut back);
            assert!(back.iter().zip(&values).all(|(b, v)| *b == v.low(bits)));
        }
    }

    proptest! {
        #[test]
        fn every_width_round_trips(values in prop::collection::vec(any::<u128>(), 0..300)) {
            for bits in 1..=64 {
                check::<u64>(bits, &values);
                if bits <= 32 {
                    check::<u32>(bits, &values);
                }
            }
            for bits in (33..=128).step_by(5).chain([64, 65, 127, 128]) {
                check::<u128>(bits, &values);
            }
        }
    }
}
