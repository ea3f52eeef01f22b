//! Blocks of ChaCha12, several at a time with vector instructions that are chosen at run time.

use chacha20::{
    ChaChaCore, KeyIvInit, R12,
    cipher::{StreamCipherCore, array::Array},
    variants::Ietf,
};
#[cfg(target_arch = "x86_64")]
use zeroize::optimization_barrier;

use super::key::Key;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Length of a block in bytes.
pub(super) const BLOCK: usize = 64;

/// Blocks until the low half of the block counter returns to 0.
const LOW_HALF: u64 = 1 << 32;

/// The most blocks that the cipher makes at a time.
const BY_CIPHER: usize = 4;

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
cpufeatures::new!(has_avx2, "avx2");

/// Fills `out` with the blocks `first`, `first + 1`, ... of the stream of `key` and `nonce`.
pub(super) fn fill_blocks(key: &Key, nonce: u64, first: u64, out: &mut [[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    let (first, out) = fill_by_batches(key, nonce, first, out);
    if !out.is_empty() {
        fill_by_cipher(key, nonce, first, out);
    }
}

/// The most blocks that take no longer than one: as many as the vector instructions make at a time.
pub(super) fn blocks_at_a_time() -> usize {
    #[cfg(target_arch = "x86_64")]
    if has_avx512::get() {
        return avx512::BLOCKS;
    }
    BY_CIPHER
}

/// Fills blocks by AVX-512 or AVX2, where the processor has it. The `chacha20` crate has AVX-512 only where a flag of the whole
/// build asks for it, and makes half as many blocks at a time by AVX2. Returns what is left for the cipher, and the number of
/// its first block.
#[cfg(target_arch = "x86_64")]
fn fill_by_batches<'a>(
    key: &Key,
    nonce: u64,
    first: u64,
    out: &'a mut [[u8; BLOCK]],
) -> (u64, &'a mut [[u8; BLOCK]]) {
    if has_avx512::get() {
        // Sixteen blocks take less time than the cipher takes for one.
        fill_batches(first, out, |first, batches| {
            // SAFETY: `get` has just found that the processor and the operating system support AVX-512.
            unsafe { avx512::fill_blocks(key, nonce, first, batches) }
        });
        (first, &mut [])
    } else if has_avx2::get() {
        let last = out.len() % avx2::BLOCKS;
        let by_cipher = if last <= BY_CIPHER { last } else { 0 };
        let (batched, rest) = out.split_at_mut(out.len() - by_cipher);
        fill_batches(first, batched, |first, batches| {
            // SAFETY: `get` has just found that the processor and the operating system support AVX2.
            unsafe { avx2::fill_blocks(key, nonce, first, batches) }
        });
        (first + batched.len() as u64, rest)
    } else {
        (first, out)
    }
}

/// Fills `out` by `fill`, which makes the blocks from a number on, `N` at a time.
#[cfg(target_arch = "x86_64")]
fn fill_batches<const N: usize>(
    first: u64,
    out: &mut [[u8; BLOCK]],
    fill: impl Fn(u64, &mut [[[u8; BLOCK]; N]]),
) {
    let (whole, rest) = out.as_chunks_mut();
    if !whole.is_empty() {
        fill(first, whole);
    }
    if !rest.is_empty() {
        let mut last = [[[0; BLOCK]; N]];
        fill(first + (whole.len() * N) as u64, &mut last);
        rest.copy_from_slice(&last[0][..rest.len()]);
        last = [[[0; BLOCK]; N]];
        optimization_barrier(&last);
    }
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

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::prg::reference;

    /// Compares what `fill` makes with the cipher's blocks, also where either half of the block's number is carried into.
    fn compare<const N: usize>(fill: impl Fn(&Key, u64, u64, &mut [[[u8; BLOCK]; N]])) {
        let key = reference::key();
        for carry in [0, 1 << 32, 5 << 32, 1 << 58] {
            for first in [0u64, 1, 7, 8, 16, 100].map(|before| carry - before.min(carry)) {
                for batches in 0..4 {
                    let mut got: Vec<[[u8; BLOCK]; N]> = vec![[[1; BLOCK]; N]; batches];
                    let mut want = vec![[2; BLOCK]; batches * N];
                    fill(&key, 0x0123_4567_89AB_CDEF, first, &mut got);
                    if batches > 0 {
                        fill_by_cipher(&key, 0x0123_4567_89AB_CDEF, first, &mut want);
                    }
                    assert_eq!(got.as_flattened(), want, "{batches} batches from {first:x}");
                }
            }
        }
    }

    #[test]
    fn avx2_makes_the_blocks_that_the_cipher_makes() {
        if has_avx2::get() {
            // SAFETY: `get` has just found AVX2.
            compare(|key, nonce, first, out| unsafe { avx2::fill_blocks(key, nonce, first, out) });
        }
    }

    #[test]
    fn avx512_makes_the_blocks_that_the_cipher_makes() {
        if has_avx512::get() {
            // SAFETY: `get` has just found AVX-512.
            compare(|key, nonce, first, out| unsafe {
                avx512::fill_blocks(key, nonce, first, out);
            });
        }
    }
}
