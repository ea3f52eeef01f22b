//! Blocks of ChaCha12, several at a time with vector instructions that are chosen at run time.

use chacha20::{
    ChaChaCore, KeyIvInit, R12,
    cipher::{StreamCipherCore, array::Array},
    variants::Ietf,
};

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::key::Key;

/// Length of a block in bytes.
pub(super) const BLOCK: usize = 64;

/// Blocks until the low half of the block counter returns to 0.
const LOW_HALF: u64 = 1 << 32;

/// Fills `out` with the blocks `first`, `first + 1`, ... of the stream of `key` and `nonce`.
pub(super) fn fill_blocks(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) {
    let done = fill_by_avx512(key, nonce, first, out);
    if done < out.len() {
        fill_by_cipher(key, nonce, first + done as u64, &mut out[done..]);
    }
}

/// Fills as many blocks as AVX-512 makes at a time, and returns their number. The `chacha20` crate has AVX-512 only where a
/// flag of the whole build asks for it.
#[cfg(target_arch = "x86_64")]
fn fill_by_avx512(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) -> usize {
    cpufeatures::new!(has_avx512, "avx512f");
    if !has_avx512::get() {
        return 0;
    }
    let (whole, _) = out.as_chunks_mut();
    for (number, blocks) in whole.iter_mut().enumerate() {
        let first = first + (number * avx512::BLOCKS) as u64;
        // SAFETY: `get` has just found that the processor and the operating system support AVX-512.
        unsafe { avx512::fill_blocks(key, nonce, first, blocks) }
    }
    whole.as_flattened().len()
}

#[cfg(not(target_arch = "x86_64"))]
fn fill_by_avx512(_: &Key, _: u64, _: u64, _: &mut [[u8; BLOCK]]) -> usize {
    0
}

/// Fills the blocks with the vector instructions that the cipher chooses.
fn fill_by_cipher(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) {
    // The cipher counts blocks in 32 bits: the counter's high half is the first part of its nonce.
    let until_carry = LOW_HALF - first % LOW_HALF;
    let (now, later) = match usize::try_from(until_carry) {
        Ok(until_carry) if until_carry < out.len() => out.split_at_mut(until_carry),
        _ => (out, &mut [][..]),
    };
    let mut iv = [0; 12];
    let (high, stream) = iv.split_at_mut(4);
    high.copy_from_slice(&((first / LOW_HALF) as u32).to_le_bytes());
    stream.copy_from_slice(&nonce.to_le_bytes());
    let mut cipher = ChaChaCore::<R12, Ietf>::new(key.reveal().into(), &Array(iv));
    cipher.set_block_pos(first as u32);
    cipher.write_keystream_blocks(Array::cast_slice_from_core_mut(now));
    if !later.is_empty() {
        fill_by_cipher(key, nonce, first + until_carry, later);
    }
}
