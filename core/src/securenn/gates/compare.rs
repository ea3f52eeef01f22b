//! Private compare (SecureNN, Algorithm 3): whether a number x is above a bound. The assistant has shared x bit by bit;
//! both computing parties know the bound. The assistant learns the answer, masked by a bit of the computing parties.
//!
//! For each number the parties compute shares of the list c_i, which has one zero if the masked answer is 1 and none if
//! it is 0. The zero is at the highest bit in which x differs from the bound (from the bound + 1 if the masking bit is
//! set). Each entry is multiplied by a random non-zero element, and the list is rotated by a random number of entries.
//! The assistant knows neither, so it sees only whether there is a zero, at a uniform position. (The paper permutes the
//! list. With at most one zero a rotation hides as much.)
//!
//! The assistant draws both shares of every bit, so for a guessed bound it can compute both parties' shares of c_i.
//! Both are multiplied by the same element, so their quotient would confirm a right guess. The parties therefore add a
//! fresh share of zero to each entry, which makes the list that each one sends uniform.

use crate::{
    Role,
    kernel::vector::{self, Loop},
    net::link::LinkError,
    prg::{Address, Prg},
};

use super::{
    Assisting, At, Computing, Cost,
    elements::{self, MAX_BITS, WORDS},
    modular::{P, below, choice, field},
};

/// The comparison of numbers of `bits` bits with bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Bits of the numbers, at most 64.
    pub bits: u32,
}

/// The bound of a number, and the bit that masks the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The bound, the paper's r.
    pub value: u64,
    /// 1 if the bound is -1 instead of `value`, so that every number is above it; else 0.
    pub below_all: u64,
    /// The bit that masks the answer, the paper's beta.
    pub hide: u64,
}

const UNIT: u8 = 0;
const ZERO: u8 = 1;
const ROTATION: u8 = 2;

/// Lists of one message, and of one draw.
const BLOCK: usize = 16;

/// Blocks of which a party receives the shares at once.
const BLOCKS: usize = 16;

impl Compare {
    /// Entries of a list.
    fn len(self) -> usize {
        self.bits as usize
    }

    /// The masked answer, hide xor `[x > bound]`.
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

    /// Cost of sharing the bits of `len` numbers, which the assistant does before a comparison; no round of its own.
    pub fn sharing_cost(self, len: usize) -> Cost {
        Cost {
            bytes: 2 * (len * self.len()) as u64,
            messages: 0,
            rounds: 0,
        }
    }

    /// The assistant sends both computing parties their shares in the field of the numbers' bits, lowest bit first.
    pub(super) fn share_bits<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        numbers: &[u64],
    ) -> Result<(), LinkError> {
        let len = self.len();
        let mut words = [[0; WORDS]; BLOCK];
        for (block, numbers) in numbers.chunks(BLOCK).enumerate() {
            let (mut shares, mut others) = ([0; BLOCK * MAX_BITS], [0; BLOCK * MAX_BITS]);
            let lists = shares
                .chunks_exact_mut(len)
                .zip(others.chunks_exact_mut(len));
            draw(cx.own(), at.wire(UNIT), block, numbers.len(), &mut words);
            for ((&number, words), (shares, others)) in numbers.iter().zip(&words).zip(lists) {
                vector::run(SharedBits {
                    number,
                    words,
                    shares: [shares, others],
                });
            }
            cx.send_to(Role::P0, &shares[..numbers.len() * len])?;
            cx.send_to(Role::P1, &others[..numbers.len() * len])?;
        }
        Ok(())
    }

    /// The computing parties' part, after the assistant's [`Compare::share_bits`]. `bound` gives the bound of a number by
    /// its index. `lists` is scratch memory of `bits` bytes for each number.
    ///
    /// A party makes lists while the assistant shares the next numbers, which takes it half the time, and while the
    /// assistant reads the lists before. It sends nothing before it has all shares: neither waits until the other reads,
    /// however little a link holds.
    pub(super) fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        lists: &mut [u8],
        bound: impl Fn(usize) -> Bound,
    ) -> Result<(), LinkError> {
        let (len, part) = (lists.len(), BLOCKS * BLOCK * self.len());
        let [mut received, mut sent] = [0; 2];
        for (number, first) in (0..len).step_by(part).enumerate() {
            let until = len.min(received + 2 * part);
            if received < until {
                cx.receive_from_assistant(&mut lists[received..until])?;
                received = until;
            }
            let made = len.min(first + part);
            self.make_lists(cx, at, number * BLOCKS, &mut lists[first..made], &bound);
            if received == len {
                cx.send_to_assistant(&lists[sent..made])?;
                sent = made;
            }
        }
        Ok(())
    }

    /// Replaces this party's shares of numbers' bits, `bits` for each number, by its shares of their lists, rotated.
    /// The first number is that of block `first_block`.
    fn make_lists<C: Computing>(
        self,
        cx: &C,
        at: At,
        first_block: usize,
        lists: &mut [u8],
        bound: &impl Fn(usize) -> Bound,
    ) {
        let len = self.len();
        let [mut zeros, mut units] = [[[0; WORDS]; BLOCK]; 2];
        for (block, lists) in (first_block..).zip(lists.chunks_mut(BLOCK * len)) {
            let (first, count) = (block * BLOCK, lists.len() / len);
            let mut rotations = [0u64; BLOCK];
            cx.pair()
                .fill(at.wire(ROTATION), first as u64, &mut rotations[..count]);
            draw(cx.pair(), at.wire(ZERO), block, count, &mut zeros);
            draw(cx.pair(), at.wire(UNIT), block, count, &mut units);
            for (index, list) in lists.chunks_exact_mut(len).enumerate() {
                vector::run(SharedList {
                    bits: self.bits,
                    role: cx.role(),
                    bound: bound(first + index),
                    words: [&zeros[index], &units[index]],
                    rotation: below(rotations[index], self.bits),
                    list,
                });
            }
        }
    }

    /// The assistant's part. `found` gets each number's masked answer: whether its list has a zero.
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
            cx.receive_from(Role::P0, first)?;
            cx.receive_from(Role::P1, second)?;
            let lists = first.chunks_exact(len).zip(second.chunks_exact(len));
            for (found, (first, second)) in found.iter_mut().zip(lists) {
                let zeros = first.iter().zip(second).map(|(&a, &b)| {
                    // A received byte may be no element of the field, so reduce the sum.
                    u8::from(field::reduce(u16::from(a) + u16::from(b)) == 0)
                });
                *found = zeros.fold(0, |any, zero| any | zero).into();
            }
        }
        Ok(())
    }
}

/// The words of a block's lists.
type Words = [[u32; WORDS]; BLOCK];

/// Draws the words of the first `count` lists of a block.
fn draw(prg: &Prg, address: Address, block: usize, count: usize, words: &mut Words) {
    let first = (block * BLOCK * WORDS) as u64;
    prg.fill(address, first, words[..count].as_flattened_mut());
}

const MODULUS: u16 = P as u16;

/// A value for each bit, in 16-bit words, so that vector instructions take many at once.
type Lanes = [u16; MAX_BITS];

/// The sharing of a number's bits, by the words of a list.
struct SharedBits<'a> {
    number: u64,
    words: &'a [u32; WORDS],
    /// Receive the shares of both parties.
    shares: [&'a mut [u8]; 2],
}

impl Loop for SharedBits<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [shares, others] = self.shares;
        let both = shares.iter_mut().zip(others);
        let (elements, bits) = (elements::uniform(self.words), bits_of(self.number));
        for ((share, other), (element, bit)) in both.zip(elements.into_iter().zip(bits)) {
            *share = element;
            *other = field::minus(bit, element);
        }
    }
}

/// A party's shares of the list of one number.
struct SharedList<'a> {
    bits: u32,
    role: Role,
    bound: Bound,
    /// Of the shares of zero, and of the elements by which entries are multiplied.
    words: [&'a [u32; WORDS]; 2],
    rotation: u32,
    /// Its shares of the number's bits, which the list replaces.
    list: &'a mut [u8],
}

impl Loop for SharedList<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (bound, [zeros, units]) = (self.bound, self.words);
        // A received byte may be no element of the field, so reduce it. What follows works on all lanes; those above
        // the last bit are zero and add nothing to the sums.
        let mut own = [0; MAX_BITS];
        for (own, &share) in own.iter_mut().zip(&*self.list) {
            *own = u16::from(field::reduce(share.into()));
        }
        // hide = 0 tests [x > v] by c_i = v_i - x_i + 1 + sum. hide = 1 tests [x < v + 1] by the opposite signs.
        let top = u64::MAX >> (64 - self.bits);
        let against = bits_of(bound.value.wrapping_add(bound.hide) & top);
        // Two answers are forced, because no list gives them: [x > -1] is 1, and [x > 2^bits - 1] is 0 for hide = 1.
        let is_top = u64::from(bound.value ^ top == 0);
        let forced = choice(bound.below_all | (bound.hide & is_top)) as u16;
        let found = (bound.hide ^ bound.below_all) as u16;
        let one = self.role.index() as u16;
        let lists = differences(&own, &against, one, bound.hide);
        // The list of a forced answer has a zero in its first entry, or none.
        let mut dummies = [one; MAX_BITS];
        dummies[0] -= found & one;
        let (fresh, units) = (shares_of_zero(zeros, one), elements::units(units));
        let lanes = lists.iter().zip(&dummies).zip(units.iter().zip(&fresh));
        let mut entries = [0; MAX_BITS];
        for (entry, ((&c, &dummy), (&unit, &fresh))) in entries.iter_mut().zip(lanes) {
            let chosen = field::reduce((c & !forced) | (dummy & forced));
            let product = u16::from(unit) * u16::from(chosen);
            *entry = field::reduce(product + fresh);
        }
        let len = self.list.len();
        self.list
            .copy_from_slice(&rotated(&entries, len, self.rotation)[..len]);
    }
}

/// The bits of a number, the lowest first.
#[inline(always)]
fn bits_of(number: u64) -> [u8; MAX_BITS] {
    let mut bits = [0; MAX_BITS];
    for (bits, byte) in bits.chunks_exact_mut(8).zip(number.to_le_bytes()) {
        for (index, bit) in bits.iter_mut().enumerate() {
            *bit = byte >> index & 1;
        }
    }
    bits
}

/// A party's shares of c_i, not reduced: each is a sum of at most 66 elements, plus 2, which fits 16 bits. `one` is 1
/// for the party that adds public values, else 0. `hide` selects the signs.
#[inline(always)]
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

/// A party's shares of zeros, not reduced, from common words of both parties. `one` is 1 for the party that takes the
/// opposite sign, else 0.
#[inline(always)]
fn shares_of_zero(words: &[u32; WORDS], one: u16) -> Lanes {
    let is_second = one.wrapping_neg();
    let mut zeros = [0; MAX_BITS];
    for (zero, share) in zeros.iter_mut().zip(elements::uniform(words)) {
        let share = u16::from(share);
        *zero = (share & !is_second) | ((MODULUS - share) & is_second);
    }
    zeros
}

/// The first `len` entries, rotated to the left by `count`, fewer than `len`, in time that does not depend on `count`.
/// They stand twice in a row of words, which moves by 4, 2 and 1 words or not, without a branch, and then by bytes.
#[inline(always)]
fn rotated(entries: &[u8; MAX_BITS], len: usize, count: u32) -> [u8; MAX_BITS] {
    const WORD: usize = size_of::<u64>();
    const TWICE: usize = 2 * MAX_BITS;
    let mut twice = [0; TWICE];
    twice[..MAX_BITS].copy_from_slice(entries);
    // What stands behind the second time is not reached.
    twice[len..len + MAX_BITS].copy_from_slice(entries);
    let mut words = [0; TWICE / WORD];
    for (word, bytes) in words.iter_mut().zip(twice.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    for power in [2, 1, 0] {
        let taken = choice(u64::from(count >> (WORD.ilog2() + power) & 1));
        let step = 1 << power;
        for index in 0..words.len() - step {
            words[index] = (words[index] & !taken) | (words[index + step] & taken);
        }
    }
    let by = 8 * (count % WORD as u32);
    let mut rotated = [0; MAX_BITS];
    for (index, bytes) in rotated.as_chunks_mut().0.iter_mut().enumerate() {
        // A word cannot move by all its bits at once, and if the row stays nothing enters of the next word.
        let entering = words[index + 1] << 1 << (63 - by);
        *bytes = (words[index] >> by | entering).to_le_bytes();
    }
    rotated
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

    /// Whether the lists that both parties sent are multiples, by the same elements and under any rotation, of the
    /// shares of c_i for a guessed bound. Without the shares of zero they would be for the right bound.
    fn matches_guess(sent: [&[u8]; 2], shares: [&[u8]; 2], bound: Bound) -> bool {
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
        (0..len).any(|rotation| {
            (0..len).all(|index| {
                let from = (index + rotation) % len;
                product(sent[0][index], second[from]) == product(sent[1][index], first[from])
            })
        })
    }

    #[test]
    fn the_assistant_cannot_confirm_a_guessed_bound() {
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
        let first: Vec<u8> = words.iter().map(|&word| below(word, P) as u8).collect();
        let pairs = bits.iter().zip(&first);
        let second = pairs
            .map(|(&bit, &share)| field::minus(bit, share))
            .collect();
        let shares = [first, second];
        let ran = run(
            7,
            |cx| gate.run(cx, AT, &mut vec![0; 8 * len], |index| bounds[index]),
            |cx| {
                for role in Role::BOTH {
                    cx.send_to(role, &shares[role.index()])?;
                }
                let mut found = vec![0; len];
                gate.assist(cx, &mut found).map(|()| found)
            },
        );
        for (index, (&number, &bound)) in numbers.iter().zip(&bounds).enumerate() {
            assert_eq!(ran.answer[index], gate.ideal(number & 0xFF, bound));
            let list = 8 * index..8 * (index + 1);
            let sent = [0, 1].map(|role: usize| &ran.received[role][list.clone()]);
            let shares = [0, 1].map(|role: usize| &shares[role][list.clone()]);
            assert!(!matches_guess(sent, shares, bound), "{number} {bound:?}");
        }
    }

    #[test]
    fn lists_of_every_length_rotate_by_every_count() {
        let entries = core::array::from_fn(|index| index as u8 + 1);
        for len in 1..=MAX_BITS {
            for count in 0..len {
                let mut wanted = entries;
                wanted[..len].rotate_left(count);
                let rotated = rotated(&entries, len, count as u32);
                assert_eq!(rotated[..len], wanted[..len], "{len} {count}");
            }
        }
    }
}
