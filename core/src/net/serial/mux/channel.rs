//! A channel of a multiplexer as an `embedded-io` transport.

use core::cell::RefCell;

use embedded_io::{ErrorType, Read, Write};

use super::{CHANNELS, Clock, Line, Mux, MuxError};

/// One channel of a multiplexer. A failure is also recorded in the multiplexer (see [`Mux::failure`]).
pub struct Channel<'a, T, C> {
    mux: &'a RefCell<Mux<T, C>>,
    number: usize,
}

impl<'a, T, C> Channel<'a, T, C> {
    /// Channel `number` of `mux`, 0 to [`CHANNELS`] - 1; larger numbers mean the last channel.
    pub fn new(mux: &'a RefCell<Mux<T, C>>, number: usize) -> Self {
        Channel {
            mux,
            number: number.min(CHANNELS - 1),
        }
    }
}

impl<T, C> ErrorType for Channel<'_, T, C> {
    type Error = MuxError;
}

impl<T: Line, C: Clock> Read for Channel<'_, T, C> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, MuxError> {
        let mut mux = self.mux.borrow_mut();
        let outcome = mux.read(self.number, bytes);
        mux.record(outcome)
    }
}

impl<T: Line, C: Clock> Write for Channel<'_, T, C> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, MuxError> {
        let mut mux = self.mux.borrow_mut();
        let outcome = mux.write(self.number, bytes);
        mux.record(outcome)
    }

    fn flush(&mut self) -> Result<(), MuxError> {
        let mut mux = self.mux.borrow_mut();
        let outcome = mux.push_pending(self.number);
        mux.record(outcome)
    }
}
