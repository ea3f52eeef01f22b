//! Numbers: words and rings, fixed point, polynomials, CRC, and the arena that holds a role's buffers.

pub(crate) mod arena;
pub(crate) mod crc;
pub(crate) mod division;
pub(crate) mod fixed_point;
pub(crate) mod polynomial;
pub(crate) mod ring;
pub(crate) mod scalar;
pub(crate) mod square_root;

pub use arena::ArenaTooSmall;
pub use fixed_point::{Format, FormatError, MIN_FRACTION_BITS, RATE_FRACTION};
pub use polynomial::{COEFFICIENT_FRACTION, MAX_DEGREE, Polynomial};
pub use ring::{Ring, Word, mask, signed};
pub use scalar::Scalar;
