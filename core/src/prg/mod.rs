//! Addressable streams of pseudo-random words.
//!
//! Any element of a stream can be generated alone and again, in any order and in constant memory, so masks are
//! never stored. The generator is ChaCha12 (RFC 8439 with 12 rounds and a 64-bit nonce). The key is the
//! session key of a pair of roles, the nonce is the address, and the offset gives the block counter.
//!
//! Hosts read ahead in the streams that are drawn in order, and make blocks with vector instructions. Microcontrollers
//! make each draw alone and keep the last two blocks that were drawn in part, which takes little memory. The words are the
//! same.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_pointer_width = "64")]
mod blocks;
#[cfg(feature = "contributions")]
pub mod contributed;
pub mod device_key;
pub mod discrete_gaussian;
#[cfg(test)]
pub(crate) mod drawn;
#[cfg(any(test, not(target_pointer_width = "64")))]
mod draws;
mod key;
#[cfg(any(test, not(any(thumb2, target_pointer_width = "64"))))]
mod portable;
#[cfg(target_pointer_width = "64")]
mod read_ahead;
#[cfg(test)]
mod reference;
#[cfg(any(test, target_arch = "x86_64", not(target_pointer_width = "64")))]
mod state;
#[cfg(thumb2)]
mod thumb2;

use crate::{
    num::ring::Word,
    profile::{self, Section},
};

#[cfg(not(target_pointer_width = "64"))]
use draws::Draws as Streams;
#[cfg(target_pointer_width = "64")]
use read_ahead::ReadAhead as Streams;

pub use key::Key;

/// Stream id: selects one stream of a session key. Each use of randomness has its own address and offsets; a
/// second use would repeat a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Iteration of the training run (or the sample, for masks that are kept for the whole run).
    pub iteration: u32,
    /// Number of the gate, 24 bits; unique within the network.
    pub gate: u32,
    /// Number of the wire: the value within the gate.
    pub wire: u8,
}

impl Address {
    /// `iteration` (32 bits), `gate` (24), `wire` (8), from the most significant bit down.
    fn nonce(self) -> u64 {
        debug_assert!(self.gate < 1 << 24);
        u64::from(self.iteration) << 32
            | u64::from(self.gate & 0xFF_FFFF) << 8
            | u64::from(self.wire)
    }
}

/// Generator of the streams of one key.
pub struct Prg {
    streams: Streams,
}

impl Prg {
    /// The generator for `key`.
    pub fn new(key: Key) -> Self {
        Prg {
            streams: Streams::new(key),
        }
    }

    /// Fills `out` with the words `first`, `first + 1`, ... of the stream at `address`. Offsets count words of
    /// type `W`; words are little-endian.
    pub fn fill<W: Word>(&self, address: Address, first: u64, out: &mut [W]) {
        if out.is_empty() {
            return;
        }
        #[cfg(test)]
        drawn::draw(address);
        profile::draw(size_of_val(out));
        let _section = profile::section(Section::Prg);
        let bytes = first * size_of::<W>() as u64;
        self.streams
            .fill(address.nonce(), bytes, bytemuck::cast_slice_mut(out));
        for word in out {
            *word = word.little_endian();
        }
    }

    /// As [`Prg::fill`], with each word reduced to its low `bits` bits.
    pub fn fill_bits<W: Word>(&self, address: Address, first: u64, bits: u32, out: &mut [W]) {
        self.fill(address, first, out);
        if bits < W::BITS {
            for word in out {
                *word = word.low(bits);
            }
        }
    }
}

/// As [`Prg::fill`], for a key of which little is drawn: nothing is made ahead or kept.
#[cfg(feature = "contributions")]
pub(crate) fn fill_once<W: Word>(key: &Key, address: Address, first: u64, out: &mut [W]) {
    profile::draw(size_of_val(out));
    let _section = profile::section(Section::Prg);
    let at = first * size_of::<W>() as u64;
    let bytes = bytemuck::cast_slice_mut(out);
    #[cfg(target_pointer_width = "64")]
    read_ahead::fill_bytes(key, address.nonce(), at, bytes);
    #[cfg(not(target_pointer_width = "64"))]
    Streams::new(key.clone()).fill(address.nonce(), at, bytes);
    for word in out {
        *word = word.little_endian();
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    const AT: Address = Address {
        iteration: 7,
        gate: 3,
        wire: 9,
    };

    #[test]
    fn any_element_can_be_generated_alone() {
        let prg = Prg::new(Key::new([5; 32]));
        let mut bytes = [0u8; 2048];
        prg.fill(AT, 0, &mut bytes);
        let mut words = [0u32; 512];
        prg.fill(AT, 0, &mut words);
        let mut wide = [0u64; 256];
        prg.fill(AT, 0, &mut wide);
        for at in (0..500).rev() {
            let mut one = [0u32; 1];
            prg.fill(AT, at as u64, &mut one);
            assert_eq!(one[0], words[at]);
            assert_eq!(one[0].to_le_bytes(), bytes[4 * at..4 * at + 4]);
            let mut three = [0u8; 3];
            prg.fill(AT, at as u64, &mut three);
            assert_eq!(three, bytes[at..at + 3]);
        }
        let mut late = [0u8; 9];
        prg.fill(AT, 7, &mut late);
        assert_eq!(late, bytes[7..16]);
        let mut pair = [0u64; 2];
        prg.fill(AT, 31, &mut pair);
        assert_eq!(pair, wide[31..33]);
    }

    #[test]
    fn streams_differ_by_key_and_by_every_part_of_the_address() {
        let first = |key: u8, address| {
            let mut out = [0u64; 1];
            Prg::new(Key::new([key; 32])).fill(address, 0, &mut out);
            out[0]
        };
        let base = first(1, AT);
        assert_ne!(base, first(2, AT));
        for changed in [
            Address { iteration: 8, ..AT },
            Address { gate: 4, ..AT },
            Address { wire: 10, ..AT },
        ] {
            assert_ne!(base, first(1, changed));
        }
    }

    #[test]
    fn the_stream_is_chacha12_with_the_address_as_nonce() {
        let mut stream = ChaCha12Rng::from_seed([5; 32]);
        stream.set_stream(0x0000_0007_0000_0309);
        let mut want = [0u8; 100];
        stream.fill_bytes(&mut want);
        let mut got = [0u8; 100];
        Prg::new(Key::new([5; 32])).fill(AT, 0, &mut got);
        assert_eq!(got, want);
    }
}
