//! The plaintext reference of a private run.

pub mod twin;
