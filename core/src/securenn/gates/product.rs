//! Products of shared numbers in the even ring (SecureNN, Algorithm 1, for single numbers). The assistant makes the
//! triples online. A product with a shared bit is SecureNN's select.

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, BLOCK, Computing, Cost, Scratch, encode, exchange_len, modular::Modulus,
    receive_words, word_len,
};

/// The product of shares in Z_2^bits, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// l, from 2 to 64.
    pub bits: u32,
}

const LEFT: u8 = 0;
const RIGHT: u8 = 1;
const BOTH: u8 = 2;

impl Product {
    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    fn times(self, a: u64, b: u64) -> u64 {
        self.ring().take(a.wrapping_mul(b))
    }

    /// Cost for `len` products, 5l bits each: P1's share of the triple from the assistant, and the opening.
    pub fn cost(self, len: usize) -> Cost {
        Cost {
            bytes: (len * word_len(self.bits)) as u64 + 2 * exchange_len(self.bits, len),
            messages: 2,
            rounds: 1,
        }
    }

    /// The computing parties' part: replaces shares `x` by shares of x y. `words` is scratch memory of three words for
    /// each product.
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
        for (wire, masked, values) in [(LEFT, &mut *e, &*x), (RIGHT, &mut *f, y)] {
            // The stream's words are not reduced; the difference is.
            cx.assistant().fill(at.wire(wire), 0, masked);
            for (masked, &value) in masked.iter_mut().zip(values) {
                *masked = ring.minus(value, *masked);
            }
        }
        cx.open(self.bits, [&mut *e, &mut *f])?;
        match cx.role() {
            Role::P0 => {
                cx.assistant().fill(at.wire(BOTH), 0, other);
                for (product, (&e, &f)) in other.iter_mut().zip(e.iter().zip(f.iter())) {
                    *product = ring.minus(*product, self.times(e, f));
                }
            }
            Role::P1 => receive_words(cx, self.bits, other)?,
        }
        for (index, x) in x.iter_mut().enumerate() {
            let cross = ring.plus(self.times(*x, f[index]), self.times(e[index], y[index]));
            *x = ring.plus(cross, other[index]);
        }
        Ok(())
    }

    /// The assistant's part for `len` products.
    pub fn assist<A: Assisting>(self, cx: &mut A, at: At, len: usize) -> Result<(), LinkError> {
        let ring = self.ring();
        for first in (0..len).step_by(BLOCK) {
            let count = BLOCK.min(len - first);
            let draw = |role, wire| {
                let mut words = [0u64; BLOCK];
                cx.prg(role)
                    .fill(at.wire(wire), first as u64, &mut words[..count]);
                words
            };
            // Sums and products are modulo 2^64; the last step reduces them.
            let mut products = draw(Role::P0, LEFT);
            add(&mut products, &draw(Role::P1, LEFT));
            let mut right = draw(Role::P0, RIGHT);
            add(&mut right, &draw(Role::P1, RIGHT));
            let both = draw(Role::P0, BOTH);
            for (product, (&right, &both)) in products.iter_mut().zip(right.iter().zip(&both)) {
                *product = ring.minus(product.wrapping_mul(right), both);
            }
            let mut bytes = [0; 8 * BLOCK];
            cx.send_to(Role::P1, encode(self.bits, &products[..count], &mut bytes))?;
        }
        Ok(())
    }
}

fn add(to: &mut [u64], words: &[u64]) {
    for (to, &word) in to.iter_mut().zip(words) {
        *to = to.wrapping_add(word);
    }
}

impl<'a> Scratch<'a> {
    /// The last three lists of words, for a product.
    pub(super) fn for_product(&mut self) -> [&mut [u64]; 3] {
        let [_, _, _, e, f, other] = &mut self.words;
        [e, f, other]
    }
}
