//! Where a party's correlated randomness comes from: a dealer's connection, or a file that was dealt.

use std::io;

use embedded_io::{ErrorType, Read, Write};

use crate::{
    links::{tcp::TcpEnd, wait_time::WaitTime},
    run::dealt_files::DealtFile,
};

/// Where a party's correlated randomness comes from.
pub(super) enum Source {
    /// The dealer's connection.
    Tcp(TcpEnd),
    /// The file.
    File(DealtFile),
}

impl Source {
    /// What waiting for the dealer takes.
    pub(super) fn wait_time(&self) -> WaitTime {
        match self {
            Source::Tcp(end) => end.wait_time(),
            Source::File(_) => WaitTime::default(),
        }
    }
}

impl ErrorType for Source {
    type Error = io::Error;
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Tcp(end) => end.read(bytes),
            Source::File(file) => file.read(bytes),
        }
    }
}

impl Write for Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Source::Tcp(end) => end.write(bytes),
            Source::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Source::Tcp(end) => end.flush(),
            Source::File(file) => file.flush(),
        }
    }
}
