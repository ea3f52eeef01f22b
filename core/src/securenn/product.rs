//! Products of shared numbers in the even ring, with triples that the assistant makes as they are needed
//! (SecureNN, Algorithm 1, for single numbers). With a shared bit this is SecureNN's select.

use crate::{Role, link::LinkError, prg::Prg};

use super::{
    Assisting, At, Computing, Cost, Scratch, draw, encode, exchange_len, hear_words,
    modular::Modulus, word_len,
};

/// Products in Z_2^bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// l, from 2 to 64.
    pub bits: u32,
}

const LEFT: u8 = 0;
const RIGHT: u8 = 1;
const BOTH: u8 = 2;

/// Products that the assistant sends together.
const BLOCK: usize = 32;

impl Product {
    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    fn times(self, a: u64, b: u64) -> u64 {
        self.ring().take(a.wrapping_mul(b))
    }

    /// Cost for `len` products, 5l bits each: the assistant's share of the triple to P1, and the exchange.
    pub fn cost(self, len: usize) -> Cost {
        Cost {
            bytes: (len * word_len(self.bits)) as u64 + 2 * exchange_len(self.bits, len),
            rounds: 2,
        }
    }

    /// An element of a stream that the assistant shares with a computing party.
    fn mask(self, prg: &Prg, at: At, wire: u8, place: usize) -> u64 {
        self.ring().uniform(draw(prg, at.wire(wire), place as u64))
    }

    /// Replaces `x` by shares of x y, element by element.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        x: &mut [u64],
        y: &[u64],
        words: [&mut [u64]; 3],
    ) -> Result<(), LinkError> {
        let ring = self.ring();
        let [e, f, other] = words.map(|words| &mut words[..x.len()]);
        for place in 0..x.len() {
            e[place] = ring.minus(x[place], self.mask(cx.assistant(), at, LEFT, place));
            f[place] = ring.minus(y[place], self.mask(cx.assistant(), at, RIGHT, place));
        }
        for masked in [&mut *e, &mut *f] {
            cx.exchange(self.bits, masked, other)?;
            for (masked, &other) in masked.iter_mut().zip(other.iter()) {
                *masked = ring.plus(*masked, other);
            }
        }
        match cx.role() {
            Role::P0 => {
                for (place, product) in other.iter_mut().enumerate() {
                    let both = self.mask(cx.assistant(), at, BOTH, place);
                    *product = ring.minus(both, self.times(e[place], f[place]));
                }
            }
            Role::P1 => hear_words(cx, self.bits, other)?,
        }
        for (place, x) in x.iter_mut().enumerate() {
            let cross = ring.plus(self.times(*x, f[place]), self.times(e[place], y[place]));
            *x = ring.plus(cross, other[place]);
        }
        Ok(())
    }

    /// The assistant's part for `len` products.
    pub fn assist<A: Assisting>(self, cx: &mut A, at: At, len: usize) -> Result<(), LinkError> {
        let ring = self.ring();
        for first in (0..len).step_by(BLOCK) {
            let mut products = [0; BLOCK];
            let products = &mut products[..BLOCK.min(len - first)];
            for (offset, product) in products.iter_mut().enumerate() {
                let place = first + offset;
                let [left, right] = [LEFT, RIGHT].map(|wire| {
                    let parts =
                        [Role::P0, Role::P1].map(|role| self.mask(cx.prg(role), at, wire, place));
                    ring.plus(parts[0], parts[1])
                });
                let both = self.mask(cx.prg(Role::P0), at, BOTH, place);
                *product = ring.minus(self.times(left, right), both);
            }
            let mut bytes = [0; 8 * BLOCK];
            cx.tell(Role::P1, encode(self.bits, products, &mut bytes))?;
        }
        Ok(())
    }
}

impl<'a> Scratch<'a> {
    /// The last three lists of words, for a product.
    pub(super) fn for_product(&mut self) -> [&mut [u64]; 3] {
        let [_, _, _, e, f, other] = &mut self.words;
        [e, f, other]
    }
}
