//! Gates: protocol steps. Each gate has four faces in one file: the ideal function in plaintext (`ideal`), the
//! dealer's part (`deal`), a party's part (`run`), and the exact cost (`cost`).
//!
//! Notation: `x` in Z_2^n satisfies the range contract |x| < 2^(n-2). `a` is its mask, uniform in Z_2^n. The
//! opening is `e = x + 2^(n-2) + a`; the offset makes the masked value non-negative. So, as integers,
//! `x + 2^(n-2) = e - a + 2^n * msb(a) * (1 - msb(e))`.
//!
//! Buffers hold `rows` x `len` elements: one row per sample, `len` values each.

pub mod argmax;
pub mod bilinear;
#[cfg(feature = "contributions")]
pub mod bounds;
pub mod chain;
#[cfg(feature = "private-training")]
pub mod clip_factor;
pub mod context;
pub mod contract;
#[cfg(feature = "contributions")]
pub mod contributed;
pub mod cross;
pub(crate) mod dealing;
pub mod fused;
pub mod lift;
pub mod lookup;
pub(crate) mod maximum;
pub mod maxpool;
pub mod multiply;
pub mod polynomial;
pub mod powers;
pub mod range;
pub mod relu;
#[cfg(feature = "private-training")]
pub mod scaled_sum;
pub mod select;
pub mod softmax;
#[cfg(feature = "private-training")]
pub mod square_sum;
pub mod tensor;
pub mod widen;

#[cfg(all(test, feature = "private-training"))]
mod clip_tests;
#[cfg(test)]
mod contract_tests;
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
pub use contract::Contract;
use dealing::add_masks;
pub(crate) use dealing::{
    PLANES, deal, deal_bits, deal_planes, dealt, dealt_entry, dealt_plane, dealt_planes,
    opening_masks,
};
