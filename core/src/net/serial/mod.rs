//! Reliable channels over one serial line, which may lose, repeat, damage and delay bytes.

pub mod frame;
pub mod mux;
