//! Blocks of ChaCha12, several at a time with vector instructions that are chosen at run time.

use chacha20::{
    ChaChaCore, KeyIvInit, R12,
    cipher::{StreamCipherCore, array::Array},
    variants::Ietf,
};
#[cfg(target_arch = "x86_64")]
use zeroize::Zeroize;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::key::Key;

/// Length of a block in bytes.
pub(super) const BLOCK: usize = 64;

/// Blocks until the low half of the block counter returns to 0.
const LOW_HALF: u64 = 1 << 32;

/// Fills `out` with the blocks `first`, `first + 1`, ... of the stream of `key` and `nonce`.
pub(super) fn fill_blocks(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if fill_by_avx512(key, nonce, first, out) {
        return;
    }
    fill_by_cipher(key, nonce, first, out);
}

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_avx512, "avx512f");

/// The most blocks that take no longer than one: as many as the vector instructions make at a time.
pub(super) fn blocks_at_a_time() -> usize {
    #[cfg(target_arch = "x86_64")]
    if has_avx512::get() {
        return avx512::BLOCKS;
    }
    4
}

/// Fills `out` by AVX-512, which the `chacha20` crate has only where a flag of the whole build asks for it. Returns whether
/// this processor has it.
#[cfg(target_arch = "x86_64")]
fn fill_by_avx512(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) -> bool {
    if !has_avx512::get() {
        return false;
    }
    let fill = |number: usize, blocks: &mut [[u8; BLOCK]; avx512::BLOCKS]| {
        let first = first + (number * avx512::BLOCKS) as u64;
        // SAFETY: `get` has just found that the processor and the operating system support AVX-512.
        unsafe { avx512::fill_blocks(key, nonce, first, blocks) }
    };
    let (whole, rest) = out.as_chunks_mut();
    let count = whole.len();
    for (number, blocks) in whole.iter_mut().enumerate() {
        fill(number, blocks);
    }
    if !rest.is_empty() {
        // Sixteen blocks take less time than the cipher takes for one.
        let mut last = [[0; BLOCK]; avx512::BLOCKS];
        fill(count, &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
        last.as_flattened_mut().zeroize();
    }
    true
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
