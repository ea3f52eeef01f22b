//! What the private run is held against.

pub mod twin;
