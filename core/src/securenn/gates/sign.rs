//! The most significant bit, the derivative of ReLU, and ReLU (SecureNN, Algorithms 5, 6 and 7).

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, Computing, Cost, Scratch,
    compare::{Bound, Compare},
    convert::Convert,
    exchange_len,
    modular::Modulus,
    product::Product,
    receive_words, share_words, word_len,
};

/// From shares in the odd ring Z_(2^bits - 1) to shares of the most significant bit in the even ring (SecureNN,
/// Algorithm 5).
///
/// In the odd ring the most significant bit of a is the least significant bit of 2 a. That bit is r_0 xor x_0 xor
/// `[x > r]`, where r = 2 a + x is an opening and x a mask that the assistant draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopBit {
    /// l, from 2 to 64.
    pub bits: u32,
}

const HIDE: u8 = 0;
const DRAW: u8 = 1;
const MASK: u8 = 2;
const LOW: u8 = 3;
const ANSWER: u8 = 4;

const COMPARE: u32 = 1;
const PRODUCT: u32 = 2;

impl TopBit {
    fn even(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    fn odd(self) -> Modulus {
        Modulus::Odd(self.bits)
    }

    fn compare(self) -> Compare {
        Compare { bits: self.bits }
    }

    fn product(self) -> Product {
        Product { bits: self.bits }
    }

    /// Cost for `len` elements, 4l field elements and 13l bits each.
    pub fn cost(self, len: usize) -> Cost {
        let words = Cost {
            bytes: (6 * len * word_len(self.bits)) as u64 + exchange_len(self.bits, len),
            // The assistant's shares, the exchange and the answer, which also carries the product's triple.
            messages: 3 - 1,
            // The parties wait for the opening and for the comparison's answer.
            rounds: 2,
        };
        let compare = self.compare();
        compare.cost(len) + compare.sharing_cost(len) + words + self.product().cost(len)
    }

    /// The computing parties' part: replaces shares in the odd ring by shares of the top bit in the even ring.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (len, odd, even) = (shares.len(), self.odd(), self.even());
        let is_first = cx.role() == Role::P0;
        {
            let bits = &mut scratch.bits[..len * self.bits as usize];
            let words = scratch.words.each_mut().map(|words| &mut words[..len]);
            let [opened, low, answers, other, hide, _] = words;
            cx.pair().fill(at.wire(HIDE), 0, hide);
            receive_words(cx, self.bits, opened)?;
            receive_words(cx, self.bits, low)?;
            for (opened, &share) in opened.iter_mut().zip(shares.iter()) {
                *opened = odd.plus(odd.plus(share, share), *opened);
            }
            cx.exchange(self.bits, opened, other)?;
            for (opened, &other) in opened.iter_mut().zip(other.iter()) {
                *opened = odd.plus(*opened, odd.take(other));
            }
            self.compare()
                .run(cx, at.part(COMPARE), bits, |index| Bound {
                    value: opened[index],
                    below_all: 0,
                    hide: hide[index] & 1,
                })?;
            receive_words(cx, self.bits, answers)?;
            for index in 0..len {
                let public = |bit: u64| if is_first { bit } else { 0 };
                let hide = hide[index] & 1;
                // Both parties know one operand of each xor, so it is linear in the shares of the other.
                shares[index] = even.plus(even.flip(answers[index], hide), public(hide));
                let bit = opened[index] & 1;
                low[index] = even.plus(even.flip(low[index], bit), public(bit));
                answers[index] = shares[index];
            }
        }
        // Both operands of the last xor are shared: a xor b = a + b - 2 a b.
        let [_, low, sum, e, f, other] = &mut scratch.words;
        let (low, sum) = (&low[..len], &mut sum[..len]);
        let words: [&mut [u64]; 3] = [e, f, other];
        self.product()
            .run(cx, at.part(PRODUCT), shares, low, words)?;
        for (index, share) in shares.iter_mut().enumerate() {
            let both = even.plus(sum[index], low[index]);
            *share = even.minus(both, even.plus(*share, *share));
        }
        Ok(())
    }

    /// The assistant's part for `len` elements.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let [numbers, values, ..] = &mut scratch.words;
        let (numbers, values) = (&mut numbers[..len], &mut values[..len]);
        cx.own().fill(at.wire(DRAW), 0, numbers);
        for number in numbers.iter_mut() {
            *number = self.odd().uniform(*number);
        }
        values.copy_from_slice(numbers);
        share_words(cx, at.wire(MASK), self.odd(), values)?;
        for (value, number) in values.iter_mut().zip(numbers.iter()) {
            *value = number & 1;
        }
        share_words(cx, at.wire(LOW), self.even(), values)?;
        self.compare().share_bits(cx, at.part(COMPARE), numbers)?;
        self.compare().assist(cx, numbers)?;
        share_words(cx, at.wire(ANSWER), self.even(), numbers)?;
        self.product().assist(cx, at.part(PRODUCT), len)
    }
}

/// The derivative of ReLU (SecureNN, Algorithm 6): 1 for a number that is not negative, else 0. Numbers are in
/// [-2^(bits-2), 2^(bits-2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivative {
    /// l, from 3 to 64.
    pub bits: u32,
}

const CONVERT: u32 = 0;
const TOP_BIT: u32 = 2;

impl Derivative {
    fn parts(self) -> (Convert, TopBit) {
        let bits = self.bits;
        (Convert { bits }, TopBit { bits })
    }

    /// 1 if `x`, an element of Z_2^bits, is not negative as a signed number, else 0.
    pub fn ideal(self, x: u64) -> u64 {
        1 ^ (x >> (self.bits - 1) & 1)
    }

    /// Cost for `len` elements, 8l field elements and 19l bits each.
    pub fn cost(self, len: usize) -> Cost {
        let (convert, top) = self.parts();
        // The assistant sends its shares for the top bit with the conversion's answer.
        let mut cost = convert.cost(len) + top.cost(len);
        cost.messages -= 1;
        cost
    }

    /// The computing parties' part: replaces shares of numbers by shares of the derivative, in the same ring.
    ///
    /// The gate converts twice the number. That is even, so it is never 2^bits - 1, which the odd ring does not have.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (even, (convert, top)) = (Modulus::Even(self.bits), self.parts());
        for share in shares.iter_mut() {
            *share = even.plus(*share, *share);
        }
        convert.run(cx, at.part(CONVERT), shares, scratch)?;
        top.run(cx, at.part(TOP_BIT), shares, scratch)?;
        let one = u64::from(cx.role() == Role::P0);
        for share in shares {
            *share = even.minus(one, *share);
        }
        Ok(())
    }

    /// The assistant's part for `len` elements.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (convert, top) = self.parts();
        convert.assist(cx, at.part(CONVERT), len, scratch)?;
        top.assist(cx, at.part(TOP_BIT), len, scratch)
    }
}

/// ReLU: max(x, 0) for numbers in [-2^(bits-2), 2^(bits-2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu {
    /// l, from 3 to 64.
    pub bits: u32,
}

const SELECT: u32 = 5;

impl Relu {
    fn parts(self) -> (Derivative, Product) {
        let bits = self.bits;
        (Derivative { bits }, Product { bits })
    }

    /// max(x, 0) of an element of Z_2^bits as a signed number.
    pub fn ideal(self, x: u64) -> u64 {
        x * self.parts().0.ideal(x)
    }

    /// Cost for `len` elements, 8l field elements and 24l bits each.
    pub fn cost(self, len: usize) -> Cost {
        let (derivative, product) = self.parts();
        derivative.cost(len) + product.cost(len)
    }

    /// The computing parties' part: replaces shares of numbers by shares of max(x, 0). `derivative` gets shares of the
    /// derivative, for the backward pass.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &mut [u64],
        derivative: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (sign, product) = self.parts();
        let derivative = &mut derivative[..shares.len()];
        derivative.copy_from_slice(shares);
        sign.run(cx, at, derivative, scratch)?;
        product.run(
            cx,
            at.part(SELECT),
            shares,
            derivative,
            scratch.for_product(),
        )
    }

    /// The assistant's part for `len` elements.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (sign, product) = self.parts();
        sign.assist(cx, at, len, scratch)?;
        product.assist(cx, at.part(SELECT), len)
    }
}
