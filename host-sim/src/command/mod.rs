//! The commands, one file each, and the simulation that two of them run.

pub mod assistant;
pub mod compare;
pub mod data;
pub mod deal;
pub mod dealer;
pub mod hub;
pub mod party;
pub mod plan;
pub mod predict;
pub mod qemu;
pub mod train;
