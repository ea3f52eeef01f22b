//! Private compare: whether a number that the assistant has shared bit by bit is above a bound that both computing
//! parties know. The assistant learns the answer, hidden by a bit of theirs (SecureNN, Algorithm 3).
//!
//! Of the lists c_i one entry at most is zero: where the numbers first differ, if they differ the right way. Each
//! entry is multiplied by a unit of the field that the assistant does not know, and the list is turned by a number
//! of places that it does not know: all it sees is whether there is a zero, at a place that is uniform. (The paper
//! permutes; with one zero at most, a turn hides as much.)
//!
//! The assistant has drawn both shares of every bit, so it could compute both parties' shares of c_i for any bound that
//! it guesses, and the unit is the same in both: their quotient would tell a right guess from a wrong one. So a fresh
//! share of zero is added to each entry, and what a party sends is uniform whatever the other one does.

use crate::{Role, net::link::LinkError};

use super::{
    Assisting, At, Computing, Cost,
    modular::{P, below, choice, field},
};

/// A comparison of numbers of `bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Bits of the numbers.
    pub bits: u32,
}

/// What a number is compared with, and the bit that hides the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The bound.
    pub value: u64,
    /// 1 if the bound is -1 in the place of `value`: every number is above it.
    pub below_all: u64,
    /// The bit that hides the answer.
    pub hide: u64,
}

const UNIT: u8 = 0;
const ZERO: u8 = 1;
const TURN: u8 = 2;

/// The most bits of a number.
const MAX_BITS: usize = 64;

/// Lists that travel together.
const BLOCK: usize = 16;

impl Compare {
    fn len(self) -> usize {
        self.bits as usize
    }

    /// hide xor `[x > bound]`.
    pub fn ideal(self, x: u64, bound: Bound) -> u64 {
        let above = bound.below_all == 1 || x > bound.value;
        bound.hide ^ u64::from(above)
    }

    /// Cost for `len` elements: a list of field elements from each computing party.
    pub fn cost(self, len: usize) -> Cost {
        Cost {
            bytes: 2 * (len * self.len()) as u64,
            messages: 1,
            rounds: 0,
        }
    }

    /// Cost of sharing the bits of `len` numbers: the assistant's part before a comparison; no round of its own.
    pub fn sharing_cost(self, len: usize) -> Cost {
        Cost {
            bytes: 2 * (len * self.len()) as u64,
            messages: 0,
            rounds: 0,
        }
    }

    /// The assistant shares the bits of numbers, the lowest first, in the field.
    pub(super) fn share_bits<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        numbers: &[u64],
    ) -> Result<(), LinkError> {
        let len = self.len();
        let mut first = 0;
        for numbers in numbers.chunks(BLOCK) {
            let (mut shares, mut others) = ([0; BLOCK * MAX_BITS], [0; BLOCK * MAX_BITS]);
            let lists = shares
                .chunks_exact_mut(len)
                .zip(others.chunks_exact_mut(len));
            for (&number, (shares, others)) in numbers.iter().zip(lists) {
                let mut words = [0u64; MAX_BITS];
                cx.own().fill(at.wire(UNIT), first, &mut words[..len]);
                first += u64::from(self.bits);
                let both = shares.iter_mut().zip(others);
                for ((share, other), (word, bit)) in both.zip(words.iter().zip(bits_of(number))) {
                    *share = field::uniform(*word);
                    *other = field::minus(bit, *share);
                }
            }
            cx.tell(Role::P0, &shares[..numbers.len() * len])?;
            cx.tell(Role::P1, &others[..numbers.len() * len])?;
        }
        Ok(())
    }

    /// Compares numbers whose bits are shared in the field with bounds: one list of `bits` shares for each.
    pub(super) fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &[u8],
        bound: impl Fn(usize) -> Bound,
    ) -> Result<(), LinkError> {
        let len = self.len();
        let mut first = 0;
        for shares in shares.chunks(BLOCK * len) {
            let mut turns = [0u64; BLOCK];
            cx.pair().fill(at.wire(TURN), first as u64, &mut turns);
            let mut lists = [0; BLOCK * MAX_BITS];
            let lists = &mut lists[..shares.len()];
            let both = lists.chunks_exact_mut(len).zip(shares.chunks_exact(len));
            for (place, ((list, shares), turned)) in (first..).zip(both.zip(turns)) {
                self.list(cx, at, place as u64, shares, bound(place), list);
                turn(list, below(turned, self.bits));
            }
            cx.tell_assistant(lists)?;
            first += BLOCK;
        }
        Ok(())
    }

    /// This party's share of the list that the assistant searches.
    fn list<C: Computing>(
        self,
        cx: &C,
        at: At,
        place: u64,
        shares: &[u8],
        bound: Bound,
        list: &mut [u8],
    ) {
        let len = self.len();
        let first = place * u64::from(self.bits);
        let (mut zeros, mut units) = ([0u64; MAX_BITS], [0u64; MAX_BITS]);
        cx.pair().fill(at.wire(ZERO), first, &mut zeros[..len]);
        cx.pair().fill(at.wire(UNIT), first, &mut units[..len]);
        // What a peer sends may be any byte. All that follows works on as many lanes, whatever their number: those
        // past the last bit are zero and stay out of the sums.
        let mut own = [0; MAX_BITS];
        for (own, &share) in own.iter_mut().zip(shares) {
            *own = u16::from(field::reduce(share.into()));
        }
        // [x > v] is found by c_i = v_i - x_i + 1 + sum, and its opposite, against v + 1, by the opposite signs.
        let top = u64::MAX >> (64 - self.bits);
        let against = bits_of(bound.value.wrapping_add(bound.hide) & top);
        // The answers that no list would give: [x > -1] is 1, [x > 2^bits - 1] is 0.
        let is_top = u64::from(bound.value ^ top == 0);
        let forced = choice(bound.below_all | (bound.hide & is_top)) as u16;
        let found = (bound.hide ^ bound.below_all) as u16;
        let one = cx.role().index() as u16;
        let lists = differences(&own, &against, one, bound.hide);
        // What stands in the place of a forced answer: a zero in the first entry, or nowhere.
        let mut dummies = [one; MAX_BITS];
        dummies[0] -= found & one;
        let fresh = shares_of_zero(&zeros, one);
        let lanes = lists.iter().zip(&dummies).zip(units.iter().zip(&fresh));
        for (list, ((&c, &dummy), (&unit, &fresh))) in list.iter_mut().zip(lanes) {
            let chosen = field::reduce((c & !forced) | (dummy & forced));
            let product = u16::from(field::unit(unit)) * u16::from(chosen);
            *list = field::reduce(product + fresh);
        }
    }

    /// The assistant's part: `found` gets each number's answer, still hidden.
    pub(super) fn assist<A: Assisting>(
        self,
        cx: &mut A,
        found: &mut [u64],
    ) -> Result<(), LinkError> {
        let len = self.len();
        for found in found.chunks_mut(BLOCK) {
            let (mut first, mut second) = ([0; BLOCK * MAX_BITS], [0; BLOCK * MAX_BITS]);
            let first = &mut first[..found.len() * len];
            let second = &mut second[..found.len() * len];
            cx.hear(Role::P0, first)?;
            cx.hear(Role::P1, second)?;
            let lists = first.chunks_exact(len).zip(second.chunks_exact(len));
            for (found, (first, second)) in found.iter_mut().zip(lists) {
                let zeros = first.iter().zip(second).map(|(&a, &b)| {
                    // What a peer sends may be any byte.
                    u8::from(field::reduce(u16::from(a) + u16::from(b)) == 0)
                });
                *found = zeros.fold(0, |any, zero| any | zero).into();
            }
        }
        Ok(())
    }
}

const MODULUS: u16 = P as u16;

/// A value for each bit, in small words, so that a vector takes many.
type Lanes = [u16; MAX_BITS];

/// The bits of a number, the lowest first.
fn bits_of(number: u64) -> [u8; MAX_BITS] {
    let mut bits = [0; MAX_BITS];
    for (bits, byte) in bits.chunks_exact_mut(8).zip(number.to_le_bytes()) {
        for (place, bit) in bits.iter_mut().enumerate() {
            *bit = byte >> place & 1;
        }
    }
    bits
}

/// A party's shares of c_i, not reduced: sums of at most 66 elements and two. `one` is 1 for the party that adds what
/// is public, and `hide` says which signs they have.
fn differences(own: &Lanes, against: &[u8; MAX_BITS], one: u16, hide: u64) -> Lanes {
    let opposite = choice(hide) as u16;
    let (mut lists, mut flipped) = ([0; MAX_BITS], [0; MAX_BITS]);
    let both = lists.iter_mut().zip(&mut flipped);
    for ((list, flipped), (&share, &bit)) in both.zip(own.iter().zip(against)) {
        let bit = u16::from(bit);
        let public = one & bit;
        let difference = share + MODULUS - public;
        *list = one + ((difference & opposite) | ((2 * MODULUS - difference) & !opposite));
        // x_i xor bit, which is linear in the share of x_i.
        let is_set = bit.wrapping_neg();
        *flipped = (share & !is_set) | ((one + MODULUS - share) & is_set);
    }
    let mut sum = 0;
    for (list, flipped) in lists.iter_mut().zip(&flipped).rev() {
        *list += sum;
        sum += flipped;
    }
    lists
}

/// A party's shares of zeros, not reduced, from words that both parties have drawn: `one` is 1 for the one that takes
/// the other sign.
fn shares_of_zero(words: &[u64; MAX_BITS], one: u16) -> Lanes {
    let is_second = one.wrapping_neg();
    words.map(|word| {
        let share = u16::from(field::uniform(word));
        (share & !is_second) | ((MODULUS - share) & is_second)
    })
}

/// Turns a list to the left by a number of places below its length, which nothing here depends on: steps of every
/// power of two are made, and each is taken or left.
fn turn(list: &mut [u8], places: u32) {
    let len = list.len();
    let mut twice = [0; 2 * MAX_BITS];
    for power in (0..6).take_while(|power| 1 << power < len) {
        twice[..len].copy_from_slice(list);
        twice[len..2 * len].copy_from_slice(list);
        let taken = choice(u64::from(places >> power & 1)) as u8;
        for (entry, turned) in list.iter_mut().zip(&twice[1 << power..]) {
            *entry = (*entry & !taken) | (turned & taken);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;
    use crate::{
        prg::{Key, Prg},
        securenn::{gates::tests::AT, harness::run},
    };

    /// Whether what both parties have sent fits the shares of c_i that a guess of the bound gives, at any turn: with
    /// one unit for both and nothing else, the quotients would be the same.
    fn fits(sent: [&[u8]; 2], shares: [&[u8]; 2], bound: Bound) -> bool {
        let against = bits_of(bound.value.wrapping_add(bound.hide));
        let [first, second] = [0, 1].map(|one| {
            let mut own = [0; MAX_BITS];
            for (own, &share) in own.iter_mut().zip(shares[usize::from(one)]) {
                *own = share.into();
            }
            differences(&own, &against, one, bound.hide).map(field::reduce)
        });
        let len = sent[0].len();
        let product = |a: u8, b: u8| field::reduce(u16::from(a) * u16::from(b));
        (0..len).any(|turned| {
            (0..len).all(|place| {
                let from = (place + turned) % len;
                product(sent[0][place], second[from]) == product(sent[1][place], first[from])
            })
        })
    }

    #[test]
    fn the_shares_that_the_assistant_has_drawn_do_not_tell_it_the_bound() {
        let (gate, len) = (Compare { bits: 8 }, 500);
        let mut words = vec![0u64; 10 * len];
        Prg::new(Key::new([4; Key::LEN])).fill(AT.wire(0), 0, &mut words);
        let (numbers, words) = words.split_at(len);
        let (values, words) = words.split_at(len);
        let bounds: Vec<Bound> = values
            .iter()
            .map(|&word| Bound {
                value: word & 0x7F,
                below_all: 0,
                hide: word >> 8 & 1,
            })
            .collect();
        let bits = numbers.iter().map(|&number| bits_of(number));
        let bits: Vec<u8> = bits.flat_map(|bits| bits[..8].to_vec()).collect();
        let first: Vec<u8> = words.iter().map(|&word| field::uniform(word)).collect();
        let pairs = bits.iter().zip(&first);
        let second = pairs
            .map(|(&bit, &share)| field::minus(bit, share))
            .collect();
        let shares = [first, second];
        let ran = run(
            7,
            |cx| gate.run(cx, AT, &shares[cx.role().index()], |place| bounds[place]),
            |cx| {
                let mut found = vec![0; len];
                gate.assist(cx, &mut found).map(|()| found)
            },
        );
        for (place, (&number, &bound)) in numbers.iter().zip(&bounds).enumerate() {
            assert_eq!(ran.answer[place], gate.ideal(number & 0xFF, bound));
            let list = 8 * place..8 * (place + 1);
            let sent = [0, 1].map(|role: usize| &ran.heard[role][list.clone()]);
            let shares = [0, 1].map(|role: usize| &shares[role][list.clone()]);
            assert!(!fits(sent, shares, bound), "{number} {bound:?}");
        }
    }
}
