//! What surrounds a role that runs by itself: links that hear zeros, blank samples, any key. Which messages a role sends, and
//! how it computes them, depends on public values alone.

use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    data::{Data, DataError},
    dealt::Sent,
    net::{Link, Remote},
    prg::Key,
    share::Observer,
};

use crate::links::{any_end::AnyEnd, connect::UNBOUNDED};

/// A transport that hears zeros and counts what it is sent.
#[derive(Default)]
pub struct Nobody {
    bytes: u64,
    messages: u64,
    written: bool,
}

impl Nobody {
    /// What it was sent.
    pub fn heard(&self) -> Sent {
        Sent {
            bytes: self.bytes,
            messages: self.messages,
        }
    }
}

impl ErrorType for Nobody {
    type Error = Infallible;
}

impl Read for Nobody {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        bytes.fill(0);
        Ok(bytes.len())
    }
}

impl Write for Nobody {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.bytes += bytes.len() as u64;
        self.written |= !bytes.is_empty();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.messages += u64::from(std::mem::take(&mut self.written));
        Ok(())
    }
}

/// Blank samples of the first class.
pub struct Blank;

impl Data for Blank {
    fn pixels(&mut self, _: u32, out: &mut [u8]) -> Result<(), DataError> {
        out.fill(0);
        Ok(())
    }

    fn label(&mut self, _: u32) -> Result<u8, DataError> {
        Ok(0)
    }
}

/// Any key.
pub fn key() -> Key {
    Key::new([1; Key::LEN])
}

/// A link that takes any number of bytes ahead.
pub fn link(nobody: &mut Nobody, remote: Remote) -> Link<AnyEnd<'_>> {
    Link::new(AnyEnd::new(nobody), remote, UNBOUNDED)
}

/// The samples and the observer of a party, of the types that all parties of this program have.
pub type Inputs<'a, R> = (&'a mut dyn Data, &'a mut dyn Observer<R>);
