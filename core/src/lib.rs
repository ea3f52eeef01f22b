#![no_std]
#![doc = "Ringlet's protocol core."]
mod arena;
pub mod cost;
pub mod data;
pub mod dealer;
pub mod desk;
pub mod fixed;
pub mod gate;
pub mod hello;
pub mod kernel;
pub mod link;
pub mod meter;
pub mod model;
pub mod network;
pub mod order;
pub mod party;
mod place;
pub mod plan;
pub mod prg;
pub mod ring;
pub mod scalar;
pub mod session;
pub mod sharing;
#[cfg(test)]
mod tests;

pub use sharing::Role;
