//! Protocol steps. Each gate keeps four faces side by side: the ideal function in plaintext, what the
//! dealer computes, what a party computes, and its exact cost.
//!
//! Notation, as throughout the core: `x` in Z_2^n with |x| < 2^(n-2) (the range contract); a mask
//! `a`; an opening `e = x + 2^(n-2) + a`, so that what is masked is non-negative. As integers
//! `x + 2^(n-2) = e - a + 2^n * msb(a) * (1 - msb(e))`.

pub mod argmax;
pub mod bilinear;
pub mod chain;
pub mod context;
pub mod cross;
pub(crate) mod dealing;
pub mod fused;
pub mod lift;
pub mod lookup;
pub mod maxpool;
pub mod multiply;
pub mod polynomial;
pub mod powers;
pub mod range;
pub mod relu;
pub mod select;
pub mod softmax;
pub mod tensor;
pub mod widen;

#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
pub(crate) mod polynomial_tests;
#[cfg(test)]
pub(crate) mod reuse;
#[cfg(test)]
mod tests;

pub use context::{At, Offline, Online};
pub(crate) use context::{Group, groups, load_plane, plane_len, store_plane};
pub(crate) use dealing::{
    deal, deal_bits, deal_plane, dealt, dealt_plane, dealt_planes, opening_masks,
};
