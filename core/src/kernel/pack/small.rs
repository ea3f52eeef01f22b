//! Bit packing for 32-bit processors: four bytes at a time, with shifts of 32-bit words only.

use crate::num::ring::Word;

/// As [`super::pack`], for `bits` below 32.
pub(super) fn pack<W: Word>(bits: u32, values: &[W], bytes: &mut [u8]) {
    let (mut held, mut pending) = (0u32, 0u32);
    let (chunks, tail) = bytes.as_chunks_mut::<4>();
    let mut chunks = chunks.iter_mut();
    for value in values {
        let value = value.low(bits).to_u64() as u32;
        held |= value << pending;
        pending += bits;
        if pending >= u32::BITS {
            let Some(chunk) = chunks.next() else { break };
            *chunk = held.to_le_bytes();
            pending -= u32::BITS;
            held = value >> (bits - pending);
        }
    }
    // The bits that are left fill at most four bytes.
    match chunks.next() {
        Some(chunk) => *chunk = held.to_le_bytes(),
        None => tail.copy_from_slice(&held.to_le_bytes()[..tail.len()]),
    }
}

/// As [`super::unpack`], for `bits` below 32.
pub(super) fn unpack<W: Word>(bits: u32, bytes: &[u8], values: &mut [W]) {
    let (mut held, mut pending) = (0u32, 0u32);
    let (chunks, tail) = bytes.as_chunks::<4>();
    let mut chunks = chunks.iter();
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    let mask = (1 << bits) - 1;
    for to in values {
        let mut value = held;
        if pending < bits {
            let next = u32::from_le_bytes(*chunks.next().unwrap_or(&last));
            value |= next << pending;
            held = next >> (bits - pending);
            pending += u32::BITS;
        } else {
            held >>= bits;
        }
        pending -= bits;
        *to = W::from_u64((value & mask).into());
    }
}
