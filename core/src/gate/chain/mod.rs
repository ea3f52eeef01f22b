//! Polynomial of degree d by a chain of products, x^(k+1) = x^k * x, as published in "Image recognition without
//! disclosing your data" (2018).
//!
//! Without reuse of masks both operands of each product are opened: 2(d-1) values in the forward pass, and as many in
//! the backward pass. With reuse each power is opened once, d-1 values, and the backward pass opens only the gradient.
//!
//! Each power is at scale f. Products are at scale 2f, and local truncation brings them back to scale f. A last local
//! truncation removes the coefficients' fraction bits from the sum of terms.

mod run;

use crate::{
    cost::{Cost, LANES},
    net::link::LinkError,
    num::polynomial::{COEFFICIENT_FRACTION, Polynomial},
    prg::Address,
};

use super::{
    At, Offline,
    cross::{Cross, Square},
    groups,
    lift::Lift,
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The polynomial P.
    pub polynomial: Polynomial,
    /// f, the fraction bits.
    pub fraction: u32,
    /// Ring of the input; |x| < 2^(from-2).
    pub from: u32,
    /// Ring of the incoming gradient.
    pub gradient: u32,
    /// Ring of the output, in both passes.
    pub to: u32,
    /// Whether all products that read a power share one opening of it.
    pub reuse: bool,
}

/// Wires of a product; product number k adds 16 k.
const LEFT: u8 = 0;
const LEFT_CARRY: u8 = 1;
const RIGHT: u8 = 2;
const RIGHT_CARRY: u8 = 3;
const PART: u8 = 4;

/// A wire of product number `product`.
fn wire(at: At, product: u32, which: u8) -> Address {
    at.wire(16 * product as u8 + which)
}

/// Wires of the dealt parts of a product or square.
fn parts<const N: usize>(at: At, product: u32) -> [Address; N] {
    core::array::from_fn(|which| wire(at, product, PART + which as u8))
}

impl Chain {
    /// Ring of the products, at scale 2f.
    fn wide(self) -> u32 {
        self.to + self.fraction + COEFFICIENT_FRACTION
    }

    /// Ring of the terms' sum, at scale f + [`COEFFICIENT_FRACTION`].
    fn sum_bits(self) -> u32 {
        self.wide() - self.fraction
    }

    /// Ring in which x^power is opened; its range contract is x's to that power.
    fn power_bits(self, power: u32) -> u32 {
        self.from + (power - 1) * (self.from - 2 - self.fraction)
    }

    /// Whether all rings fit: 128 bits for products, 64 bits for openings.
    pub fn fits(self) -> bool {
        let opened = self.power_bits(u32::from(self.polynomial.degree) - 1);
        self.wide() <= u128::BITS && opened <= u64::BITS && self.from > self.fraction + 2
    }

    /// Openings per element that the forward pass stores for the backward pass.
    pub fn kept(self) -> usize {
        if self.reuse {
            usize::from(self.polynomial.degree) - 1
        } else {
            1
        }
    }

    /// Scratch that a party needs for `rows` x `len` elements, in 64-bit words.
    pub fn scratch_len(self, rows: usize, len: usize) -> usize {
        run::WORDS * rows * len
    }

    /// Masks of x^power.
    fn power(self, power: u32) -> Lift {
        Lift {
            from: self.power_bits(power),
            to: self.wide(),
        }
    }

    /// The square of x's mask.
    fn square(self) -> Square {
        Square {
            from: self.from,
            to: self.wide(),
        }
    }

    /// The product of two masks.
    fn cross(self, left: Lift, right: Lift) -> Cross {
        Cross {
            left: left.from,
            right: right.from,
            to: left.to,
        }
    }

    /// Masks of the incoming gradient, for products in Z_2^to.
    fn gradient(self, to: u32) -> Lift {
        Lift {
            from: self.gradient,
            to,
        }
    }

    /// Masks of the derivative at scale f, which is multiplied by the gradient if openings are not reused.
    fn derivative(self) -> Lift {
        Lift {
            from: self.to,
            to: self.to + self.fraction,
        }
    }

    /// Cost of the forward pass for `rows` x `len` elements.
    pub fn forward_cost(self, rows: usize, len: usize) -> Cost {
        self.powers_cost(self.polynomial.terms().len(), rows, len)
    }

    /// Cost of the backward pass for `rows` x `len` elements.
    pub fn backward_cost(self, rows: usize, len: usize) -> Cost {
        let opening = Cost::opening(rows * len, self.gradient) + Cost::rounds(1);
        let degree = u32::from(self.polynomial.degree);
        if self.reuse {
            let gradient = self.gradient(self.wide());
            let product = |power| {
                let power = self.power(power);
                power.lifted_cost(rows, len) + self.cross(gradient, power).cost(rows, len)
            };
            return opening
                + gradient.lifted_cost(rows, len)
                + (1..degree).map(product).sum::<Cost>();
        }
        let (derivative, gradient) = (self.derivative(), self.gradient(self.derivative().to));
        self.powers_cost(degree as usize, rows, len)
            + opening
            + Cost::opening(rows * len, derivative.from)
            + derivative.lifted_cost(rows, len)
            + gradient.lifted_cost(rows, len)
            + self.cross(derivative, gradient).cost(rows, len)
    }

    /// Cost of the sum of `terms` terms, from the constant one up.
    fn powers_cost(self, terms: usize, rows: usize, len: usize) -> Cost {
        let products = terms as u32 - 2;
        if products == 0 {
            return self.power(1).lifted_cost(rows, len);
        }
        let product = |number| {
            let left = self.power(number);
            let both = Cost::opening(rows * len, left.from)
                + Cost::rounds(1)
                + left.lifted_cost(rows, len);
            if self.reuse && number == 1 {
                return both + self.square().cost(rows, len);
            }
            let right = if self.reuse {
                Cost::ZERO
            } else {
                Cost::opening(rows * len, self.from)
            };
            both + right
                + self.power(1).lifted_cost(rows, len)
                + self.cross(left, self.power(1)).cost(rows, len)
        };
        (1..=products).map(product).sum()
    }

    /// Sends the corrections of the forward pass for `rows` x `len` elements.
    pub fn deal_forward<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        self.deal_powers(cx, [at, at], self.polynomial.terms().len(), rows, len)
    }

    /// Sends the corrections for the sum of `terms` terms at position `at`. `forward` is the position of x's first
    /// opening, which a sum of two terms reads.
    fn deal_powers<D: Offline>(
        self,
        cx: &mut D,
        [at, forward]: [At; 2],
        terms: usize,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let x = self.power(1);
        if terms == 2 {
            for group in groups(at, rows, len) {
                let mut masks = [0u128; LANES];
                let masks = &mut masks[..group.lanes];
                let wires = [wire(forward, 1, LEFT), wire(at, 1, LEFT_CARRY)];
                x.deal_opened(cx, wires, group.stream, masks)?;
            }
        }
        for number in 1..terms as u32 - 1 {
            let left = self.power(number);
            for group in groups(at, rows, len) {
                let (mut a, mut b) = ([0u128; LANES], [0u128; LANES]);
                let (a, b) = (&mut a[..group.lanes], &mut b[..group.lanes]);
                let wires = [wire(at, number, LEFT), wire(at, number, LEFT_CARRY)];
                left.deal_opened(cx, wires, group.stream, a)?;
                if self.reuse && number == 1 {
                    self.square().deal(cx, parts(at, number), group.stream, a)?;
                    continue;
                }
                let wires = self.right_wires(at, number);
                x.deal_opened(cx, wires, group.stream, b)?;
                self.cross(left, x)
                    .deal(cx, parts(at, number), group.stream, a, b)?;
            }
        }
        Ok(())
    }

    /// Wires of mask and carry of x as the right operand of product `number`.
    fn right_wires(self, at: At, number: u32) -> [Address; 2] {
        let mask = if self.reuse {
            wire(at, 1, LEFT)
        } else {
            wire(at, number, RIGHT)
        };
        [mask, wire(at, number, RIGHT_CARRY)]
    }

    /// Sends the corrections of the backward pass. `forward` is the position of the forward pass.
    pub fn deal_backward<D: Offline>(
        self,
        cx: &mut D,
        at: At,
        forward: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let degree = u32::from(self.polynomial.degree);
        let (left, to) = if self.reuse {
            (None, self.wide())
        } else {
            self.deal_powers(cx, [at, forward], degree as usize, rows, len)?;
            (Some(self.derivative()), self.derivative().to)
        };
        let gradient = self.gradient(to);
        for group in groups(at, rows, len) {
            let (mut a, mut b) = ([0u128; LANES], [0u128; LANES]);
            let (a, b) = (&mut a[..group.lanes], &mut b[..group.lanes]);
            let wires = [wire(at, degree, RIGHT), wire(at, degree, RIGHT_CARRY)];
            gradient.deal_opened(cx, wires, group.stream, b)?;
            if let Some(left) = left {
                let wires = [wire(at, degree, LEFT), wire(at, degree, LEFT_CARRY)];
                left.deal_opened(cx, wires, group.stream, a)?;
                self.cross(left, gradient)
                    .deal(cx, parts(at, degree), group.stream, a, b)?;
                continue;
            }
            for number in 1..degree {
                let power = self.power(number);
                let wires = [wire(forward, number, LEFT), wire(at, number, LEFT_CARRY)];
                power.deal_opened(cx, wires, group.stream, a)?;
                self.cross(power, gradient)
                    .deal(cx, parts(at, number), group.stream, a, b)?;
            }
        }
        Ok(())
    }
}
