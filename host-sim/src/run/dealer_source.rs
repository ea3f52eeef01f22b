//! The source of a further rank's correlated randomness: a link to the dealer, or a file that was dealt.

use std::io;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::net::{Finish, secure::SecureError};

use super::dealt_corrections::Corrections;
use crate::links::rank_end::RankEnd;

/// The source of a further rank's correlated randomness.
pub enum DealerSource {
    /// The link to the same rank of the dealer.
    Link(RankEnd),
    /// A dealt file.
    File(Corrections),
}

impl ErrorType for DealerSource {
    type Error = SecureError<io::Error>;
}

impl Read for DealerSource {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        match self {
            DealerSource::Link(end) => end.read(bytes),
            DealerSource::File(file) => file.read(bytes).map_err(SecureError::Transport),
        }
    }
}

impl Write for DealerSource {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        match self {
            DealerSource::Link(end) => end.write(bytes),
            DealerSource::File(file) => file.write(bytes).map_err(SecureError::Transport),
        }
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        match self {
            DealerSource::Link(end) => end.flush(),
            DealerSource::File(file) => file.flush().map_err(SecureError::Transport),
        }
    }
}

impl Finish for DealerSource {
    fn end(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            DealerSource::Link(end) => end.end(waits),
            DealerSource::File(file) => file.end(waits).map_err(SecureError::Transport),
        }
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            DealerSource::Link(end) => end.confirm(waits),
            DealerSource::File(file) => file.confirm(waits).map_err(SecureError::Transport),
        }
    }
}
