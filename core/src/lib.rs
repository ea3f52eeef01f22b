//! Ringlet's protocol core: two-party private training of convolutional networks, with a dealer.
//!
//! No standard library, no heap, no panics on anything that a peer or a file can send. The caller
//! brings memory ([`plan::Plan`] says how much), connected transports ([`link::Link`] wraps any
//! `embedded-io` one) and, for a party that owns samples, the samples ([`data::Data`]). A computing
//! party is a [`party::Party`] at a [`desk::Desk`]; the other role is [`dealer::Dealer`].
//!
//! Steps that lie on each other's way are `#[inline(never)]`: inlined into their caller, they would all hold
//! their stack at once, and a device has little of it.

#![no_std]

mod arena;
mod audit;
mod buffers;
pub mod cost;
mod crc;
pub mod data;
pub mod dealer;
pub mod desk;
pub(crate) mod first_weights;
pub mod fixed;
pub mod gate;
mod gates;
pub mod hello;
pub mod kernel;
pub mod lines;
pub mod link;
pub mod loss;
pub mod message;
pub mod meter;
pub mod model;
pub mod network;
pub mod order;
pub mod pairing;
pub mod party;
mod place;
pub mod plan;
pub mod polynomial;
pub mod prg;
pub mod ring;
pub mod scalar;
pub mod securenn;
pub mod session;
pub mod sharing;
pub mod store;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod triples;
pub mod watch;
pub mod wire;

pub use sharing::Role;
