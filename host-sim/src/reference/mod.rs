//! The plaintext reference of a private run.

pub mod calibration;
pub mod twin;
