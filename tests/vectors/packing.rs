//! Packing, against its definition.

use ringlet_core::{
    kernel::pack::{pack, packed_len, unpack},
    num::Word,
};

use crate::streams::stream;

/// Every length up to this, which several groups of values of each width fit, and some beyond.
const LENGTHS: usize = 72;

/// The definition: bit i of value j is bit i + j * bits of the packed bytes.
fn packed<W: Word>(bits: u32, values: &[W]) -> Vec<u8> {
    let (mut bytes, mut held, mut pending) = (Vec::new(), 0u128, 0);
    for value in values {
        held |= value.low(bits).to_u128() << pending;
        pending += bits;
        while pending >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            pending -= 8;
        }
    }
    if pending > 0 {
        bytes.push(held as u8);
    }
    bytes
}

/// Checks one list of values, in bytes that they fill and in longer ones.
fn check<W: Word>(bits: u32, values: &[W]) {
    let (want, len) = (packed(bits, values), packed_len(values.len(), bits));
    for more in [0, 1, 13, 64] {
        let case = || format!("{} values of {bits} bits, {more} bytes more", values.len());
        let mut bytes = vec![0xA5; len + more];
        pack(bits, values, &mut bytes);
        assert!(bytes[..len] == want, "packing {}", case());
        bytes[len..].fill(0xFF);
        let mut back = vec![W::MAX; values.len()];
        unpack(bits, &bytes, &mut back);
        let same = back.iter().zip(values).all(|(b, v)| *b == v.low(bits));
        assert!(same, "unpacking {}", case());
    }
}

/// Checks values of all widths up to those of the word: random ones, of which the bits above the width are set too, and
/// those of ones alone.
fn check_all<W: Word>(seed: u64) {
    for bits in 1..=W::BITS.min(64) {
        let mut random = stream([7; 32], seed << 8 | u64::from(bits), 0);
        let mut word = || u64::from_le_bytes(core::array::from_fn(|_| random.next().unwrap()));
        let random: Vec<W> = (0..300).map(|_| W::from_u64(word())).collect();
        for len in (0..=LENGTHS).chain([127, 128, 129, 300]) {
            check(bits, &random[..len]);
            check(bits, &vec![W::MAX; len]);
        }
    }
}

#[test]
fn words_of_32_bits_are_packed_as_defined() {
    check_all::<u32>(1);
}

#[test]
fn words_of_64_bits_are_packed_as_defined() {
    check_all::<u64>(2);
}
