//! Polynomial activation: x in Z_2^n -> P(x) in Z_2^L, and dy -> dy P'(x) in the backward pass. The triple scheme
//! selects the method: a chain of products ([`Chain`], baseline and seed) or one opening ([`Fused`]).

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

use super::{At, Contract, Offline, Online, chain::Chain, fused::Fused, powers::scaled};

/// The gate for one activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolynomialGate {
    /// Width in bits of the input's ring: the widest, up to the narrow ring, for which all intermediate rings fit.
    from: u32,
    polynomial: Polynomial,
    fraction: u32,
    method: Method,
    fits: bool,
}

/// How the polynomial is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Chain(Chain),
    Fused(Fused),
}

impl Method {
    fn fits(&self) -> bool {
        match self {
            Method::Chain(chain) => chain.fits(),
            Method::Fused(fused) => fused.fits(),
        }
    }
}

/// Bits before the binary point that suffice for |P(x)| with |x| <= 2^range: those of the sum of |c_k| 2^(range k).
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
    /// The gate for `polynomial`. Incoming gradients are in a ring `drop` bits narrower than the narrow ring.
    #[inline(never)]
    pub fn new(polynomial: Polynomial, format: Format, triples: TripleScheme, drop: u32) -> Self {
        let fraction = format.fraction;
        let method = |from| {
            let (gradient, to) = (format.narrow() - drop, format.ring);
            match triples {
                TripleScheme::Baseline | TripleScheme::Seed => Method::Chain(Chain {
                    polynomial,
                    fraction,
                    from,
                    gradient,
                    to,
                    reuse: triples.reuse(),
                }),
                TripleScheme::Fused => Method::Fused(Fused {
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
            // Values, and products with a gradient, must fit the output's ring.
            let derivative = polynomial.derivative();
            let value = bound_bits(polynomial.terms(), from - 2 - fraction) + fraction;
            let slope = bound_bits(derivative.terms(), from - 2 - fraction);
            let gradient = format.narrow() - drop - 2;
            // Without stored openings the derivative at scale f is lifted from that ring, so it must fit too.
            let lifted = triples.reuse() || slope + fraction + 2 <= format.ring;
            value.max(slope + gradient) < format.ring && lifted && method(from).fits()
        };
        let widest = (least..=format.narrow()).rev().find(|&from| fits(from));
        let from = widest.unwrap_or(least);
        PolynomialGate {
            from,
            polynomial,
            fraction,
            method: method(from),
            fits: widest.is_some(),
        }
    }

    /// The values that the forward pass takes.
    pub const fn contract(&self) -> Contract {
        Contract { bits: self.from }
    }

    /// Whether all intermediate rings fit for inputs up to 2^reach.
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// P(x) at scale f, rounded to nearest, for x at scale f.
    pub fn ideal(&self, x: i64) -> i64 {
        let value = self.evaluate(self.polynomial.terms(), x);
        scaled(value, 1, COEFFICIENT_FRACTION - self.fraction) as i64
    }

    /// dy P'(x), rounded to nearest, for x at scale f; at the scale of dy.
    pub fn ideal_gradient(&self, x: i64, dy: i64) -> i64 {
        let derivative = self.polynomial.derivative();
        let slope = self.evaluate(derivative.terms(), x);
        scaled(slope, dy.into(), COEFFICIENT_FRACTION) as i64
    }

    /// The polynomial's value with [`COEFFICIENT_FRACTION`] fraction bits, by Horner's rule.
    fn evaluate(&self, terms: &[i64], x: i64) -> i128 {
        terms.iter().rev().fold(0, |sum: i128, &term| {
            scaled(sum, x.into(), self.fraction) + i128::from(term)
        })
    }

    /// Openings per element that the forward pass stores for the backward pass.
    pub fn kept(&self) -> usize {
        match self.method {
            Method::Chain(chain) => chain.kept(),
            Method::Fused(_) => 1,
        }
    }

    /// Scratch that a party needs for `rows` x `len` elements, in 64-bit words.
    pub fn scratch_len(&self, rows: usize, len: usize) -> usize {
        match self.method {
            Method::Chain(chain) => chain.scratch_len(rows, len),
            Method::Fused(_) => 0,
        }
    }

    /// Cost of the forward pass for `rows` x `len` elements.
    pub fn forward_cost(&self, rows: usize, len: usize) -> Cost {
        match self.method {
            Method::Chain(chain) => chain.forward_cost(rows, len),
            Method::Fused(fused) => fused.forward_cost(rows, len),
        }
    }

    /// Cost of the backward pass for `rows` x `len` elements.
    pub fn backward_cost(&self, rows: usize, len: usize) -> Cost {
        match self.method {
            Method::Chain(chain) => chain.backward_cost(rows, len),
            Method::Fused(fused) => fused.backward_cost(rows, len),
        }
    }

    /// Sends the corrections of the forward pass.
    pub fn deal_forward<D: Offline>(
        &self,
        cx: &mut D,
        at: At,
        rows: usize,
        len: usize,
    ) -> Result<(), LinkError> {
        match self.method {
            Method::Chain(chain) => chain.deal_forward(cx, at, rows, len),
            Method::Fused(fused) => fused.deal_forward(cx, at, rows, len),
        }
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
        match self.method {
            Method::Chain(chain) => chain.deal_backward(cx, at, forward, rows, len),
            Method::Fused(fused) => fused.deal_backward(cx, at, forward, rows, len),
        }
    }

    /// Runs the forward pass on `rows` x `len` shares in place: from Z_2^from to Z_2^L. Stores
    /// [`PolynomialGate::kept`] openings per element in `kept`.
    pub fn forward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        at: At,
        shape: [usize; 2],
        x: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        match self.method {
            Method::Chain(chain) => chain.forward(cx, at, shape, x, kept, scratch),
            Method::Fused(fused) => fused.forward(cx, at, shape, x, kept),
        }
    }

    /// Runs the backward pass on shares of the gradient in place. `positions` are the positions of this pass and of the
    /// forward pass.
    pub fn backward<R: Ring, O: Online>(
        &self,
        cx: &mut O,
        positions: [At; 2],
        shape: [usize; 2],
        dy: &mut [Share<R>],
        kept: &mut [Public<u64>],
        scratch: &mut [u64],
    ) -> Result<(), LinkError> {
        match self.method {
            Method::Chain(chain) => chain.backward(cx, positions, shape, dy, kept, scratch),
            Method::Fused(fused) => fused.backward(cx, positions, shape, dy, kept),
        }
    }
}
