//! Polynomial from one opening of x, whatever its degree; and the way back, which opens the gradient
//! alone.
//!
//! With x = p - a for a public p and a mask a, P(x) = P(p) - P'(p) a + P''(p)/2 a^2 - ...: public
//! coefficients on dealt shares of the mask's powers. Everything is counted in fractions of the ring
//! (x / 2^n), where no power leaves [-1, 1], and only as many bits are carried as the result's last place
//! asks for: that is what makes degree 8 fit 128 bits.

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
    /// What is evaluated.
    pub polynomial: Polynomial,
    /// f, the fraction bits.
    pub fraction: u32,
    /// Ring of the input; |x| < 2^(from-2).
    pub from: u32,
    /// Ring of the incoming gradient.
    pub gradient: u32,
    /// Ring of the output, both ways.
    pub to: u32,
}

const MASK: u8 = 0;
const CARRY: u8 = 1;
const GRADIENT: u8 = 2;
const GRADIENT_CARRY: u8 = 3;
/// Powers' wires follow, two each; products' wires, four each, come after those.
const POWER: u8 = 4;
const PRODUCT: u8 = POWER + 2 * (MAX_DEGREE as u8 + 1);

fn power_wire(at: At) -> impl Fn(u32) -> Address {
    move |which| at.wire(POWER + which as u8)
}

fn product_wire(at: At) -> impl Fn(u32) -> Address {
    move |which| at.wire(PRODUCT + which as u8)
}

/// One evaluation: a polynomial in x / 2^n, whose value is wanted to one unit of 2^-result.
struct Evaluation {
    /// Coefficients in x / 2^n, with `public` fraction bits, times the binomials of each derivative.
    coefficients: [[i128; MAX_DEGREE + 1]; MAX_DEGREE + 1],
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

fn binomial(n: usize, k: usize) -> i128 {
    (0..k).fold(1, |product, i| product * (n - i) as i128 / (i as i128 + 1))
}

impl Evaluation {
    /// `units`: fraction bits of x. `other`: bits of what the value is multiplied by, if anything.
    fn new(terms: &[i64], [from, units]: [u32; 2], result: u32, other: u32, to: u32) -> Self {
        let degree = terms.len() - 1;
        // Rounding adds at most half a unit for each power, there and in its public coefficient.
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

    /// Ring of the sum, from which a free step down leads to the output's.
    fn wide(&self) -> u32 {
        self.to + self.sum() - self.result
    }

    fn fits(&self, other: u32) -> bool {
        self.dealt().fits(other)
            && self.magnitude + self.public + self.from.max(other) < i128::BITS - 2
    }

    fn dealt(&self) -> Powers {
        Powers {
            from: self.from,
            precision: self.powers,
            to: self.wide(),
            highest: self.degree as u32,
        }
    }

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

/// Bits before the binary point of the largest Taylor coefficient of a polynomial in x / 2^range, where
/// |p| / 2^range is at most 3/4: the sum of C(k, j) |c_k| (3/4)^(k-j), rounded up.
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

/// A signed number as an element of the wide ring.
fn element(value: i128) -> u128 {
    value as u128
}

impl Fused {
    fn there(&self) -> Evaluation {
        let terms = self.polynomial.trimmed();
        Evaluation::new(terms, [self.from, self.fraction], self.fraction, 0, self.to)
    }

    /// The derivative's value times a gradient that counts as a fraction of its own ring.
    fn back(&self) -> Evaluation {
        let derivative = self.polynomial.derivative();
        let (gradient, widths) = (self.gradient, [self.from, self.fraction]);
        Evaluation::new(derivative.trimmed(), widths, gradient, gradient, self.to)
    }

    /// Whether 128 bits are enough.
    pub fn fits(&self) -> bool {
        self.from > self.fraction + 2
            && self.there().fits(self.from)
            && self.back().fits(self.gradient)
    }

    /// Cost of the way forward for `rows` x `len` elements; one round.
    pub fn forward_cost(&self, rows: usize, len: usize) -> Cost {
        let there = self.there();
        Cost::opening(rows * len, self.from)
            + there.lift(self.from).lifted_cost(rows, len)
            + there.dealt().cost(rows, len)
            + Cost::rounds(1)
    }

    /// Cost of the way back; one round.
    pub fn backward_cost(&self, rows: usize, len: usize) -> Cost {
        let back = self.back();
        Cost::opening(rows * len, self.gradient)
            + back.lift(self.from).lifted_cost(rows, len)
            + back.lift(self.gradient).lifted_cost(rows, len)
            + back.dealt().cost(rows, len)
            + back.dealt().products_cost(rows, len)
            + Cost::rounds(1)
    }

    /// Sends the corrections of the way forward.
    pub fn deal_forward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let there = self.there();
        let lift = there.lift(self.from);
        for group in groups(at, rows, len) {
            let mut masks = [0u128; LANES];
            let masks = &mut masks[..group.lanes];
            let wires = [at.wire(MASK), at.wire(CARRY)];
            lift.deal_opened(cx, wires, group.stream, masks)?;
            there
                .dealt()
                .deal(cx, power_wire(at), group.stream, masks)?;
        }
        Ok(())
    }

    /// Sends the corrections of the way back, given where the way forward stood.
    pub fn deal_backward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        forward: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        let back = self.back();
        let (x, dy) = (back.lift(self.from), back.lift(self.gradient));
        for group in groups(at, rows, len) {
            let (mut a, mut b) = ([0u128; LANES], [0u128; LANES]);
            let (a, b) = (&mut a[..group.lanes], &mut b[..group.lanes]);
            let wires = [forward.wire(MASK), at.wire(CARRY)];
            x.deal_opened(cx, wires, group.stream, a)?;
            let wires = [at.wire(GRADIENT), at.wire(GRADIENT_CARRY)];
            dy.deal_opened(cx, wires, group.stream, b)?;
            let dealt = back.dealt();
            dealt.deal(cx, power_wire(at), group.stream, a)?;
            let others = (&*b, self.gradient);
            dealt.deal_products(cx, product_wire(at), group.stream, a, others)?;
        }
        Ok(())
    }

    /// Runs the way forward on `rows` x `len` shares in place: from Z_2^from to Z_2^to. `kept` takes one
    /// opening for each element.
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
        let there = self.there();
        let lift = there.lift(self.from);
        let x = &mut Share::peel_slice_mut(x)[..rows * len];
        let kept = Public::peel_slice_mut(kept);
        for group in groups(at, rows, len) {
            let x = &mut x[group.range()];
            lift.conceal::<u128, R, O>(cx, at.wire(MASK), group.stream, x);
        }
        cx.open(&mut [Segment::words(Masked::wrap_slice_mut(&mut *x), self.from)])?;
        let by = there.sum() - self.fraction;
        for group in groups(at, rows, len) {
            let wires = [at.wire(MASK), at.wire(CARRY)];
            let e = &mut x[group.range()];
            let opened = lift.opened::<u128, R, O>(cx, wires, group.stream, e)?;
            let mut sums = [0u128; LANES];
            for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                let p = opened.public[lane] as i128;
                let constant = match role {
                    Role::P0 => element(there.taylor(p, 0)).left(there.powers),
                    Role::P1 => 0,
                };
                // Minus the first power, which is the mask itself, at `from` fraction bits.
                let first = element(there.taylor(p, 1)).left(there.powers - self.from);
                *sum = constant.minus(first.times(opened.mask[lane]));
            }
            for power in 2..=there.degree {
                let span = (group.stream, group.lanes);
                let wire = power_wire(at);
                let number = power as u32;
                let shares = there.dealt().read(cx, wire, number, span, &opened.counts)?;
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let p = opened.public[lane] as i128;
                    let term = element(alternate(there.taylor(p, power), power));
                    *sum = sum.plus(term.times(shares[lane]));
                }
            }
            for ((e, kept), sum) in e.iter_mut().zip(&mut kept[group.range()]).zip(sums) {
                *kept = e.to_u64();
                *e = truncate(role, sum, there.wide(), by).cast();
            }
        }
        Ok(())
    }

    /// Runs the way back: `dy`, shares in Z_2^gradient, becomes shares of dy times the derivative in
    /// Z_2^to.
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
        let back = self.back();
        let (lift, gradient) = (back.lift(self.from), back.lift(self.gradient));
        let dy = &mut Share::peel_slice_mut(dy)[..rows * len];
        let kept = Public::peel_slice(kept);
        for group in groups(at, rows, len) {
            let dy = &mut dy[group.range()];
            gradient.conceal::<u128, R, O>(cx, at.wire(GRADIENT), group.stream, dy);
        }
        let masked = Masked::wrap_slice_mut(&mut *dy);
        cx.open(&mut [Segment::words(masked, self.gradient)])?;
        let by = back.sum() - self.gradient;
        for group in groups(at, rows, len) {
            let wires = [forward.wire(MASK), at.wire(CARRY)];
            let e = &kept[group.range()];
            let x = lift.opened::<u128, _, O>(cx, wires, group.stream, e)?;
            let wires = [at.wire(GRADIENT), at.wire(GRADIENT_CARRY)];
            let e = &mut dy[group.range()];
            let g = gradient.opened::<u128, R, O>(cx, wires, group.stream, e)?;
            let (dealt, span) = (back.dealt(), (group.stream, group.lanes));
            let mut sums = [0u128; LANES];
            for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                let p = x.public[lane] as i128;
                let slope = element(back.taylor(p, 0)).left(back.powers - self.gradient);
                *sum = slope.times(g.share(role, lane));
            }
            for power in 1..=back.degree {
                // The first power is the mask itself, at `from` fraction bits.
                let shares = if power == 1 {
                    x.mask.map(|mask| mask.left(back.powers - self.from))
                } else {
                    dealt.read(cx, power_wire(at), power as u32, span, &x.counts)?
                };
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let (p, q) = (x.public[lane] as i128, g.public[lane] as i128);
                    let taylor = alternate(back.taylor(p, power), power);
                    let public = element(scaled(taylor, q, self.gradient));
                    *sum = sum.plus(public.times(shares[lane]));
                }
            }
            let counts = [&x.counts, &g.counts];
            for power in 1..=back.degree {
                let wire = product_wire(at);
                let shares = dealt.read_product(cx, wire, power as u32, span, counts)?;
                for (lane, sum) in sums[..group.lanes].iter_mut().enumerate() {
                    let p = x.public[lane] as i128;
                    let term = element(alternate(back.taylor(p, power), power));
                    *sum = sum.minus(term.times(shares[lane]));
                }
            }
            for (e, sum) in e.iter_mut().zip(sums) {
                *e = truncate(role, sum, back.wide(), by).cast();
            }
        }
        Ok(())
    }
}

/// The sign of a power of -a.
fn alternate(value: i128, power: usize) -> i128 {
    if power.is_multiple_of(2) {
        value
    } else {
        -value
    }
}
