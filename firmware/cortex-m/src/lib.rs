//! What boards with a Cortex-M share: time, received bytes, and what a crash does.

#![no_std]

mod crash;
mod received;
mod ticks;

pub use received::Received;
pub use ticks::Ticks;
