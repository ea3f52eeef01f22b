//! Numbers: words and rings, fixed point, polynomials, and the arena that buffers are cut from.

pub(crate) mod arena;
pub(crate) mod crc;
pub mod fixed_point;
pub mod polynomial;
pub mod ring;
pub mod scalar;
