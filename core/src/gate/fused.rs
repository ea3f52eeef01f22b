//! Polynomial of any degree from one opening of x. The backward pass opens only the gradient.
//!
//! Let x = p - a, where p is public and a is the mask. Then P(x) = P(p) - P'(p) a + P''(p)/2 a^2 - ..., a combination of
//! dealt shares of the mask's powers with public coefficients. All values are fractions of the ring, x / 2^n, so that
//! powers are in [-1, 1]. Fraction bits are limited to what the result's last bit needs, so that degree 8 fits 128
//! bits.

use bytemuck::TransparentWrapper;

use crate::{
    Role,
    cost::{Cost, LANES},
    net::link::{LinkError, Segment},
    num::{
        polynomial::{COEFFICIENT_FRACTION, MAX_DEGREE, Polynomial},
        ring::{Ring, Word},
    },
    prg::Address,
    share::{Masked, Public, Share, truncate},
};

use super::{
    At, Offline, Online, groups,
    lift::Lift,
    powers::{Powers, scaled},
};

/// The gate's public widths, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fused {
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
}

const MASK: u8 = 0;
const CARRY: u8 = 1;
const GRADIENT: u8 = 2;
const GRADIENT_CARRY: u8 = 3;
/// The first wire of powers, with two wires per power. Products follow, with four wires per power.
const POWER: u8 = 4;
const PRODUCT: u8 = POWER + 2 * (MAX_DEGREE as u8 + 1);

/// Wires of the dealt powers.
fn power_wire(at: At) -> impl Fn(u32) -> Address {
    move |which| at.wire(POWER + which as u8)
}

/// Wires of the dealt products of powers with the gradient's mask.
fn product_wire(at: At) -> impl Fn(u32) -> Address {
    move |which| at.wire(PRODUCT + which as u8)
}

/// Widths and coefficients for the evaluation of a polynomial in x / 2^n, with an error of at most 2^-result.
struct Evaluation {
    /// `coefficients[j][k]` is binomial(k, j) c_k, for coefficients c_k of the powers of x / 2^n, with `public` fraction
    /// bits.
    coefficients: [[i128; MAX_DEGREE + 1]; MAX_DEGREE + 1],
    /// Degree of the polynomial.
    degree: usize,
    /// n, the bits of x.
    from: u32,
    /// Fraction bits of public coefficients.
    public: u32,
    /// Fraction bits of dealt powers.
    powers: u32,
    /// Bits of the largest coefficient before the binary point.
    magnitude: u32,
    /// Fraction bits of the result.
    result: u32,
    /// Ring of the output.
    to: u32,
}

/// The binomial coefficient n over k.
fn binomial(n: usize, k: usize) -> i128 {
    (0..k).fold(1, |product, i| product * (n - i) as i128 / (i as i128 + 1))
}

impl Evaluation {
    /// The evaluation of `terms` at x in Z_2^from with `units` fraction bits. `other` is the width of a factor that the
    /// value is multiplied by, or 0.
    fn new(terms: &[i64], [from, units]: [u32; 2], result: u32, other: u32, to: u32) -> Self {
        let degree = terms.len() - 1;
        // Rounding of each power and of its public coefficient adds at most half a unit each.
        let guard = 4 + terms.len().next_power_of_two().trailing_zeros();
        let public = result + guard;
        let magnitude = magnitude(terms, from - units);
        let mut coefficients = [[0i128; MAX_DEGREE + 1]; MAX_DEGREE + 1];
        for (k, &term) in terms.iter().enumerate() {
            let up = public + k as u32 * (from - units);
            let coefficient = match up.checked_sub(COEFFICIENT_FRACTION) {
                Some(up) => i128::from(term).checked_shl(up).unwrap_or(0),
                None => scaled(term.into(), 1, COEFFICIENT_FRACTION - up),
            };
            for (power, row) in coefficients.iter_mut().enumerate().take(k + 1) {
                row[k] = coefficient.wrapping_mul(binomial(k, power));
            }
        }
        Evaluation {
            coefficients,
            degree,
            from,
            public,
            powers: (public + magnitude).max(from).max(other),
            magnitude,
            result,
            to,
        }
    }

    /// Fraction bits of the sum of terms.
    fn sum(&self) -> u32 {
        self.public + self.powers
    }

    /// Ring of the sum of terms, from which a local truncation leads to the output's ring.
    fn wide(&self) -> u32 {
        self.to + self.sum() - self.result
    }

    /// Whether 128-bit integers suffice, with another mask of `other` bits.
    fn fits(&self, other: u32) -> bool {
        self.dealt().fits(other)
            && self.magnitude + self.public + self.from.max(other) < i128::BITS - 2
    }

    /// The dealt powers.
    fn dealt(&self) -> Powers {
        Powers {
            from: self.from,
            precision: self.powers,
            to: self.wide(),
            highest: self.degree as u32,
        }
    }

    /// Masks of `from` bits, shared in the sum's ring.
    fn lift(&self, from: u32) -> Lift {
        Lift {
            from,
            to: self.wide(),
        }
    }

    /// The factor of (-a / 2^n)^power when x / 2^n = (p - a) / 2^n: the Taylor coefficient at p.
    fn taylor(&self, public: i128, power: usize) -> i128 {
        let terms = &self.coefficients[power][power..=self.degree];
        terms.iter().rev().fold(0, |sum, &term| {
            scaled(sum, public, self.from).wrapping_add(term)
        })
    }
}

/// Bits before the binary point that suffice for every Taylor coefficient j of a polynomial in x / 2^range at p with
/// |p| / 2^range <= 3/4: those of the sum over k of binomial(k, j) |c_k| (3/4)^(k-j), rounded up.
fn magnitude(terms: &[i64], range: u32) -> u32 {
    let mut largest = 0u128;
    for power in 0..terms.len() {
        let mut sum = 0u128;
        for (k, term) in terms.iter().enumerate().skip(power) {
            let term = u128::from(term.unsigned_abs());
            let up = range.saturating_mul(k as u32);
            let scaled = if term.leading_zeros() > up {
                term << up
            } else {
                u128::MAX
            };
            let below = (k - power) as u32;
            let times = binomial(k, power).unsigned_abs() * 3u128.pow(below);
            sum =
                sum.saturating_add((scaled.saturating_mul(times) >> (2 * below)).saturating_add(1));
        }
        largest = largest.max(sum);
    }
    (u128::BITS - largest.leading_zeros()).saturating_sub(COEFFICIENT_FRACTION)
}

/// A signed integer as an element of the sum's ring.
fn element(value: i128) -> u128 {
    value as u128
}

impl Fused {
    /// The evaluation of P in the forward pass.
    fn value(&self) -> Evaluation {
        let terms = self.polynomial.trimmed();
        Evaluation::new(terms, [self.from, self.fraction], self.fraction, 0, self.to)
    }

    /// The evaluation of P' times the gradient, which is a fraction of its own ring, in the backward pass.
    fn slope(&self) -> Evaluation {
        let derivative = self.polynomial.derivative();
        let (gradient, widths) = (self.gradient, [self.from, self.fraction]);
        Evaluation::new(derivative.trimmed(), widths, gradient, gradient, self.to)
    }

    /// Whether 128-bit integers suffice for both passes.
    pub fn fits(&self) -> bool {
        self.from > self.fraction + 2
            && self.value().fits(self.from)
            && self.slope().fits(self.gradient)
    }

    /// Cost of the forward pass for `rows` x `len` elements; one round.
    pub fn forward_cost(&self, rows: usize, len: usize) -> Cost {
        let value = self.value();
        Cost::opening(rows * len, self.from)
            + value.lift(self.from).lifted_cost(rows, len)
            + value.dealt().cost(rows, len)
            + Cost::rounds(1)
    }

    /// Cost of the backward pass for `rows` x `len` elements; one round.
    pub fn backward_cost(&self, rows: usize, len: usize) -> Cost {
        let slope = self.slope();
        Cost::opening(rows * len, self.gradient)
            + slope.lift(self.from).lifted_cost(rows, len)
            + slope.lift(self.gradient).lifted_cost(rows, len)
            + slope.dealt().cost(rows, len)
            + slope.dealt().products_cost(rows, len)
            + Cost::rounds(1)
    }

    /// Sends the corrections of the forward pass for `rows` x `len` elements.
    pub fn deal_forward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let value = self.value();
        let lift = value.lift(self.from);
        for group in groups(at, rows, len) {
            let mut masks = [0u128; LANES];
            let masks = &mut masks[..group.lanes];
            let wires = [at.wire(MASK), at.wire(CARRY)];
            lift.deal_opened(cx, wires, group.stream, masks)?;
            value
                .dealt()
                .deal(cx, power_wire(at), group.stream, masks)?;
        }
        Ok(())
    }

    /// Sends the corrections of the backward pass. `forward` is the position of the forward pass.
    pub fn deal_backward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        forward: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let slope = self.slope();
        let (x, dy) = (slope.lift(self.from), slope.lift(self.gradient));
        for group in groups(at, rows, len) {
            let (mut a, mut b) = ([0u128; LANES], [0u128; LANES]);
            let (a, b) = (&mut a[..group.lanes], &mut b[..group.lanes]);
            let wires = [forward.wire(MASK), at.wire(CARRY)];
            x.deal_opened(cx, wires, group.stream, a)?;
            let wires = [at.wire(GRADIENT), at.wire(GRADIENT_CARRY)];
            dy.deal_opened(cx, wires, group.stream, b)?;
            let dealt = slope.dealt();
            dealt.deal(cx, power_wire(at), group.stream, a)?;
            let others = (&*b, self.gradient);
            dealt.deal_products(cx, product_wire(at), group.stream, a, others)?;
        }
        Ok(())
    }

    /// Runs the forward pass on `rows` x `len` shares in place: from Z_2^from to Z_2^to. Stores one opening per element
    /// in `kept`.
    #[inline(never)]
    pub fn forward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        at: At,
        [rows, len]: [usize; 2],
        x: &mut [Share<R>],
        kept: &mut [Public<u64>],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let value = self.value();
        let lift = value.lift(self.from);
        let x = &mut Share::peel_slice_mut(x)[..rows * len];
        let kept = Public::peel_slice_mut(kept);
        for group in groups(at, rows, len) {
            let x = &mut x[group.range()];
            lift.mask_values::<u128, R, O>(cx, at.wire(MASK), group.stream, x);
        }
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut *x), self.from)])?;
        let by = value.sum() - self.fraction;
        for group in groups(at, rows, len) {
            let wires = [at.wire(MASK), at.wire(CARRY)];
            let e = &mut x[group.range()];
            let opened = lift.opened::<u128, R, O>(cx, wires, group.stream, e)?;
            let mut sums = [0u128; LANES];
            for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                let p = opened.public[lane] as i128;
                let constant = match role {
                    Role::P0 => element(value.taylor(p, 0)).left(value.powers),
                    Role::P1 => 0,
                };
                // Subtract the term of the first power, which is the mask itself with `from` fraction bits.
                let first = element(value.taylor(p, 1)).left(value.powers - self.from);
                *sum = constant.minus(first.times(opened.mask[lane]));
            }
            for power in 2..=value.degree {
                let span = (group.stream, group.lanes);
                let wire = power_wire(at);
                let number = power as u32;
                let shares = value
                    .dealt()
                    .read(cx, wire, number, span, &opened.carry_select)?;
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let p = opened.public[lane] as i128;
                    let term = element(alternate(value.taylor(p, power), power));
                    *sum = sum.plus(term.times(shares[lane]));
                }
            }
            for ((e, kept), sum) in e.iter_mut().zip(&mut kept[group.range()]).zip(sums) {
                *kept = e.to_u64();
                *e = truncate(role, sum, value.wide(), by).cast();
            }
        }
        Ok(())
    }

    /// Runs the backward pass: replaces `dy`, shares in Z_2^gradient, by shares of dy P'(x) in Z_2^to. The positions are
    /// those of this pass and of the forward pass.
    #[inline(never)]
    pub fn backward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        [at, forward]: [At; 2],
        [rows, len]: [usize; 2],
        dy: &mut [Share<R>],
        kept: &[Public<u64>],
    ) -> Result<(), LinkError> {
        let role = cx.role();
        let slope = self.slope();
        let (lift, gradient) = (slope.lift(self.from), slope.lift(self.gradient));
        let dy = &mut Share::peel_slice_mut(dy)[..rows * len];
        let kept = Public::peel_slice(kept);
        for group in groups(at, rows, len) {
            let dy = &mut dy[group.range()];
            gradient.mask_values::<u128, R, O>(cx, at.wire(GRADIENT), group.stream, dy);
        }
        let masked = Masked::wrap_slice_mut(&mut *dy);
        cx.open(&mut [Segment::words(masked, self.gradient)])?;
        let by = slope.sum() - self.gradient;
        for group in groups(at, rows, len) {
            let wires = [forward.wire(MASK), at.wire(CARRY)];
            let e = &kept[group.range()];
            let x = lift.opened::<u128, _, O>(cx, wires, group.stream, e)?;
            let wires = [at.wire(GRADIENT), at.wire(GRADIENT_CARRY)];
            let e = &mut dy[group.range()];
            let g = gradient.opened::<u128, R, O>(cx, wires, group.stream, e)?;
            let (dealt, span) = (slope.dealt(), (group.stream, group.lanes));
            let mut sums = [0u128; LANES];
            for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                let p = x.public[lane] as i128;
                let derivative = element(slope.taylor(p, 0)).left(slope.powers - self.gradient);
                *sum = derivative.times(g.share(role, lane));
            }
            for power in 1..=slope.degree {
                // The first power is the mask itself, with `from` fraction bits.
                let shares = if power == 1 {
                    x.mask.map(|mask| mask.left(slope.powers - self.from))
                } else {
                    dealt.read(cx, power_wire(at), power as u32, span, &x.carry_select)?
                };
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let (p, q) = (x.public[lane] as i128, g.public[lane] as i128);
                    let taylor = alternate(slope.taylor(p, power), power);
                    let public = element(scaled(taylor, q, self.gradient));
                    *sum = sum.plus(public.times(shares[lane]));
                }
            }
            let carries = [&x.carry_select, &g.carry_select];
            for power in 1..=slope.degree {
                let wire = product_wire(at);
                let shares = dealt.read_product(cx, wire, power as u32, span, carries)?;
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let p = x.public[lane] as i128;
                    let term = element(alternate(slope.taylor(p, power), power));
                    *sum = sum.minus(term.times(shares[lane]));
                }
            }
            for (e, sum) in e.iter_mut().zip(sums) {
                *e = truncate(role, sum, slope.wide(), by).cast();
            }
        }
        Ok(())
    }
}

/// (-1)^power * value.
fn alternate(value: i128, power: usize) -> i128 {
    if power.is_multiple_of(2) {
        value
    } else {
        -value
    }
}
