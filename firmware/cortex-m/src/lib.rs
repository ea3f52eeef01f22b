//! What boards with a Cortex-M share: the clock, a UART that receives by interrupt, and what a crash does.
//!
//! On other processors the crate is empty.

#![no_std]
#![cfg(target_arch = "arm")]

mod buffered;
mod crash;
mod ticks;

pub use buffered::{Buffered, ReceiveQueue};
pub use ticks::Ticks;
