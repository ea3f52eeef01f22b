//! Transports between roles: memory, TCP, serial lines; what shapes, counts and records their bytes.

pub mod any_end;
pub mod capture;
pub mod chunk;
pub mod connect;
pub mod counted;
pub mod credentials;
pub mod device_address;
pub mod memory;
pub mod outbox;
pub mod polling;
pub mod rank_address;
pub mod rank_end;
pub mod read_ahead;
pub mod reception;
pub mod sealed_bytes;
pub mod secure;
pub mod serial;
pub mod tcp;
pub mod traffic_shaper;
pub mod wait_time;
pub mod watched;
