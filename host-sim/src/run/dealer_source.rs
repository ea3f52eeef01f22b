//! The source of a party's correlated randomness: a connection to the dealer, or a file that was dealt.

use std::io;

use embedded_io::{ErrorType, Read, Write};

use super::dealt_files::DealtFile;
use crate::links::{tcp::TcpEnd, wait_time::WaitTime};

/// The source of a party's correlated randomness.
pub enum DealerSource {
    /// A connection to the dealer.
    Tcp(TcpEnd),
    /// A dealt file.
    File(DealtFile),
}

impl DealerSource {
    /// The time spent waiting for the dealer.
    pub fn wait_time(&self) -> WaitTime {
        match self {
            DealerSource::Tcp(end) => end.wait_time(),
            DealerSource::File(_) => WaitTime::default(),
        }
    }
}

impl ErrorType for DealerSource {
    type Error = io::Error;
}

impl Read for DealerSource {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            DealerSource::Tcp(end) => end.read(bytes),
            DealerSource::File(file) => file.read(bytes),
        }
    }
}

impl Write for DealerSource {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            DealerSource::Tcp(end) => end.write(bytes),
            DealerSource::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            DealerSource::Tcp(end) => end.flush(),
            DealerSource::File(file) => file.flush(),
        }
    }
}
