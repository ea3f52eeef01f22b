//! The source of a party's correlated randomness: a connection to the dealer, or a file that was dealt.

use std::io;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::net::{Finish, secure::SecureError};

use super::dealt_files::DealtFile;
use crate::links::{secure::SecureEnd, wait_time::WaitTime};

/// The source of a party's correlated randomness.
pub enum DealerSource {
    /// A connection to the dealer.
    Link(SecureEnd),
    /// A dealt file.
    File(DealtFile),
}

impl DealerSource {
    /// The connection, if it is one.
    pub fn link(&mut self) -> Option<&mut SecureEnd> {
        match self {
            DealerSource::Link(end) => Some(end),
            DealerSource::File(_) => None,
        }
    }

    /// The time spent waiting for the dealer.
    pub fn wait_time(&self) -> WaitTime {
        match self {
            DealerSource::Link(end) => end.wait_time(),
            DealerSource::File(_) => WaitTime::default(),
        }
    }
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
            // The file ends with its last correction; its checks are those of its reading.
            DealerSource::File(_) => Ok(()),
        }
    }

    fn confirm(&mut self, waits: bool) -> Result<(), Self::Error> {
        match self {
            DealerSource::Link(end) => end.confirm(waits),
            DealerSource::File(_) => Ok(()),
        }
    }
}
