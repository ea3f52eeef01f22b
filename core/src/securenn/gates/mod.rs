//! SecureNN's gates. Each has its ideal function, the computing parties' part, the assistant's part, and its cost.

pub mod compare;
pub mod convert;
pub mod division;
pub mod linear;
pub mod maxpool;
pub mod modular;
pub mod product;
pub mod sign;

#[cfg(test)]
mod linear_tests;
#[cfg(test)]
pub(super) mod tests;
#[cfg(test)]
mod view_tests;

use crate::{
    Role,
    net::link::LinkError,
    prg::{Address, Prg},
};

use self::modular::Modulus;

/// What a gate needs of a computing party.
pub trait Computing {
    /// Which party this is.
    fn role(&self) -> Role;
    /// The streams shared with the other computing party, which the assistant does not have.
    fn pair(&self) -> &Prg;
    /// The streams shared with the assistant.
    fn assistant(&self) -> &Prg;
    /// Sends words below 2^bits to the other computing party, and receives as many in `other`.
    fn exchange(&mut self, bits: u32, own: &[u64], other: &mut [u64]) -> Result<(), LinkError>;
    /// Opens two lists of words below 2^bits in one round: sums of both parties' words modulo 2^bits take their place.
    fn open(&mut self, bits: u32, lists: [&mut [u64]; 2]) -> Result<(), LinkError>;
    /// Sends bytes to the assistant.
    fn tell_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError>;
    /// Receives bytes from the assistant.
    fn hear_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// What a gate needs of the assistant.
pub trait Assisting {
    /// The assistant's own randomness, which nobody shares.
    fn own(&self) -> &Prg;
    /// The streams shared with a computing party.
    fn prg(&self, role: Role) -> &Prg;
    /// Sends bytes to a computing party.
    fn tell(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError>;
    /// Receives bytes from a computing party.
    fn hear(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// Where a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Iteration of the run.
    pub iteration: u32,
    /// The first of [`GATES`] numbers that are its own.
    pub gate: u32,
}

/// Numbers of gates that any gate here takes at most, with those that it is made of.
pub const GATES: u32 = 8;

impl At {
    pub(crate) fn wire(self, wire: u8) -> Address {
        Address {
            iteration: self.iteration,
            gate: self.gate,
            wire,
        }
    }

    /// Where a gate stands that this one is made of.
    pub(crate) fn part(self, number: u32) -> At {
        At {
            gate: self.gate + number,
            ..self
        }
    }
}

/// What a gate costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes that all three roles send.
    pub bytes: u64,
    /// Messages that can leave only one after another, as the paper counts rounds.
    pub messages: u64,
    /// Times that a computing party waits for another role, as a run counts rounds: for the other party's part of an
    /// opening, or for the assistant's answer.
    pub rounds: u64,
}

impl core::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            bytes: self.bytes + other.bytes,
            messages: self.messages + other.messages,
            rounds: self.rounds + other.rounds,
        }
    }
}

impl core::ops::Mul<u64> for Cost {
    type Output = Cost;

    fn mul(self, times: u64) -> Cost {
        Cost {
            bytes: self.bytes * times,
            messages: self.messages * times,
            rounds: self.rounds * times,
        }
    }
}

impl core::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |sum, cost| sum + cost)
    }
}

/// Bytes of an exchange of `len` words of `bits` bits, both ways.
pub(crate) fn exchange_len(bits: u32, len: usize) -> u64 {
    2 * crate::cost::Cost::opening(len, bits).online_bytes
}

/// Bytes of an element of Z_2^bits or Z_(2^bits - 1) on the wire.
pub(crate) const fn word_len(bits: u32) -> usize {
    bits.div_ceil(8) as usize
}

/// Words that travel together.
pub(crate) const BLOCK: usize = 64;

/// Writes the low `bits` bits of words, each in whole bytes; returns the bytes.
pub(crate) fn encode<'b>(bits: u32, words: &[u64], bytes: &'b mut [u8; 8 * BLOCK]) -> &'b [u8] {
    let len = word_len(bits);
    for (word, bytes) in words.iter().zip(bytes.chunks_exact_mut(len)) {
        bytes.copy_from_slice(&word.to_le_bytes()[..len]);
    }
    &bytes[..len * words.len()]
}

pub(crate) fn decode(bits: u32, bytes: &[u8], words: &mut [u64]) {
    let len = word_len(bits);
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(len)) {
        let mut whole = [0; 8];
        whole[..len].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

/// Sends words to the assistant.
pub(crate) fn tell_words<C: Computing>(
    cx: &mut C,
    bits: u32,
    words: &[u64],
) -> Result<(), LinkError> {
    words.chunks(BLOCK).try_for_each(|words| {
        let mut bytes = [0; 8 * BLOCK];
        cx.tell_assistant(encode(bits, words, &mut bytes))
    })
}

/// Receives words from the assistant.
pub(crate) fn hear_words<C: Computing>(
    cx: &mut C,
    bits: u32,
    words: &mut [u64],
) -> Result<(), LinkError> {
    words.chunks_mut(BLOCK).try_for_each(|words| {
        let mut bytes = [0; 8 * BLOCK];
        let bytes = &mut bytes[..word_len(bits) * words.len()];
        cx.hear_assistant(bytes)?;
        decode(bits, bytes, words);
        Ok(())
    })
}

/// What a role works in: for `len` elements of `bits` bits, `len` x `bits` field elements and `len` words in each of
/// the others. The assistant needs no bits.
pub struct Scratch<'a> {
    /// Field elements.
    pub bits: &'a mut [u8],
    /// Words.
    pub words: [&'a mut [u64]; 6],
}

/// The assistant shares `values`, elements of a ring, between the computing parties. They are overwritten.
pub(crate) fn share_words<A: Assisting>(
    cx: &mut A,
    at: Address,
    ring: Modulus,
    values: &mut [u64],
) -> Result<(), LinkError> {
    let bits = ring.bits();
    for (block, values) in values.chunks_mut(BLOCK).enumerate() {
        let mut shares = [0; BLOCK];
        let shares = &mut shares[..values.len()];
        cx.own().fill(at, (block * BLOCK) as u64, shares);
        for (value, share) in values.iter_mut().zip(shares.iter_mut()) {
            *share = ring.uniform(*share);
            *value = ring.minus(*value, *share);
        }
        let mut bytes = [0; 8 * BLOCK];
        cx.tell(Role::P0, encode(bits, shares, &mut bytes))?;
    }
    values.chunks(BLOCK).try_for_each(|values| {
        let mut bytes = [0; 8 * BLOCK];
        cx.tell(Role::P1, encode(bits, values, &mut bytes))
    })
}

/// The assistant receives words of both computing parties.
pub(crate) fn gather_words<A: Assisting>(
    cx: &mut A,
    bits: u32,
    parts: [&mut [u64]; 2],
) -> Result<(), LinkError> {
    for (role, words) in [Role::P0, Role::P1].into_iter().zip(parts) {
        for words in words.chunks_mut(BLOCK) {
            let mut bytes = [0; 8 * BLOCK];
            let bytes = &mut bytes[..word_len(bits) * words.len()];
            cx.hear(role, bytes)?;
            decode(bits, bytes, words);
        }
    }
    Ok(())
}
