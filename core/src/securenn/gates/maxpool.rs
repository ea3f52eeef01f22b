//! Max pooling (SecureNN, Algorithms 8 and 9): a running maximum and its position, with one comparison for each step;
//! and the position as a one-hot vector, for the backward pass.

use crate::{Role, net::link::LinkError, network::Stage};

use super::{
    Assisting, At, Computing, Cost, GATES, Scratch, gather_words,
    modular::{Modulus, choice},
    product::Product,
    receive_words, send_words, share_words,
    sign::Derivative,
    word_len,
};

/// The maximum of several numbers and its position. Their differences are in [-2^(bits-2), 2^(bits-2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// l, from 3 to 64.
    pub bits: u32,
    /// k, the numbers of which each maximum is taken: the positions in a window.
    pub places: usize,
}

const SELECT: u32 = 5;
const SELECT_PLACE: u32 = 6;

/// Memory of a computing party beside [`Scratch`]: one word of each list for each maximum.
pub struct Steps<'a> {
    /// The comparison's outcome.
    pub outcome: &'a mut [u64],
    /// The step's change of the position.
    pub place: &'a mut [u64],
}

impl MaxPool {
    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    /// The gates that this one is made of.
    fn parts(self) -> (Derivative, Product) {
        let bits = self.bits;
        (Derivative { bits }, Product { bits })
    }

    /// Address of step `number`, from 1.
    fn step(at: At, number: usize) -> At {
        at.part(GATES * (number as u32 - 1))
    }

    /// Cost for `len` maxima: 8l field elements and 29l bits for each of k - 1 steps.
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

    /// The computing parties' part. `planes` are shares of the numbers, one plane for each position. Leaves shares of
    /// the maxima in the first plane and of their positions in `place`. Of two equal numbers the later one counts.
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

/// From shares of a position to shares of its one-hot vector: one bit for each position, 1 at that position alone.
///
/// The assistant sees the position rotated by a random number that it does not know. The number of positions is a power
/// of two, so that it divides the size of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    bits: u32,
    places: usize,
}

/// The most positions of a [`OneHot`].
pub const MAX_PLACES: usize = 64;

/// Whether a stage's max pooling has windows of more than [`MAX_PLACES`] positions.
pub fn is_too_large(stage: &Stage) -> bool {
    let places = stage.max_pool.map_or(0, |windows| windows.positions());
    places > MAX_PLACES
}

const ROTATION: u8 = 0;
const SHARE: u8 = 1;
const OTHER_ROTATION: u8 = 2;

impl OneHot {
    /// The gate in Z_2^bits for so many positions; none unless `bits` is 2 to 64, and `places` a power of two and at
    /// most [`MAX_PLACES`].
    pub fn new(bits: u32, places: usize) -> Option<Self> {
        let fits = (2..=64).contains(&bits) && places.is_power_of_two() && places <= MAX_PLACES;
        fits.then_some(OneHot { bits, places })
    }

    fn ring(self) -> Modulus {
        Modulus::Even(self.bits)
    }

    /// Cost for `len` positions, 2(k + 1)l bits each.
    pub fn cost(self, len: usize) -> Cost {
        Cost {
            bytes: (2 * (self.places + 1) * len * word_len(self.bits)) as u64,
            messages: 2,
            rounds: 1,
        }
    }

    /// The computing parties' part. `place` are shares of positions. Writes shares of the bits to `planes`, one plane
    /// for each position. `scratch` needs three lists of words.
    pub fn run<C: Computing>(
        self,
        cx: &mut C,
        at: At,
        place: &[u64],
        planes: &mut [u64],
        scratch: &mut Scratch<'_>,
    ) -> Result<(), LinkError> {
        let (ring, len) = (self.ring(), place.len());
        let [rotated, first, second, ..] = &mut scratch.words;
        let [rotated, first, second] = [rotated, first, second].map(|words| &mut words[..len]);
        // The rotation is first + second: P0 adds `first`, P1 adds `second`.
        for (wire, rotation) in [(ROTATION, &mut *first), (OTHER_ROTATION, &mut *second)] {
            cx.pair().fill_bits(at.wire(wire), 0, self.bits, rotation);
        }
        let own = match cx.role() {
            Role::P0 => &*first,
            Role::P1 => &*second,
        };
        for (rotated, (&place, &rotation)) in rotated.iter_mut().zip(place.iter().zip(own)) {
            *rotated = ring.plus(place, rotation);
        }
        send_words(cx, self.bits, rotated)?;
        let planes = &mut planes[..len * self.places];
        receive_words(cx, self.bits, planes)?;
        // Rotate each element's bits back. The assistant must not learn the rotation, also not by timing: compute the
        // rotation by each power of two, and keep or drop the result without a branch.
        let next = |place: usize, step: usize| (place + step) & (self.places - 1);
        for element in 0..len {
            let rotation = ring.plus(first[element], second[element]);
            let mut column = [0; MAX_PLACES];
            for (place, bit) in column[..self.places].iter_mut().enumerate() {
                *bit = planes[place * len + element];
            }
            for power in 0..self.places.trailing_zeros() {
                let taken = choice(rotation >> power & 1);
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

    /// The assistant's part for `len` positions. `planes` is scratch memory of one word for each bit.
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
                let rotated = self.ring().plus(first, second) as usize & (self.places - 1);
                *bit = u64::from(rotated == place);
            }
        }
        share_words(cx, at.wire(SHARE), self.ring(), planes)
    }
}
