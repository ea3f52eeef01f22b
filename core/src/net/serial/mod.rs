//! Reliable channels over one line that loses, repeats, damages and delays bytes: a serial port.

pub mod frame;
pub mod mux;
