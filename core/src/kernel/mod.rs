//! Kernels: plain loops over a ring, without protocol and without allocation.
//!
//! The maps of a [`Stage`](crate::network::Stage) are [`Linear`] (a [`Conv`] or a [`Dense`]), [`Pool`] and
//! [`Windows`].

pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod linear;
pub(crate) mod pool;
pub(crate) mod unroll;
pub(crate) mod vector;
pub(crate) mod windows;

#[cfg(not(feature = "internals"))]
pub(crate) mod pack;
#[cfg(feature = "internals")]
pub mod pack;
#[cfg(not(feature = "internals"))]
pub(crate) mod product;
#[cfg(feature = "internals")]
pub mod product;

pub use conv::Conv;
pub use dense::Dense;
pub use linear::Linear;
pub use pool::Pool;
pub use windows::Windows;
