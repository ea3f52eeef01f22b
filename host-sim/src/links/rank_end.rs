//! The end of a link between further ranks of two roles: to another process, or to a thread of this one.

use std::io;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::net::{Finish, secure::SecureError};

use super::{memory::MemoryEnd, secure::SecureEnd};

/// The end of a link between further ranks.
pub enum RankEnd {
    /// To a rank in another process.
    Secure(SecureEnd),
    /// To a rank in this process, in a simulation.
    Memory(MemoryEnd),
}

impl ErrorType for RankEnd {
    type Error = SecureError<io::Error>;
}

impl Read for RankEnd {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        match self {
            RankEnd::Secure(end) => end.read(bytes),
            RankEnd::Memory(end) => end.read(bytes).map_err(SecureError::Transport),
        }
    }
}

impl Write for RankEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        match self {
            RankEnd::Secure(end) => end.write(bytes),
            RankEnd::Memory(end) => end.write(bytes).map_err(SecureError::Transport),
        }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        match self {
            RankEnd::Secure(end) => end.flush(),
            RankEnd::Memory(end) => end.flush().map_err(SecureError::Transport),
        }
    }
}

impl Finish for RankEnd {
    fn end(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            RankEnd::Secure(end) => end.end(waits),
            // Threads of one process lose nothing, and the process hears how each of them ends.
            RankEnd::Memory(_) => Ok(()),
        }
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            RankEnd::Secure(end) => end.confirm(waits),
            RankEnd::Memory(_) => Ok(()),
        }
    }
}
