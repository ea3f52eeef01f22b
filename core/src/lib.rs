//! Ringlet's protocol core: two-party private training of convolutional networks, with a dealer.
//!
//! No standard library, no heap, no panics on anything that a peer or a file can send. The caller
//! brings memory ([`plan::Plan`] says how much), connected transports ([`link::Link`] wraps any
//! `embedded-io` one) and, for a party that owns samples, the samples ([`data::Data`]). A computing
//! party is a [`party::Party`] at a [`desk::PartyContext`]; the other role is [`dealer::Dealer`].
//!
//! Steps that lie on each other's way are `#[inline(never)]`: inlined into their caller, they would all hold
//! their stack at once, and a device has little of it.

#![no_std]

pub mod cost;
pub mod data;
pub mod dealt;
pub mod device;
#[cfg(not(feature = "internals"))]
#[allow(dead_code, reason = "tests and benchmarks call the ideal functions")]
pub(crate) mod gate;
#[cfg(feature = "internals")]
pub mod gate;
pub mod kernel;
pub mod model;
pub mod net;
pub mod network;
pub mod num;
pub mod prg;
pub mod profile;
pub mod securenn;
pub mod session;
pub mod share;
#[cfg(test)]
mod tests;

pub use share::Role;
