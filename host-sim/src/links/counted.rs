//! A link whose bytes are counted.

use std::cell::Cell;

use embedded_io::{ErrorType, Read, Write};

/// Bytes that have passed a transport.
#[derive(Debug, Default)]
pub struct Passed {
    /// Written to it.
    pub sent: Cell<u64>,
    /// Read from it.
    pub received: Cell<u64>,
}

/// A transport that counts what passes.
pub struct Counted<'a, T> {
    inner: T,
    passed: &'a Passed,
}

impl<'a, T> Counted<'a, T> {
    /// Counts what passes `inner` in `passed`.
    pub fn new(inner: T, passed: &'a Passed) -> Self {
        Counted { inner, passed }
    }
}

impl<T: ErrorType> ErrorType for Counted<'_, T> {
    type Error = T::Error;
}

impl<T: Read> Read for Counted<'_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, T::Error> {
        let count = self.inner.read(bytes)?;
        self.passed.received.update(|sum| sum + count as u64);
        Ok(count)
    }
}

impl<T: Write> Write for Counted<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, T::Error> {
        let count = self.inner.write(bytes)?;
        self.passed.sent.update(|sum| sum + count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), T::Error> {
        self.inner.flush()
    }
}
