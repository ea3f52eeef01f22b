//! The plaintext reference of a private run.

mod activations;
pub mod calibration;
pub mod privacy_attack;
pub mod private_step;
mod seeded;
pub mod twin;
