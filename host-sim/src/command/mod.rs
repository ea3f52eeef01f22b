//! The commands, one file each.

pub mod deal;
pub mod dealer;
pub mod party;
pub mod plan;
pub mod train;
