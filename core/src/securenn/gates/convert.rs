//! Share convert: from the even ring Z_2^l to the odd ring Z_(2^l - 1) (SecureNN, Algorithm 4). The value may not be
//! 2^l - 1, which the odd ring does not have.
//!
//! As integers the shares of a value add up to it, plus 2^l if they wrap; in the odd ring 2^l is 1. So the wrap is
//! what has to be found, and it is: blinded by r, the value is opened to the assistant, whose wrap, those of the blinding
//! and whether the blinded value is below r are together the one that is sought.

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, Computing, Cost, Scratch,
    compare::{Bound, Compare},
    gather_words, hear_words,
    modular::Modulus,
    share_words, tell_words, word_len,
};

/// The conversion of shares of `bits` bits.
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

    /// 1 if the sum of two elements of the even ring wraps.
    fn wraps(self, a: u64, b: u64) -> u64 {
        ((u128::from(a) + u128::from(b)) >> self.bits) as u64
    }

    /// Cost for `len` elements, 4l elements of the field and 6l bits for each: the blinded value, then the
    /// assistant's shares, the comparison, its answer.
    pub fn cost(self, len: usize) -> Cost {
        let compare = self.compare();
        let words = Cost {
            bytes: (6 * len * word_len(self.bits)) as u64,
            messages: 3,
            // For the assistant's shares, and for the comparison's answer.
            rounds: 2,
        };
        compare.cost(len) + compare.sharing_cost(len) + words
    }

    /// Replaces shares in the even ring by shares in the odd one.
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
        // Both parts of the number that blinds an element, of which P0 adds the first and P1 the second; and the bit
        // that hides the comparison's answer. The assistant knows none of them.
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
        tell_words(cx, self.bits, blinded)?;
        hear_words(cx, self.bits, wraps)?;
        cx.hear_assistant(bits)?;
        self.compare().run(cx, at.part(COMPARE), bits, |place| {
            let r = even.plus(first[place], second[place]);
            Bound {
                value: even.minus(r, 1),
                below_all: u64::from(r == 0),
                hide: hide[place] & 1,
            }
        })?;
        hear_words(cx, self.bits, answers)?;
        let odd = self.odd();
        for (place, share) in shares.iter_mut().enumerate() {
            let hide = hide[place] & 1;
            let own_wrap = self.wraps(*share, own[place]);
            // The answer xor what hides it: linear, since both parties know that bit. P0 adds what is public.
            let public = match cx.role() {
                Role::P0 => odd.minus(hide, self.wraps(first[place], second[place]) + 1),
                Role::P1 => 0,
            };
            let below = odd.plus(odd.flip(answers[place], hide), public);
            let wrap = odd.plus(odd.plus(own_wrap, wraps[place]), below);
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
