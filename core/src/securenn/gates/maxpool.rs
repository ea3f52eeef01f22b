//! Max pooling (SecureNN, Algorithms 8 and 9): a running maximum and its place, one comparison a step; and the place
//! as a row of bits, for the way back.

use crate::{Role, net::link::LinkError, network::Stage};

use super::{
    Assisting, At, Computing, Cost, GATES, Scratch, gather_words, hear_words,
    modular::{Modulus, choice},
    product::Product,
    share_words,
    sign::Derivative,
    tell_words, word_len,
};

/// The largest of several numbers, whose differences are in [-2^(bits-2), 2^(bits-2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// l, from 3 to 64.
    pub bits: u32,
    /// Numbers that each maximum is taken of, k.
    pub places: usize,
}

const SELECT: u32 = 5;
const SELECT_PLACE: u32 = 6;

/// What a computing party works in beside [`Scratch`]: two words for each maximum.
pub struct Steps<'a> {
    /// The comparison's outcome.
    pub outcome: &'a mut [u64],
    /// What a step adds to the place.
    pub place: &'a mut [u64],
}

impl MaxPool {
    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    fn parts(self) -> (Derivative, Product) {
        let bits = self.bits;
        (Derivative { bits }, Product { bits })
    }

    /// Where step `number`, from 1, stands.
    fn step(at: At, number: usize) -> At {
        at.part(GATES * (number as u32 - 1))
    }

    /// Cost for `len` maxima, 8l elements of the field and 29l bits for each step of each.
    pub fn cost(self, len: usize) -> Cost {
        let (derivative, product) = self.parts();
        let steps = self.places as u64 - 1;
        let bytes = derivative.cost(len).bytes + 2 * product.cost(len).bytes;
        Cost {
            bytes: bytes * steps,
            // The triples come with the comparison's last answer.
            messages: (derivative.cost(len).messages + 1) * steps,
            rounds: (derivative.cost(len).rounds + 2 * product.cost(len).rounds) * steps,
        }
    }

    /// Takes shares of numbers, `places` planes one after another, and leaves shares of the maxima in the first
    /// plane, and of the places where they stood in `place`: the later one where two are equal.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        planes: &mut [u64],
        place: &mut [u64],
        steps: &mut Steps<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (ring, len) = (self.ring(), place.len());
        let (derivative, product) = self.parts();
        let is_first = cx.role() == Role::P0;
        let (maxima, others) = planes.split_at_mut(len);
        let outcome = &mut steps.outcome[..len];
        let moved = &mut steps.place[..len];
        place.fill(0);
        for (number, others) in others.chunks_exact_mut(len).enumerate() {
            let number = number + 1;
            let at = Self::step(at, number);
            for (other, &maximum) in others.iter_mut().zip(maxima.iter()) {
                *other = ring.minus(*other, maximum);
            }
            outcome.copy_from_slice(others);
            derivative.run(cx, at, outcome, scratch)?;
            let public = if is_first { number as u64 } else { 0 };
            for (moved, &place) in moved.iter_mut().zip(place.iter()) {
                *moved = ring.minus(public, place);
            }
            for (gate, step, sum) in [
                (SELECT, &mut *others, &mut *maxima),
                (SELECT_PLACE, &mut *moved, &mut *place),
            ] {
                product.run(cx, at.part(gate), step, outcome, scratch.for_product())?;
                for (sum, &step) in sum.iter_mut().zip(step.iter()) {
                    *sum = ring.plus(*sum, step);
                }
            }
        }
        Ok(())
    }

    /// The assistant's part for `len` maxima.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (derivative, product) = self.parts();
        for number in 1..self.places {
            let at = Self::step(at, number);
            derivative.assist(cx, at, len, scratch)?;
            product.assist(cx, at.part(SELECT), len)?;
            product.assist(cx, at.part(SELECT_PLACE), len)?;
        }
        Ok(())
    }
}

/// Shares of a place as shares of bits, one for each place and 1 at that place alone.
///
/// The assistant sees the place turned by a number that it does not know. The number of places divides that of the
/// ring's elements: it is a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    bits: u32,
    places: usize,
}

/// The most places of a [`OneHot`].
pub const MAX_PLACES: usize = 64;

/// Whether a stage's max pooling has more places than a [`OneHot`].
pub fn is_too_large(stage: &Stage) -> bool {
    let places = stage.max_pool.map_or(0, |windows| windows.places());
    places > MAX_PLACES
}

const TURN: u8 = 0;
const SHARE: u8 = 1;
const OTHER_TURN: u8 = 2;

impl OneHot {
    /// The gate in Z_2^bits, of 2 to 64 bits, for so many places; none unless they are a power of two, and
    /// [`MAX_PLACES`] at most.
    pub fn new(bits: u32, places: usize) -> Option<Self> {
        let fits = (2..=64).contains(&bits) && places.is_power_of_two() && places <= MAX_PLACES;
        fits.then_some(OneHot { bits, places })
    }

    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    /// Cost for `len` places, 2(k + 1)l bits each.
    pub fn cost(self, len: usize) -> Cost {
        Cost {
            bytes: (2 * (self.places + 1) * len * word_len(self.bits)) as u64,
            messages: 2,
            rounds: 1,
        }
    }

    /// Leaves shares of the bits in `planes`, one plane for each place; `scratch` needs three lists of words.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        place: &[u64],
        planes: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (ring, len) = (self.ring(), place.len());
        let [turned, first, second, ..] = &mut scratch.words;
        let [turned, first, second] = [turned, first, second].map(|words| &mut words[..len]);
        // Both parts of the number by which a place is turned; P0 adds the first and P1 the second.
        for (wire, turn) in [(TURN, &mut *first), (OTHER_TURN, &mut *second)] {
            cx.pair().fill_bits(at.wire(wire), 0, self.bits, turn);
        }
        let own = match cx.role() {
            Role::P0 => &*first,
            Role::P1 => &*second,
        };
        for (turned, (&place, &turn)) in turned.iter_mut().zip(place.iter().zip(own)) {
            *turned = ring.plus(place, turn);
        }
        tell_words(cx, self.bits, turned)?;
        let planes = &mut planes[..len * self.places];
        hear_words(cx, self.bits, planes)?;
        // Planes of the turned places become planes of the places: column by column, in place. The turn is no secret
        // of either party, but the assistant does not know it, and might measure what depends on it: a step of every
        // power of two is made, and taken or left.
        let next = |place: usize, step: usize| (place + step) & (self.places - 1);
        for element in 0..len {
            let turn = ring.plus(first[element], second[element]);
            let mut column = [0; MAX_PLACES];
            for (place, bit) in column[..self.places].iter_mut().enumerate() {
                *bit = planes[place * len + element];
            }
            for power in 0..self.places.trailing_zeros() {
                let taken = choice(turn >> power & 1);
                let before = column;
                for (place, bit) in column[..self.places].iter_mut().enumerate() {
                    *bit = (*bit & !taken) | (before[next(place, 1 << power)] & taken);
                }
            }
            for (place, &bit) in column[..self.places].iter().enumerate() {
                planes[place * len + element] = bit;
            }
        }
        Ok(())
    }

    /// The assistant's part for `len` places; `planes` is room for all bits.
    pub fn assist<A: Assisting>(
        self,
        cx: &mut A,
        at: At,
        len: usize,
        planes: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let [first, second, ..] = &mut scratch.words;
        let (first, second) = (&mut first[..len], &mut second[..len]);
        gather_words(cx, self.bits, [&mut *first, &mut *second])?;
        let planes = &mut planes[..len * self.places];
        for (place, plane) in planes.chunks_exact_mut(len).enumerate() {
            for ((bit, &first), &second) in plane.iter_mut().zip(first.iter()).zip(second.iter()) {
                let turned = self.ring().plus(first, second) as usize & (self.places - 1);
                *bit = u64::from(turned == place);
            }
        }
        share_words(cx, at.wire(SHARE), self.ring(), planes)
    }
}
