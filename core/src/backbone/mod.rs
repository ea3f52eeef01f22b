//! Public layers in front of a model, which the owner of the images computes in the clear: only what they make, the
//! features, enters the protocol.
//!
//! A backbone is one block of bytes (see [`image`]), for a file or a device's flash. It computes in integers, so a host and
//! a device make the same features of the same image, to the bit.

mod block;
mod compute;
mod features;
pub mod image;
mod layers;
mod numbers;
#[cfg(test)]
mod tests;

pub use features::Features;
pub use image::{BackboneError, BackboneHead};
pub use layers::Backbone;
pub use numbers::{MAX_FAN_IN, MAX_SHIFT, VALUE_FRACTION, VALUE_LIMIT};
