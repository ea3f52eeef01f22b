//! The party's part of the chain: one round per product, and the sum of terms.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::LANES,
    gate::{At, Group, Online, groups, lift::Opened},
    net::link::{LinkError, Segment},
    num::{
        polynomial::COEFFICIENT_FRACTION,
        ring::{Ring, Word},
    },
    share::{Masked, Public, Share, truncate},
};

use super::{Chain, LEFT, LEFT_CARRY, RIGHT, RIGHT_CARRY, parts, wire};

/// A share in the ring of products, as two 64-bit words: `[low, high]`.
type Pair = [u64; 2];

fn pair(value: u128) -> Pair {
    [value as u64, (value >> 64) as u64]
}

fn unpair([low, high]: Pair) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Scratch buffers with one element per value.
struct Buffers<'a> {
    /// Shares of the sum of terms, at scale f + [`COEFFICIENT_FRACTION`].
    sum: &'a mut [Pair],
    /// Shares of x in Z_2^from.
    x: &'a mut [u64],
    /// Left operands: first shares, then openings.
    left: &'a mut [u64],
    /// Right operands that are opened: first shares, then openings.
    right: &'a mut [u64],
}

/// Size of the buffers per element, in 64-bit words.
pub(super) const WORDS: usize = 5;

impl<'a> Buffers<'a> {
    fn new(scratch: &'a mut [u64], len: usize) -> Self {
        let (sum, rest) = scratch.split_at_mut(2 * len);
        let (x, rest) = rest.split_at_mut(len);
        let (left, rest) = rest.split_at_mut(len);
        Buffers {
            sum: bytemuck::cast_slice_mut(sum),
            x,
            left,
            right: &mut rest[..len],
        }
    }
}

impl Chain {
    /// Runs the forward pass on `rows` x `len` shares in place: from Z_2^from to Z_2^to. Stores [`Chain::kept`] openings
    /// per element in `kept`.
    #[inline(never)]
    pub fn forward<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let x = &mut Share::peel_slice_mut(x)[..rows * len];
        let mut buffers = Buffers::new(scratch, rows * len);
        for (copy, x) in buffers.x.iter_mut().zip(x.iter()) {
            *copy = x.low(self.from).to_u64();
        }
        self.powers(
            cx,
            [at, at],
            self.polynomial.terms(),
            [rows, len],
            &mut buffers,
            Public::peel_slice_mut(kept),
        )?;
        let role = cx.role();
        for (x, &sum) in x.iter_mut().zip(buffers.sum.iter()) {
            *x = truncate(role, unpair(sum), self.sum_bits(), COEFFICIENT_FRACTION).cast();
        }
        Ok(())
    }

    /// Computes shares of the polynomial with coefficients `terms` in `buffers.sum`. Stores the openings of x and its
    /// powers in `kept` as far as it has room. A sum of two terms needs no product, and reads x's opening from `kept`.
    #[inline(never)]
    fn powers<O: Online>(
        self,
        cx: &mut O,
        [at, forward]: [At; 2],
        terms: &[i64],
        [rows, len]: [usize; 2],
        buffers: &mut Buffers<'_>,
        kept: &mut [u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let count = rows * len;
        let constant = match role {
            Role::P0 => coefficient(terms[0]).left(self.fraction),
            Role::P1 => 0,
        };
        buffers.sum.fill(pair(constant));
        if terms.len() == 2 {
            let wires = [wire(forward, 1, LEFT), wire(at, 1, LEFT_CARRY)];
            for group in groups(at, rows, len) {
                let e = &kept[group.range()];
                let x = self.power(1).opened(cx, wires, group.stream, e)?;
                self.add_term(terms[1], &group, buffers.sum, |lane| x.share(role, lane));
            }
        }
        buffers.left.copy_from_slice(buffers.x);
        for number in 1..terms.len() as u32 - 1 {
            self.open_operands(cx, at, number, [rows, len], buffers)?;
            let slot = (number as usize - 1) * count;
            if let Some(kept) = kept.get_mut(slot..slot + count) {
                kept.copy_from_slice(buffers.left);
            }
            for group in groups(at, rows, len) {
                let wires = [wire(at, number, LEFT), wire(at, number, LEFT_CARRY)];
                let e = &buffers.left[group.range()];
                let left = self.power(number).opened(cx, wires, group.stream, e)?;
                if number == 1 {
                    self.add_term(terms[1], &group, buffers.sum, |lane| left.share(role, lane));
                }
                let product = if self.reuse && number == 1 {
                    let wires = parts(at, number);
                    self.square()
                        .square(cx, wires, group.stream, group.lanes, &left)?
                } else {
                    let e = if self.reuse {
                        &kept[group.range()]
                    } else {
                        &buffers.right[group.range()]
                    };
                    let wires = self.right_wires(at, number);
                    let right = self.power(1).opened(cx, wires, group.stream, e)?;
                    self.multiply(cx, at, number, &group, [&left, &right])?
                };
                let power = |lane: usize| truncate(role, product[lane], self.wide(), self.fraction);
                let term = terms[number as usize + 1];
                self.add_term(term, &group, buffers.sum, power);
                if number as usize + 2 < terms.len() {
                    let bits = self.power_bits(number + 1);
                    for (lane, left) in buffers.left[group.range()].iter_mut().enumerate() {
                        *left = power(lane).low(bits) as u64;
                    }
                }
            }
        }
        Ok(())
    }

    /// Shares of the product of power `number` and x, for one group.
    #[inline(never)]
    fn multiply<O: Online>(
        self,
        cx: &mut O,
        at: At,
        number: u32,
        group: &Group,
        operands: [&Opened<u128>; 2],
    ) -> Result<[u128; LANES], LinkError> {
        let cross = self.cross(self.power(number), self.power(1));
        cross.product(cx, parts(at, number), group.stream, group.lanes, operands)
    }

    /// Masks and opens the operands of product `number`: the power, and also x unless its opening is reused.
    #[inline(never)]
    fn open_operands<O: Online>(
        self,
        cx: &mut O,
        at: At,
        number: u32,
        [rows, len]: [usize; 2],
        buffers: &mut Buffers<'_>,
    ) -> Result<(), LinkError> {
        let left = self.power(number);
        for group in groups(at, rows, len) {
            let words = &mut buffers.left[group.range()];
            left.mask_values::<u128, u64, O>(cx, wire(at, number, LEFT), group.stream, words);
        }
        let left = Segment::words(Masked::wrap_slice_mut(&mut *buffers.left), left.from);
        if self.reuse {
            return cx.open(&mut [left]);
        }
        buffers.right.copy_from_slice(buffers.x);
        for group in groups(at, rows, len) {
            let words = &mut buffers.right[group.range()];
            let mask = wire(at, number, RIGHT);
            self.power(1)
                .mask_values::<u128, u64, O>(cx, mask, group.stream, words);
        }
        let right = Masked::wrap_slice_mut(&mut *buffers.right);
        cx.open(&mut [left, Segment::words(right, self.from)])
    }

    /// Adds the term with coefficient `term` to a group's sums. `share` gives the power's share in a lane.
    fn add_term(self, term: i64, group: &Group, sums: &mut [Pair], share: impl Fn(usize) -> u128) {
        for (lane, sum) in sums[group.range()].iter_mut().enumerate() {
            let value = unpair(*sum).plus(coefficient(term).times(share(lane)));
            *sum = pair(value.low(self.sum_bits()));
        }
    }

    /// Runs the backward pass: replaces `dy`, shares in Z_2^gradient, by shares of dy P'(x) in Z_2^to. The positions are
    /// those of this pass and of the forward pass.
    #[inline(never)]
    pub fn backward<R: Ring, O: Online>(
        self,
        cx: &mut O,
        [at, forward]: [At; 2],
        [rows, len]: [usize; 2],
        dy: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        let dy = &mut Share::peel_slice_mut(dy)[..rows * len];
        let kept = Public::peel_slice_mut(kept);
        let buffers = &mut Buffers::new(scratch, rows * len);
        if !self.reuse {
            self.prepare_derivative(cx, [at, forward], [rows, len], kept, buffers)?;
        }
        for (right, dy) in buffers.right.iter_mut().zip(dy.iter()) {
            *right = dy.low(self.gradient).to_u64();
        }
        let degree = u32::from(self.polynomial.degree);
        let mask = wire(at, degree, RIGHT);
        for group in groups(at, rows, len) {
            let words = &mut buffers.right[group.range()];
            self.gradient(self.wide())
                .mask_values::<u128, u64, O>(cx, mask, group.stream, words);
        }
        let right = Masked::wrap_slice_mut(&mut *buffers.right);
        let right = Segment::words(right, self.gradient);
        if self.reuse {
            cx.open(&mut [right])?;
            self.multiply_kept(cx, [at, forward], [rows, len], dy, kept, buffers.right)
        } else {
            let left = Masked::wrap_slice_mut(&mut *buffers.left);
            cx.open(&mut [Segment::words(left, self.to), right])?;
            self.multiply_derivative(cx, at, [rows, len], dy, buffers)
        }
    }

    /// Computes the derivative again and masks it, in `buffers.left`.
    #[inline(never)]
    fn prepare_derivative<O: Online>(
        self,
        cx: &mut O,
        [at, forward]: [At; 2],
        [rows, len]: [usize; 2],
        kept: &mut [u64],
        buffers: &mut Buffers<'_>,
    ) -> Result<(), LinkError> {
        let role = cx.role();
        for group in groups(at, rows, len) {
            let x = &mut buffers.x[group.range()];
            x.copy_from_slice(&kept[group.range()]);
            self.power(1)
                .unmask::<u128, u64, O>(cx, wire(forward, 1, LEFT), group.stream, x);
        }
        let derivative = self.polynomial.derivative();
        let terms = derivative.terms();
        // Only a sum of two terms reads the stored opening; products open x again.
        let kept = if terms.len() == 2 { kept } else { &mut [] };
        self.powers(cx, [at, forward], terms, [rows, len], buffers, kept)?;
        for (left, &sum) in buffers.left.iter_mut().zip(buffers.sum.iter()) {
            let sum = truncate(role, unpair(sum), self.sum_bits(), COEFFICIENT_FRACTION);
            *left = sum.low(self.to) as u64;
        }
        let degree = u32::from(self.polynomial.degree);
        for group in groups(at, rows, len) {
            let words = &mut buffers.left[group.range()];
            let mask = wire(at, degree, LEFT);
            self.derivative()
                .mask_values::<u128, u64, O>(cx, mask, group.stream, words);
        }
        Ok(())
    }

    /// Multiplies the opened derivative by the opened gradient.
    #[inline(never)]
    fn multiply_derivative<R: Ring, O: Online>(
        self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        dy: &mut [R],
        buffers: &Buffers<'_>,
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let degree = u32::from(self.polynomial.degree);
        let derivative = self.derivative();
        let gradient = self.gradient(derivative.to);
        for group in groups(at, rows, len) {
            let wires = [wire(at, degree, RIGHT), wire(at, degree, RIGHT_CARRY)];
            let e = &buffers.right[group.range()];
            let right = gradient.opened(cx, wires, group.stream, e)?;
            let wires = [wire(at, degree, LEFT), wire(at, degree, LEFT_CARRY)];
            let e = &buffers.left[group.range()];
            let left = derivative.opened(cx, wires, group.stream, e)?;
            let product = self.cross(derivative, gradient).product::<u128, O>(
                cx,
                parts(at, degree),
                group.stream,
                group.lanes,
                [&left, &right],
            )?;
            for (dy, product) in dy[group.range()].iter_mut().zip(product) {
                *dy = truncate(role, product, derivative.to, self.fraction).cast();
            }
        }
        Ok(())
    }

    /// Multiplies the stored openings of the powers by the opened gradient, and sums the terms of the derivative.
    #[inline(never)]
    fn multiply_kept<R: Ring, O: Online>(
        self,
        cx: &mut O,
        [at, forward]: [At; 2],
        [rows, len]: [usize; 2],
        dy: &mut [R],
        kept: &[u64],
        opened: &[u64],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let degree = u32::from(self.polynomial.degree);
        let derivative = self.polynomial.derivative();
        let gradient = self.gradient(self.wide());
        for group in groups(at, rows, len) {
            let wires = [wire(at, degree, RIGHT), wire(at, degree, RIGHT_CARRY)];
            let e = &opened[group.range()];
            let right = gradient.opened::<u128, _, O>(cx, wires, group.stream, e)?;
            let mut sums = [0u128; LANES];
            for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                let share = right.share(role, lane).left(self.fraction);
                *sum = coefficient(derivative.coefficients[0]).times(share);
            }
            for number in 1..degree {
                let power = self.power(number);
                let wires = [wire(forward, number, LEFT), wire(at, number, LEFT_CARRY)];
                let slot = (number as usize - 1) * rows * len;
                let e = &kept[slot..][group.range()];
                let left = power.opened(cx, wires, group.stream, e)?;
                let product = self.cross(power, gradient).product(
                    cx,
                    parts(at, number),
                    group.stream,
                    group.lanes,
                    [&left, &right],
                )?;
                let term = coefficient(derivative.coefficients[number as usize]);
                for (sum, product) in sums.iter_mut().zip(product) {
                    *sum = sum.plus(term.times(product));
                }
            }
            let by = self.fraction + COEFFICIENT_FRACTION;
            for (dy, sum) in dy[group.range()].iter_mut().zip(sums) {
                *dy = truncate(role, sum, self.wide(), by).cast();
            }
        }
        Ok(())
    }
}

/// A coefficient as an element of the ring of products.
fn coefficient(value: i64) -> u128 {
    u128::from_i64(value)
}
