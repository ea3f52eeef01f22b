//! Division (SecureNN, Algorithm 7): long division, with one comparison for each bit of the quotient. Unlike the
//! paper's, it guards against a divisor of 0, which it replaces by 1.

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, Computing, Cost, GATES, Scratch, modular::Modulus, product::Product,
    sign::Derivative,
};

/// floor(2^fraction x / y), for numbers 0 <= x <= y with 2^fraction y below 2^(bits-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// l, at most 64.
    pub bits: u32,
    /// Fraction bits of the quotient.
    pub fraction: u32,
}

const SELECT: u32 = 5;

/// Memory of a computing party beside [`Scratch`]: one word of each list for each quotient.
pub struct Remainders<'a> {
    /// The remainder.
    pub rest: &'a mut [u64],
    /// The number to compare, then a bit of the quotient.
    pub bit: &'a mut [u64],
    /// The part to subtract from the remainder.
    pub part: &'a mut [u64],
}

impl Division {
    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    /// The gates that this one is made of.
    fn parts(self) -> (Derivative, Product) {
        let bits = self.bits;
        (Derivative { bits }, Product { bits })
    }

    /// The quotient floor(2^fraction x / y), with 1 for a `y` of 0.
    pub fn ideal(self, x: u64, y: u64) -> u64 {
        (x << self.fraction) / y.max(1)
    }

    /// Cost for `len` quotients: 8l field elements and 24l bits for each of fraction + 1 bits, and one comparison for
    /// the guard.
    pub fn cost(self, len: usize) -> Cost {
        let (derivative, product) = self.parts();
        let (compared, selected) = (derivative.cost(len), product.cost(len));
        let bits = u64::from(self.fraction) + 1;
        Cost {
            bytes: (compared.bytes + selected.bytes) * bits + compared.bytes,
            messages: (compared.messages + selected.messages) * bits + compared.messages,
            rounds: (compared.rounds + selected.rounds) * bits + compared.rounds,
        }
    }

    /// The computing parties' part: replaces shares of the dividends `x` by shares of the quotients, at `fraction`
    /// fraction bits. Replaces divisors `y` of 0 by 1.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        x: &mut [u64],
        y: &mut [u64],
        memory: &mut Remainders<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (ring, len) = (self.ring(), x.len());
        let (derivative, product) = self.parts();
        let one = u64::from(cx.role() == Role::P0);
        let rest = &mut memory.rest[..len];
        let (bit, part) = (&mut memory.bit[..len], &mut memory.part[..len]);
        // Adds 1 - [y >= 1] to y.
        for (bit, &y) in bit.iter_mut().zip(y.iter()) {
            *bit = ring.minus(y, one);
        }
        derivative.run(cx, at, bit, scratch)?;
        for (y, &positive) in y.iter_mut().zip(bit.iter()) {
            *y = ring.plus(*y, ring.minus(one, positive));
        }
        for (rest, x) in rest.iter_mut().zip(x.iter_mut()) {
            *rest = ring.take(*x << self.fraction);
            *x = 0;
        }
        for shift in (0..=self.fraction).rev() {
            let at = at.part(GATES * (shift + 1));
            for ((part, bit), (&y, &rest)) in part
                .iter_mut()
                .zip(bit.iter_mut())
                .zip(y.iter().zip(rest.iter()))
            {
                *part = ring.take(y << shift);
                *bit = ring.minus(rest, *part);
            }
            derivative.run(cx, at, bit, scratch)?;
            product.run(cx, at.part(SELECT), part, bit, scratch.for_product())?;
            for ((x, rest), (&part, &bit)) in x
                .iter_mut()
                .zip(rest.iter_mut())
                .zip(part.iter().zip(bit.iter()))
            {
                *rest = ring.minus(*rest, part);
                *x = ring.plus(*x, ring.take(bit << shift));
            }
        }
        Ok(())
    }

    /// The assistant's part for `len` quotients.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (derivative, product) = self.parts();
        derivative.assist(cx, at, len, scratch)?;
        for shift in (0..=self.fraction).rev() {
            let at = at.part(GATES * (shift + 1));
            derivative.assist(cx, at, len, scratch)?;
            product.assist(cx, at.part(SELECT), len)?;
        }
        Ok(())
    }
}
