//! Packing of 32-bit words by AVX2 or NEON, eight values at a time, whatever their width. They are a register of AVX2, or two
//! of NEON.

use super::halves::{HALF, VALUES, reach};
#[cfg(neon)]
use super::neon::{self, pack as pack_registers, unpack as unpack_registers};
#[cfg(target_arch = "x86_64")]
use super::{narrow, wide};

/// The widest values, in bits. Those of 32 are copied.
#[cfg(target_arch = "x86_64")]
pub const MAX_BITS: u32 = wide::MAX_BITS;
#[cfg(neon)]
pub const MAX_BITS: u32 = neon::MAX_BITS;

/// Bytes that are enough to read or write the last values of a list: less than a half beyond their own.
const LAST: usize = 2 * MAX_BITS as usize + 3 * HALF;

/// Registers of values whose two halves lie within `bytes` bytes.
fn registers(bits: u32, bytes: usize) -> usize {
    let rest = bytes.checked_sub(reach(bits));
    rest.map_or(0, |rest| rest / bits as usize + 1)
}

/// Packs the low `bits` bits of the values, but for the last one to seven. Returns the number of those that it packed.
/// `bytes` has room for all values, and what is behind them may change; `bits` is 1 to [`MAX_BITS`].
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
#[cfg_attr(neon, target_feature(enable = "neon"))]
pub fn pack(bits: u32, values: &[u32], bytes: &mut [u8]) -> usize {
    let (values, _) = values.as_chunks();
    let (now, last) = values.split_at(registers(bits, bytes.len()).min(values.len()));
    pack_registers(bits, now, bytes);
    if !last.is_empty() {
        // Whole registers do not fit in the end of the bytes.
        let mut end = [0; LAST];
        pack_registers(bits, last, &mut end);
        let len = last.len() * bits as usize;
        bytes[now.len() * bits as usize..][..len].copy_from_slice(&end[..len]);
    }
    values.as_flattened().len()
}

/// Unpacks the values, but for the last one to seven. Returns the number of those that it unpacked. `bytes` has all values,
/// and may have more; `bits` is 1 to [`MAX_BITS`].
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2"))]
#[cfg_attr(neon, target_feature(enable = "neon"))]
pub fn unpack(bits: u32, bytes: &[u8], values: &mut [u32]) -> usize {
    let (values, _) = values.as_chunks_mut();
    let count = values.len();
    let (now, last) = values.split_at_mut(registers(bits, bytes.len()).min(count));
    unpack_registers(bits, bytes, now);
    if !last.is_empty() {
        let mut end = [0; LAST];
        let len = last.len() * bits as usize;
        end[..len].copy_from_slice(&bytes[now.len() * bits as usize..][..len]);
        unpack_registers(bits, &end, last);
    }
    count * VALUES
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn pack_registers(bits: u32, values: &[[u32; VALUES]], bytes: &mut [u8]) {
    match bits <= narrow::MAX_BITS {
        true => narrow::pack(bits, values, bytes),
        false => wide::pack(bits, values, bytes),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn unpack_registers(bits: u32, bytes: &[u8], values: &mut [[u32; VALUES]]) {
    match bits <= narrow::MAX_BITS {
        true => narrow::unpack(bits, bytes, values),
        false => wide::unpack(bits, bytes, values),
    }
}
