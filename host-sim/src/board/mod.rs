//! Boards that QEMU emulates, and their firmware.

pub mod boards;
pub mod emulator;
pub mod firmware;

pub use boards::{BOARDS, Board, Line};
pub use emulator::Emulated;
