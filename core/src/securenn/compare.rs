//! Private compare: whether a number that the assistant has shared bit by bit is above a bound that both computing
//! parties know. The assistant learns the answer, hidden by a bit of theirs (SecureNN, Algorithm 3).
//!
//! Of the lists c_i one entry at most is zero: where the numbers first differ, if they differ the right way. Each
//! entry is multiplied by a unit of the field that the assistant does not know, and the list is turned by a number
//! of places that it does not know: all it sees is whether there is a zero, at a place that is uniform. (The paper
//! permutes; with one zero at most, a turn hides as much.)

use crate::{Role, link::LinkError};

use super::{
    Assisting, At, Computing, Cost, draw,
    modular::{P, field},
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
const FORCED: u8 = 1;
const TURN: u8 = 2;

/// The most bits of a number.
const MAX_BITS: usize = 64;

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
            rounds: 1,
        }
    }

    /// Cost of sharing the bits of `len` numbers: the assistant's part before a comparison; no round of its own.
    pub fn sharing_cost(self, len: usize) -> Cost {
        Cost {
            bytes: 2 * (len * self.len()) as u64,
            rounds: 0,
        }
    }

    /// The assistant shares the bits of a number, the lowest first, in the field.
    pub(super) fn share_bits<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        place: u64,
        number: u64,
    ) -> Result<(), LinkError> {
        let mut words = [0u64; MAX_BITS];
        let words = &mut words[..self.len()];
        let first = place * u64::from(self.bits);
        cx.own().fill(at.wire(UNIT), first, words);
        let (mut shares, mut others) = ([0; MAX_BITS], [0; MAX_BITS]);
        for (i, &mut word) in words.iter_mut().enumerate() {
            shares[i] = field::uniform(word);
            others[i] = field::minus((number >> i & 1) as u8, shares[i]);
        }
        cx.tell(Role::P0, &shares[..self.len()])?;
        cx.tell(Role::P1, &others[..self.len()])
    }

    /// Compares numbers whose bits are shared in the field with bounds: one list of `bits` shares for each.
    pub(super) fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        shares: &[u8],
        bound: impl Fn(&C, usize) -> Bound,
    ) -> Result<(), LinkError> {
        for (place, shares) in shares.chunks_exact(self.len()).enumerate() {
            let mut list = [0; MAX_BITS];
            let list = &mut list[..self.len()];
            let bound = bound(cx, place);
            self.list(cx, at, place as u64, shares, bound, list);
            cx.tell_assistant(list)?;
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
        let (one, pair) = (cx.role().index() as u8, cx.pair());
        let first = place * u64::from(self.bits);
        let hide = (bound.hide & 1) as u8;
        // [x > v] is found by c_i = v_i - x_i + 1 + sum, and its opposite, against v + 1, by the opposite signs.
        let top = u64::MAX >> (64 - self.bits);
        let against = bound.value.wrapping_add(bound.hide) & top;
        let sign = field::minus(field::times(2, hide), 1);
        // The answers that no list would give: [x > -1] is 1, [x > 2^bits - 1] is 0.
        let is_top = u64::from(bound.value ^ top == 0);
        let forced = (bound.below_all | (bound.hide & is_top)) as u8;
        let found = (bound.hide ^ bound.below_all) as u8;
        let mut sum = 0;
        for i in (0..self.len()).rev() {
            let bit = (against >> i & 1) as u8;
            let difference = field::minus(shares[i], field::times(one, bit));
            let c = field::plus(field::times(sign, difference), field::plus(one, sum));
            // x_i xor bit, which is linear in the share of x_i.
            let flipped = field::times(shares[i], field::minus(1, 2 * bit));
            sum = field::plus(sum, field::plus(flipped, field::times(one, bit)));
            // In the place of a forced answer, shares of a zero in the first entry or nowhere.
            let mask = field::uniform(draw(pair, at.wire(FORCED), first + i as u64));
            let last = u8::from(i == 0);
            let value = 1 - (found & last);
            let dummy = field::plus(
                field::times(one, value),
                field::times(field::minus(1, 2 * one), mask),
            );
            let chosen = field::plus(field::times(forced, dummy), field::times(1 - forced, c));
            let unit = field::unit(draw(pair, at.wire(UNIT), first + i as u64));
            list[i] = field::times(unit, chosen);
        }
        let turn = draw(pair, at.wire(TURN), place);
        list.rotate_left(((u128::from(turn) * u128::from(self.bits)) >> 64) as usize);
    }

    /// The assistant's part: `found` gets each number's answer, still hidden.
    pub(super) fn assist<A: Assisting>(
        self,
        cx: &mut A,
        found: &mut [u64],
    ) -> Result<(), LinkError> {
        for found in found {
            let (mut first, mut second) = ([0; MAX_BITS], [0; MAX_BITS]);
            let first = &mut first[..self.len()];
            let second = &mut second[..self.len()];
            cx.hear(Role::P0, first)?;
            cx.hear(Role::P1, second)?;
            let zeros = first.iter().zip(second.iter()).map(|(&a, &b)| {
                // What a peer sends may be any byte.
                let sum = (u32::from(a) + u32::from(b)) % P;
                u64::from(sum == 0)
            });
            *found = zeros.fold(0, |any, zero| any | zero);
        }
        Ok(())
    }
}
