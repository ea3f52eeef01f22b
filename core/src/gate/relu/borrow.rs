//! Signs in one round: the borrow that reaches the highest chunk, as an arithmetic share.
//!
//! The sign is s xor b. Here s has the top bits and the comparison of the highest chunk, and b is the borrow of the chunks below:
//! the AND of [`AndInputs`](super::and_inputs::AndInputs). A hidden sign opens the AND's inputs, and then s xor b under a hiding bit. Both
//! are one round if the borrow stays shared: s is opened under the hiding bit beside the AND's inputs, all of them under
//! masks of their own. Where b is 1, the highest chunk's digits are equal, so s is the top bit of the opening xor that of
//! its mask. So the sign is s + (-1)^(opening's top bit) * t * b, where the dealer knows t = (-1)^(mask's top bit).
//!
//! t * b is a combination, with public coefficients, of the products of t with sets of the masks of the AND's inputs. The dealer
//! shares these products. They double with each chunk, and take as many bits as the ring of the hiding bits.

use crate::{
    cost::{Cost, LANES},
    gate::{At, Group, Offline, Online, deal, dealt, groups, load_plane},
    net::link::LinkError,
    num::ring::Word,
};

use super::{AND_PRODUCT, HIDE, Relu, and_inputs::MAX_OPENED};

/// The most chunks whose signs are opened in one round.
const MOST_CHUNKS: u32 = 4;

/// The most sets of masks of `equal` inputs.
const MOST_SETS: usize = 1 << (MOST_CHUNKS - 1);

/// The most products of an element.
const MOST_PRODUCTS: usize = 3 * MOST_SETS - 2;
const _: () = assert!(MOST_PRODUCTS <= LANES);

impl Relu {
    /// Whether the ring has so few chunks that signs may be opened in one round.
    pub(crate) fn opens_at_once(self) -> bool {
        self.chunks.count <= MOST_CHUNKS
    }

    /// The AND's inputs of either kind.
    fn above(self) -> usize {
        self.chunks.opened() / 2
    }

    /// Products that the dealer shares for each element: of t with each set of masks of `equal` inputs, and with the mask of each
    /// `less` input and each set of masks of the `equal` inputs that it is multiplied by.
    fn borrow_products(self) -> usize {
        match self.above() {
            0 => 0,
            above => (3 << above) - 2,
        }
    }

    /// Cost of signs of opened values in one round, as shares in the ring of the hiding bits.
    pub(crate) fn signs_at_once_cost(self, rows: usize, len: usize) -> Cost {
        let products = Cost::dealt(1, self.borrow_products(), self.hide);
        self.opened_chunks_cost(rows, len) + products * (rows * len) as u64 + Cost::rounds(1)
    }

    /// Sends the corrections for [`Relu::hide_opened_signs`] at once, and for [`Relu::hiding_bits`] and
    /// [`Relu::add_borrows`] of one group after the other. `masks` writes the masks of a group's openings.
    pub(crate) fn deal_signs_at_once<W: Word, D: Offline>(
        self,
        cx: &mut D,
        at: At,
        [rows, len]: [usize; 2],
        masks: impl Fn(&D, &Group, &mut [W]),
    ) -> Result<(), LinkError> {
        self.deal_tables(cx, at, rows, len, &masks)?;
        for group in groups(at, rows, len) {
            let (mut a, mut r) = ([W::ZERO; LANES], [W::ZERO; LANES]);
            let (a, r) = (&mut a[..group.lanes], &mut r[..group.lanes]);
            self.hide().masks(cx, at.wire(HIDE), group.stream, r);
            self.hide().deal(cx, at.wire(HIDE), group.stream, r)?;
            if self.above() == 0 {
                continue;
            }
            masks(cx, &group, a);
            let and_masks = self.and_masks(cx, at, group.stream);
            for (lane, &a) in a.iter().enumerate() {
                let top = a.right(self.compared()).to_u64() as u32 & 1;
                let mut products = [0; MOST_PRODUCTS];
                let products = &mut products[..self.borrow_products()];
                let mask = |input: usize| (and_masks[input] >> lane) as u32 & 1;
                multiply_masks(self.above(), top, mask, products);
                let first = (group.stream + lane as u64) * products.len() as u64;
                deal(cx, at.wire(AND_PRODUCT), first, self.hide, products)?;
            }
        }
        Ok(())
    }

    /// Adds the borrows to this party's shares `bits` of the other parts of the signs of a group. `e` are the openings of the
    /// values, and `planes` those of the AND's inputs of all groups, from the front of the scratch of
    /// [`Relu::hide_opened_signs`].
    pub(crate) fn add_borrows<W: Word, O: Online>(
        self,
        cx: &mut O,
        at: At,
        group: &Group,
        (e, planes): (&[W], &[u8]),
        bits: &mut [W],
    ) -> Result<(), LinkError> {
        let (above, size) = (self.above(), group.plane_bytes());
        let mut opened = [0u64; MAX_OPENED];
        let planes = &planes[group.plane * self.chunks.opened()..];
        for (plane, bytes) in opened[..2 * above].iter_mut().zip(planes.chunks(size)) {
            *plane = load_plane(bytes);
        }
        if above == 0 {
            return Ok(());
        }
        for (lane, (bit, e)) in bits.iter_mut().zip(e).enumerate() {
            let mut products = [0; MOST_PRODUCTS];
            let products = &mut products[..self.borrow_products()];
            let first = (group.stream + lane as u64) * products.len() as u64;
            dealt(cx, at.wire(AND_PRODUCT), first, self.hide, products)?;
            let borrow = borrow(above, |input| opened[input] & 1 == 1, products);
            let borrow = W::from_u64(borrow.into());
            *bit = match e.short_right(self.compared()).to_u64() & 1 {
                0 => bit.plus(borrow),
                _ => bit.minus(borrow),
            };
            // The next lane.
            for plane in &mut opened {
                *plane >>= 1;
            }
        }
        Ok(())
    }
}

/// Writes the products that [`borrow`] takes. `mask` gives the mask of each of the AND's inputs, and `top` is the mask's top bit.
fn multiply_masks(above: usize, top: u32, mask: impl Fn(usize) -> u32, products: &mut [u32]) {
    let (sets, mut rest) = products.split_at_mut(1 << above);
    sets[0] = 1u32.wrapping_sub(2 * top);
    for equal in 0..above {
        let (without, with) = sets.split_at_mut(1 << equal);
        for (with, without) in with.iter_mut().zip(without) {
            *with = without.wrapping_mul(mask(equal));
        }
    }
    for below in (0..above).rev() {
        let (products, others) = rest.split_at_mut(2 << below);
        for (product, set) in products.iter_mut().zip(&*sets) {
            *product = set.wrapping_mul(mask(above + below));
        }
        rest = others;
    }
}

/// A party's share of t times the borrow, from its shares of products and the opened inputs of the AND.
///
/// The products are first of sets of masks of `equal` inputs, where bit i of a set stands for the i-th. Then from the lowest
/// chunk up those of a `less` mask with each set of `equal` masks above it.
fn borrow(above: usize, opened: impl Fn(usize) -> bool, products: &[u32]) -> u32 {
    let (sets, mut rest) = products.split_at(1 << above);
    // The borrow of the chunks so far, times each set of the masks above.
    let mut borrow = [0u32; MOST_SETS];
    for below in (0..above).rev() {
        let (less, others) = rest.split_at(2 << below);
        for ((borrow, less), set) in borrow.iter_mut().zip(less).zip(sets) {
            *borrow = borrow.wrapping_add(match opened(above + below) {
                true => set.wrapping_sub(*less),
                false => *less,
            });
        }
        let (without, with) = borrow.split_at_mut(1 << below);
        for (without, with) in without.iter_mut().zip(with) {
            *without = match opened(below) {
                true => without.wrapping_sub(*with),
                false => *with,
            };
        }
        rest = others;
    }
    borrow[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The borrow that the inputs stand for.
    fn ideal(above: usize, inputs: usize) -> u32 {
        let input = |input: usize| inputs >> input & 1 == 1;
        let is_set = |below: usize| input(above + below) && (0..=below).all(input);
        (0..above).filter(|&below| is_set(below)).count() as u32
    }

    /// The inputs of an AND, of which at most one of [equal] and [less] is set in a chunk.
    fn are_possible(above: usize, inputs: usize) -> bool {
        (1..above).all(|chunk| inputs >> chunk & 1 == 0 || inputs >> (above + chunk - 1) & 1 == 0)
    }

    #[test]
    fn borrows_follow_from_products_for_all_inputs_and_masks() {
        for above in 1..MOST_CHUNKS as usize {
            for inputs in (0..1usize << (2 * above)).filter(|&inputs| are_possible(above, inputs)) {
                for masks in 0..1usize << (2 * above) {
                    for top in [0, 1] {
                        let mut products = [0; MOST_PRODUCTS];
                        let products = &mut products[..(3 << above) - 2];
                        let mask = |input: usize| (masks >> input & 1) as u32;
                        multiply_masks(above, top, mask, products);
                        let found = borrow(above, |i| (inputs ^ masks) >> i & 1 == 1, products);
                        let want = ideal(above, inputs);
                        assert!(want <= 1, "{inputs:b}");
                        let signed = [want, want.wrapping_neg()][top as usize];
                        assert_eq!(found, signed, "{above} {inputs:b} {masks:b}");
                    }
                }
            }
        }
    }
}
