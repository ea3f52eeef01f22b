//! SecureNN's gates. Each has its ideal function, the computing parties' part, the assistant's part, and its cost.
//!
//! P0 and P1 are the computing parties; the assistant is the paper's P2. All parts work on any number of elements at
//! once, one word for each.

pub mod compare;
pub mod convert;
pub mod division;
mod elements;
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

/// A computing party's protocol context, as gates use it.
pub trait Computing {
    /// This party's role.
    fn role(&self) -> Role;
    /// The streams that both computing parties share and the assistant does not have.
    fn pair(&self) -> &Prg;
    /// The streams that this party shares with the assistant.
    fn assistant(&self) -> &Prg;
    /// Exchanges words below 2^bits with the other computing party in one round: sends `own`, receives `other`.
    fn exchange(&mut self, bits: u32, own: &[u64], other: &mut [u64]) -> Result<(), LinkError>;
    /// Opens two lists of words below 2^bits in one round: replaces them by both parties' sums modulo 2^bits.
    fn open(&mut self, bits: u32, lists: [&mut [u64]; 2]) -> Result<(), LinkError>;
    /// Sends bytes to the assistant.
    fn send_to_assistant(&mut self, bytes: &[u8]) -> Result<(), LinkError>;
    /// Receives bytes from the assistant.
    fn receive_from_assistant(&mut self, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// The assistant's protocol context, as gates use it.
pub trait Assisting {
    /// The assistant's own streams, which it shares with nobody.
    fn own(&self) -> &Prg;
    /// The streams that the assistant shares with a computing party.
    fn prg(&self, role: Role) -> &Prg;
    /// Sends bytes to a computing party.
    fn send_to(&mut self, role: Role, bytes: &[u8]) -> Result<(), LinkError>;
    /// Receives bytes from a computing party.
    fn receive_from(&mut self, role: Role, bytes: &mut [u8]) -> Result<(), LinkError>;
}

/// Address of a gate in the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Number of the micro-batch in the run.
    pub iteration: u32,
    /// The first gate number of at least [`GATES`] that are the gate's own.
    pub gate: u32,
}

/// The most gate numbers that one step of a gate takes, with the gates that it is made of.
pub const GATES: u32 = 8;

impl At {
    /// Address of one of the gate's streams.
    pub(crate) fn wire(self, wire: u8) -> Address {
        Address {
            iteration: self.iteration,
            gate: self.gate,
            wire,
        }
    }

    /// Address of a gate that this one is made of.
    pub(crate) fn part(self, number: u32) -> At {
        At {
            gate: self.gate + number,
            ..self
        }
    }
}

/// The exact cost of a gate for all roles together. Framing of links is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes that all three roles send.
    pub bytes: u64,
    /// Messages that must follow each other: the rounds as the paper counts them.
    pub messages: u64,
    /// Rounds as this crate counts them: times that a computing party waits, for the other party's part of an opening
    /// or for the assistant's answer.
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

/// Words of one message.
pub(crate) const BLOCK: usize = 64;

/// Writes words below 2^bits to `bytes`, each in [`word_len`] bytes, little-endian. Returns the bytes in use.
pub(crate) fn encode<'b>(bits: u32, words: &[u64], bytes: &'b mut [u8; 8 * BLOCK]) -> &'b [u8] {
    let len = word_len(bits);
    for (word, bytes) in words.iter().zip(bytes.chunks_exact_mut(len)) {
        bytes.copy_from_slice(&word.to_le_bytes()[..len]);
    }
    &bytes[..len * words.len()]
}

/// Reads words that [`encode`] wrote.
pub(crate) fn decode(bits: u32, bytes: &[u8], words: &mut [u64]) {
    let len = word_len(bits);
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(len)) {
        let mut whole = [0; 8];
        whole[..len].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

/// Sends words below 2^bits to the assistant.
pub(crate) fn send_words<C: Computing>(
    cx: &mut C,
    bits: u32,
    words: &[u64],
) -> Result<(), LinkError> {
    words.chunks(BLOCK).try_for_each(|words| {
        let mut bytes = [0; 8 * BLOCK];
        cx.send_to_assistant(encode(bits, words, &mut bytes))
    })
}

/// Receives words below 2^bits from the assistant.
pub(crate) fn receive_words<C: Computing>(
    cx: &mut C,
    bits: u32,
    words: &mut [u64],
) -> Result<(), LinkError> {
    words.chunks_mut(BLOCK).try_for_each(|words| {
        let mut bytes = [0; 8 * BLOCK];
        let bytes = &mut bytes[..word_len(bits) * words.len()];
        cx.receive_from_assistant(bytes)?;
        decode(bits, bytes, words);
        Ok(())
    })
}

/// Scratch memory of a gate. For `len` elements of `bits` bits a computing party needs `len` x `bits` field elements
/// and `len` words in each list. The assistant needs no field elements, and only the first three lists.
pub struct Scratch<'a> {
    /// Field elements, one byte each.
    pub bits: &'a mut [u8],
    /// Lists of words.
    pub words: [&'a mut [u64]; 6],
}

/// The assistant sends each computing party its shares of `values`, elements of `ring`. Overwrites `values`.
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
        cx.send_to(Role::P0, encode(bits, shares, &mut bytes))?;
    }
    values.chunks(BLOCK).try_for_each(|values| {
        let mut bytes = [0; 8 * BLOCK];
        cx.send_to(Role::P1, encode(bits, values, &mut bytes))
    })
}

/// The assistant receives words below 2^bits from P0 and P1, one list from each.
pub(crate) fn gather_words<A: Assisting>(
    cx: &mut A,
    bits: u32,
    parts: [&mut [u64]; 2],
) -> Result<(), LinkError> {
    for (role, words) in [Role::P0, Role::P1].into_iter().zip(parts) {
        for words in words.chunks_mut(BLOCK) {
            let mut bytes = [0; 8 * BLOCK];
            let bytes = &mut bytes[..word_len(bits) * words.len()];
            cx.receive_from(role, bytes)?;
            decode(bits, bytes, words);
        }
    }
    Ok(())
}
