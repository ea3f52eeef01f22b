//! A channel of a port, as a transport of its own.

use core::cell::RefCell;

use embedded_io::{ErrorType, Read, Write};

use super::{CHANNELS, Clock, Line, Mux, MuxError};

/// One channel of a port.
pub struct Channel<'a, T, C> {
    port: &'a RefCell<Mux<T, C>>,
    number: usize,
}

impl<'a, T, C> Channel<'a, T, C> {
    /// Channel `number` of a port, below [`CHANNELS`].
    pub fn new(port: &'a RefCell<Mux<T, C>>, number: usize) -> Self {
        Channel {
            port,
            number: number.min(CHANNELS - 1),
        }
    }
}

impl<T, C> ErrorType for Channel<'_, T, C> {
    type Error = MuxError;
}

impl<T: Line, C: Clock> Read for Channel<'_, T, C> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, MuxError> {
        let mut port = self.port.borrow_mut();
        let outcome = port.read(self.number, bytes);
        port.note(outcome)
    }
}

impl<T: Line, C: Clock> Write for Channel<'_, T, C> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, MuxError> {
        let mut port = self.port.borrow_mut();
        let outcome = port.write(self.number, bytes);
        port.note(outcome)
    }

    fn flush(&mut self) -> Result<(), MuxError> {
        let mut port = self.port.borrow_mut();
        let outcome = port.push_pending(self.number);
        port.note(outcome)
    }
}
