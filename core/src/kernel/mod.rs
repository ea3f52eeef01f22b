//! Plain loops over rings: no protocol, no secrets' meaning, no allocation.

pub mod conv;
pub mod dense;
pub mod linear;
pub mod pack;
pub mod pool;
pub mod product;
pub mod unroll;
pub mod windows;
