//! Links between roles: framed openings, messages, and channels over one serial line.

pub mod link;
pub mod message;
pub mod serial;
