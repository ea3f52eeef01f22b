//! The same training by every protocol, side by side.

pub mod costs;
pub mod picture;
pub mod rows;
pub mod section;
pub mod table;
