//! Transports between roles on hosts.

pub mod memory;
pub mod tcp;
pub mod waited;
