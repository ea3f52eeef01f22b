//! Draws from streams, to compare the generators of processors with.

use ringlet_core::prg::{Address, Key, Prg};

/// The most bytes of a draw.
const MOST: usize = 400;
/// The byte of a stream at which the low half of its block counter returns to 0.
const CARRY: u64 = 1 << 38;

/// Draws `count` times, in words and in bytes, in order and out of order, from several streams. Returns the FNV-1a digest of
/// all that was drawn.
pub fn digest(count: u32) -> u32 {
    let prg = Prg::new(Key::new(core::array::from_fn(|at| 3 * at as u8 + 1)));
    let mut state = 1u32;
    let mut random = |below: u32| {
        // Marsaglia's xorshift, 32 bits.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut next = [0; 3];
    let mut digest = 0x811C_9DC5;
    for _ in 0..count {
        let stream = random(3);
        let at = Address {
            iteration: 0x8000_0001 ^ stream,
            gate: 0xF0_0000 + stream,
            wire: 7 + stream as u8,
        };
        let next = &mut next[stream as usize];
        match random(8) {
            0 => *next = u64::from(random(1000)),
            1 => *next = CARRY - u64::from(random(500)),
            _ => {}
        }
        let mut space = [0u64; MOST / 8];
        let length = random(MOST as u32 - 4) as usize;
        let (unit, skipped) = match random(3) {
            0 => (8, 0),
            1 => (4, 0),
            // Bytes that need not be aligned.
            _ => (1, random(4) as usize),
        };
        let first = next.div_ceil(unit);
        let count = length / unit as usize;
        *next = unit * (first + count as u64);
        let bytes = match unit {
            8 => {
                let words = &mut space[..count];
                prg.fill(at, first, words);
                bytemuck::cast_slice::<u64, u8>(words)
            }
            4 => {
                let words = &mut bytemuck::cast_slice_mut::<u64, u32>(&mut space)[..count];
                prg.fill(at, first, words);
                bytemuck::cast_slice(words)
            }
            _ => {
                let bytes = &mut bytemuck::cast_slice_mut(&mut space)[skipped..][..count];
                prg.fill(at, first, bytes);
                bytes
            }
        };
        for &byte in bytes {
            digest = (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    digest
}
