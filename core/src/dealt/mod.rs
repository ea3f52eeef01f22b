//! The dealt protocols: two parties, and a dealer that works ahead.

mod audit;
mod config;
pub mod dealer;
mod gate_set;
mod layout;
mod micro_batch;
pub mod party;
pub mod party_context;
pub mod plan;
mod stream_ids;

pub use config::check;
