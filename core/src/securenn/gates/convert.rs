//! Share convert (SecureNN, Algorithm 4): from shares in the even ring Z_2^l to shares in the odd ring Z_(2^l - 1). The
//! value must not be 2^l - 1, which the odd ring does not have.
//!
//! As integers, the shares of a value add up to the value, plus 2^l if their sum wraps. In the odd ring 2^l is 1, so
//! the parties subtract shares of the wrap. To find it, they open the value to the assistant, blinded by r. The wrap
//! follows from three others and one comparison: the wrap of the two messages, the wrap of the shares of r, each
//! party's wrap of its share and its part of r, and whether the blinded value is below r.

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, Computing, Cost, Scratch,
    compare::{Bound, Compare},
    gather_words,
    modular::Modulus,
    receive_words, send_words, share_words, word_len,
};

/// The conversion of shares in Z_2^bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convert {
    /// l, from 2 to 64.
    pub bits: u32,
}

const BLIND: u8 = 0;
const HIDE: u8 = 1;
const WRAP: u8 = 2;
const ANSWER: u8 = 3;
const OTHER_BLIND: u8 = 4;

const COMPARE: u32 = 1;

impl Convert {
    fn even(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    fn odd(self) -> Modulus {
        Modulus::Odd(self.bits)
    }

    fn compare(self) -> Compare {
        Compare { bits: self.bits }
    }

    /// 1 if the sum of two elements of the even ring wraps, else 0.
    fn wraps(self, a: u64, b: u64) -> u64 {
        ((u128::from(a) + u128::from(b)) >> self.bits) as u64
    }

    /// Cost for `len` elements, each of 4l field elements and 6l bits: the blinded value, the assistant's shares, the
    /// comparison and its answer.
    pub fn cost(self, len: usize) -> Cost {
        let compare = self.compare();
        let words = Cost {
            bytes: (6 * len * word_len(self.bits)) as u64,
            messages: 3,
            // The parties wait for the assistant's shares and for the comparison's answer.
            rounds: 2,
        };
        compare.cost(len) + compare.sharing_cost(len) + words
    }

    /// The computing parties' part: replaces shares in the even ring by shares in the odd ring.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (len, even) = (shares.len(), self.even());
        let bits = &mut scratch.bits[..len * self.bits as usize];
        let words = scratch.words.each_mut().map(|words| &mut words[..len]);
        let [blinded, wraps, answers, first, second, hide] = words;
        // r = first + second blinds an element: P0 adds `first`, P1 adds `second`. `hide` masks the comparison's
        // answer. The assistant knows none of them.
        for (wire, words) in [
            (BLIND, &mut *first),
            (OTHER_BLIND, &mut *second),
            (HIDE, &mut *hide),
        ] {
            cx.pair().fill(at.wire(wire), 0, words);
        }
        for (first, second) in first.iter_mut().zip(second.iter_mut()) {
            (*first, *second) = (even.uniform(*first), even.uniform(*second));
        }
        let own = match cx.role() {
            Role::P0 => &*first,
            Role::P1 => &*second,
        };
        for (blinded, (&share, &blind)) in blinded.iter_mut().zip(shares.iter().zip(own)) {
            *blinded = even.plus(share, blind);
        }
        send_words(cx, self.bits, blinded)?;
        receive_words(cx, self.bits, wraps)?;
        self.compare().run(cx, at.part(COMPARE), bits, |index| {
            let r = even.plus(first[index], second[index]);
            Bound {
                value: even.minus(r, 1),
                below_all: u64::from(r == 0),
                hide: hide[index] & 1,
            }
        })?;
        receive_words(cx, self.bits, answers)?;
        let odd = self.odd();
        for (index, share) in shares.iter_mut().enumerate() {
            let hide = hide[index] & 1;
            let own_wrap = self.wraps(*share, own[index]);
            // answer xor hide is linear in the answer's share, since both parties know `hide`. P0 adds public values.
            let public = match cx.role() {
                Role::P0 => odd.minus(hide, self.wraps(first[index], second[index]) + 1),
                Role::P1 => 0,
            };
            let below = odd.plus(odd.flip(answers[index], hide), public);
            let wrap = odd.plus(odd.plus(own_wrap, wraps[index]), below);
            *share = odd.minus(odd.take(*share), wrap);
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
        let [first, second, ..] = &mut scratch.words;
        let (first, second) = (&mut first[..len], &mut second[..len]);
        gather_words(cx, self.bits, [&mut *first, &mut *second])?;
        for (first, second) in first.iter_mut().zip(second.iter_mut()) {
            let wraps = self.wraps(*first, *second);
            *first = self.even().plus(*first, *second);
            *second = wraps;
        }
        share_words(cx, at.wire(WRAP), self.odd(), second)?;
        self.compare().share_bits(cx, at.part(COMPARE), first)?;
        self.compare().assist(cx, first)?;
        share_words(cx, at.wire(ANSWER), self.odd(), first)
    }
}
