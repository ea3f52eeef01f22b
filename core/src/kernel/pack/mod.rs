//! Bit packing: values of `bits` bits without gaps, least significant bit first.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(any(test, target_pointer_width = "32"))]
mod small;

use crate::num::ring::{Word, mask};

/// Packed length in bytes of `count` values of `bits` bits. Zeros fill up the last byte.
pub const fn packed_len(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Packs the low `bits` bits of each value; `bits` is 1 to the word's width.
///
/// # Panics
/// When `bytes` is shorter than [`packed_len`].
pub fn pack<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
    let bytes = &mut bytes[..packed_len(values.len(), bits)];
    if bits == W::BITS {
        if cfg!(target_endian = "little") {
            return bytes.copy_from_slice(bytemuck::cast_slice(values));
        }
        let size = size_of::<W>();
        for (value, chunk) in values.iter().zip(bytes.chunks_exact_mut(size)) {
            let value = value.little_endian();
            chunk.copy_from_slice(bytemuck::bytes_of(&value));
        }
    } else if bits <= 32 {
        #[cfg(target_pointer_width = "32")]
        if bits < 32 {
            return small::pack(bits, values, bytes);
        }
        let done = start_packing(bits, values, bytes);
        let (values, bytes) = (&values[done..], &mut bytes[packed_len(done, bits)..]);
        // Eight values fill exactly `bits` bytes. Only the last chunk may hold fewer values.
        for (values, chunk) in values.chunks(8).zip(bytes.chunks_mut(bits as usize)) {
            pack_run(bits, values, chunk);
        }
    } else {
        pack_wide(bits, values, bytes);
    }
}

/// Packs the first values by vector instructions, if this processor has some for them. Returns their number, a multiple of 8.
#[cfg(target_arch = "x86_64")]
fn start_packing<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) -> usize {
    match bytemuck::try_cast_slice(values) {
        Ok(values) if vectorised::<W>(bits) => {
            // SAFETY: the processor and the operating system support AVX2.
            unsafe { avx2::pack(bits, values, bytes) }
        }
        _ => 0,
    }
}

/// Unpacks the first values by vector instructions, if this processor has some for them. Returns their number, a multiple of 8.
#[cfg(target_arch = "x86_64")]
fn start_unpacking<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) -> usize {
    match bytemuck::try_cast_slice_mut(values) {
        Ok(values) if vectorised::<W>(bits) => {
            // SAFETY: the processor and the operating system support AVX2.
            unsafe { avx2::unpack(bits, bytes, values) }
        }
        _ => 0,
    }
}

/// Whether this processor has vector instructions for words of this type and so many bits of them.
#[cfg(target_arch = "x86_64")]
fn vectorised<W: Word>(bits: u32) -> bool {
    cpufeatures::new!(has_avx2, "avx2");
    W::BITS == u32::BITS && bits <= avx2::MAX_BITS && has_avx2::get()
}

#[cfg(not(target_arch = "x86_64"))]
fn start_packing<W: Word>(_: u32, _: &[W], _: &mut [u8]) -> usize {
    0
}

#[cfg(not(target_arch = "x86_64"))]
fn start_unpacking<W: Word>(_: u32, _: &[u8], _: &mut [W]) -> usize {
    0
}

/// As [`pack_run`], but writes eight bytes at a time.
fn pack_wide<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
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

/// Packs values byte by byte.
#[inline(always)]
fn pack_run<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
    let (mut held, mut pending, mut at) = (0u64, 0u32, 0usize);
    for value in values {
        let mut left = bits;
        let mut value = value.low(bits);
        while left > 0 {
            let step = left.min(32);
            held |= value.low(step).to_u64() << pending;
            pending += step;
            value = value.right(step);
            left -= step;
            while pending >= 8 {
                bytes[at] = held as u8;
                at += 1;
                held >>= 8;
                pending -= 8;
            }
        }
    }
    if pending > 0 {
        bytes[at] = held as u8;
    }
}

/// The inverse of [`pack`]. Ignores bits after the last value.
///
/// # Panics
/// When `bytes` is shorter than [`packed_len`].
pub fn unpack<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
    let bytes = &bytes[..packed_len(values.len(), bits)];
    if bits == W::BITS {
        bytemuck::cast_slice_mut(values).copy_from_slice(bytes);
        for value in values {
            *value = value.little_endian();
        }
    } else if bits <= 32 {
        #[cfg(target_pointer_width = "32")]
        if bits < 32 {
            return small::unpack(bits, bytes, values);
        }
        let done = start_unpacking(bits, bytes, values);
        let (values, bytes) = (&mut values[done..], &bytes[packed_len(done, bits)..]);
        for (values, chunk) in values.chunks_mut(8).zip(bytes.chunks(bits as usize)) {
            unpack_run(bits, chunk, values);
        }
    } else {
        unpack_wide(bits, bytes, values);
    }
}

/// As [`unpack_run`], but reads eight bytes at a time.
fn unpack_wide<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
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

/// Unpacks values byte by byte.
#[inline(always)]
fn unpack_run<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
    let (mut held, mut pending, mut at) = (0u64, 0u32, 0usize);
    for value in values {
        let mut done = 0;
        *value = W::ZERO;
        while done < bits {
            let step = (bits - done).min(32);
            while pending < step {
                held |= u64::from(bytes[at]) << pending;
                at += 1;
                pending += 8;
            }
            let part = held & mask::<u64>(step);
            *value = value.plus(W::from_u64(part).left(done));
            held >>= step;
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
        let mut back = vec![W::MAX; values.len()];
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
