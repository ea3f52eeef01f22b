//! Transports between roles on hosts.

pub mod counted;
pub mod memory;
pub mod outbox;
pub mod overheard;
pub mod plug;
pub mod queued;
pub mod serial;
pub mod shape;
pub mod tcp;
pub mod waited;
