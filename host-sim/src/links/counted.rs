//! A link that counts its bytes.

use std::cell::Cell;

use embedded_io::{ErrorType, Read, Write};

/// Bytes that went over a transport.
#[derive(Debug, Default)]
pub struct ByteCounts {
    /// Written to it.
    pub sent: Cell<u64>,
    /// Read from it.
    pub received: Cell<u64>,
}

/// A transport that counts its bytes.
pub struct Counted<'a, T> {
    inner: T,
    counts: &'a ByteCounts,
}

impl<'a, T> Counted<'a, T> {
    /// Counts the bytes of `inner` in `counts`.
    pub fn new(inner: T, counts: &'a ByteCounts) -> Self {
        Counted { inner, counts }
    }
}

impl<T: ErrorType> ErrorType for Counted<'_, T> {
    type Error = T::Error;
}

impl<T: Read> Read for Counted<'_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, T::Error> {
        let count = self.inner.read(bytes)?;
        self.counts.received.update(|sum| sum + count as u64);
        Ok(count)
    }
}

impl<T: Write> Write for Counted<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        let count = self.inner.write(bytes)?;
        self.counts.sent.update(|sum| sum + count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), T::Error> {
        self.inner.flush()
    }
}
