//! Polynomial activation, x in Z_2^n -> P(x) in Z_2^L, and dy -> dy P'(x) on the way back: either as
//! published, power by power, or from one opening.

use crate::{
    cost::Cost,
    model::triple_scheme::TripleScheme,
    net::link::LinkError,
    num::{
        fixed_point::Format,
        polynomial::{COEFFICIENT_FRACTION, Polynomial},
        ring::Ring,
    },
    share::{Public, Share},
};

use super::{At, Offline, Online, chain::Chain, fused::Fused, powers::scaled};

/// The gate for one activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolynomialGate {
    /// Ring of the input: the widest, up to that of narrow values, in which everything fits. Its range
    /// contract is the range that the polynomial serves.
    pub from: u32,
    polynomial: Polynomial,
    fraction: u32,
    way: Way,
    fits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Chain(Chain),
    Fused(Fused),
}

impl Way {
    fn fits(&self) -> bool {
        match self {
            Way::Chain(chain) => chain.fits(),
            Way::Fused(fused) => fused.fits(),
        }
    }
}

/// Bits before the binary point of the largest |P(x)| for |x| up to 2^range: those of the sum of its
/// terms' magnitudes.
fn bound_bits(terms: &[i64], range: u32) -> u32 {
    let mut sum = 0u128;
    for (power, term) in terms.iter().enumerate() {
        let (term, up) = (u128::from(term.unsigned_abs()), range * power as u32);
        let scaled = if term.leading_zeros() > up {
            term << up
        } else {
            u128::MAX
        };
        sum = sum.saturating_add(scaled);
    }
    (u128::BITS - sum.leading_zeros()).saturating_sub(COEFFICIENT_FRACTION)
}

impl PolynomialGate {
    /// The gate for `polynomial`, where gradients that come back have given up `drop` bits.
    #[inline(never)]
    pub fn new(polynomial: Polynomial, format: Format, triples: TripleScheme, drop: u32) -> Self {
        let fraction = format.fraction;
        let way = |from| {
            let (gradient, to) = (format.narrow() - drop, format.ring);
            match triples {
                TripleScheme::Baseline | TripleScheme::Seed => Way::Chain(Chain {
                    polynomial,
                    fraction,
                    from,
                    gradient,
                    to,
                    reuse: triples.reuse(),
                }),
                TripleScheme::Fused => Way::Fused(Fused {
                    polynomial,
                    fraction,
                    from,
                    gradient,
                    to,
                }),
            }
        };
        let least = fraction + 2 + u32::from(polynomial.reach).max(1);
        let fits = |from: u32| {
            // Values and products with a gradient stay in the output's ring.
            let derivative = polynomial.derivative();
            let value = bound_bits(polynomial.terms(), from - 2 - fraction) + fraction;
            let slope = bound_bits(derivative.terms(), from - 2 - fraction);
            let gradient = format.narrow() - drop - 2;
            // Where no power is kept the derivative itself is lifted, at scale f, out of that ring.
            let lifted = triples.reuse() || slope + fraction + 2 <= format.ring;
            value.max(slope + gradient) < format.ring && lifted && way(from).fits()
        };
        let widest = (least..=format.narrow()).rev().find(|&from| fits(from));
        let from = widest.unwrap_or(least);
        PolynomialGate {
            from,
            polynomial,
            fraction,
            way: way(from),
            fits: widest.is_some(),
        }
    }

    /// Whether there are rings wide enough for the polynomial over its interval.
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// P(x) at scale f, rounded to the nearest, for x at scale f.
    pub fn ideal(&self, x: i64) -> i64 {
        let value = self.evaluate(self.polynomial.terms(), x);
        scaled(value, 1, COEFFICIENT_FRACTION - self.fraction) as i64
    }

    /// dy P'(x), rounded to the nearest, for x at scale f; in the units of dy.
    pub fn ideal_gradient(&self, x: i64, dy: i64) -> i64 {
        let derivative = self.polynomial.derivative();
        let slope = self.evaluate(derivative.terms(), x);
        scaled(slope, dy.into(), COEFFICIENT_FRACTION) as i64
    }

    /// The polynomial's value with the coefficients' fraction bits, by Horner's rule.
    fn evaluate(&self, terms: &[i64], x: i64) -> i128 {
        terms.iter().rev().fold(0, |sum: i128, &term| {
            scaled(sum, x.into(), self.fraction) + i128::from(term)
        })
    }

    /// Openings that the way back needs, per element.
    pub fn kept(&self) -> usize {
        match self.way {
            Way::Chain(chain) => chain.kept(),
            Way::Fused(_) => 1,
        }
    }

    /// 64-bit words of scratch that a party needs for `rows` x `len` elements.
    pub fn scratch_len(&self, rows: usize, len: usize) -> usize {
        match self.way {
            Way::Chain(chain) => chain.scratch_len(rows, len),
            Way::Fused(_) => 0,
        }
    }

    /// Cost of the way forward for `rows` x `len` elements.
    pub fn forward_cost(&self, rows: usize, len: usize) -> Cost {
        match self.way {
            Way::Chain(chain) => chain.forward_cost(rows, len),
            Way::Fused(fused) => fused.forward_cost(rows, len),
        }
    }

    /// Cost of the way back.
    pub fn backward_cost(&self, rows: usize, len: usize) -> Cost {
        match self.way {
            Way::Chain(chain) => chain.backward_cost(rows, len),
            Way::Fused(fused) => fused.backward_cost(rows, len),
        }
    }

    /// Sends the corrections of the way forward.
    pub fn deal_forward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        match self.way {
            Way::Chain(chain) => chain.deal_forward(cx, at, rows, len),
            Way::Fused(fused) => fused.deal_forward(cx, at, rows, len),
        }
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
        match self.way {
            Way::Chain(chain) => chain.deal_backward(cx, at, forward, rows, len),
            Way::Fused(fused) => fused.deal_backward(cx, at, forward, rows, len),
        }
    }

    /// Runs the way forward on `rows` x `len` shares in place: from Z_2^from to Z_2^L. `kept` takes
    /// [`PolynomialGate::kept`] openings for each element.
    pub fn forward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        at: At,
        shape: [usize; 2],
        x: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        match self.way {
            Way::Chain(chain) => chain.forward(cx, at, shape, x, kept, scratch),
            Way::Fused(fused) => fused.forward(cx, at, shape, x, kept),
        }
    }

    /// Runs the way back on shares of the gradient in place, given where the way forward stood.
    pub fn backward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        places: [At; 2],
        shape: [usize; 2],
        dy: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        match self.way {
            Way::Chain(chain) => chain.backward(cx, places, shape, dy, kept, scratch),
            Way::Fused(fused) => fused.backward(cx, places, shape, dy, kept),
        }
    }
}
