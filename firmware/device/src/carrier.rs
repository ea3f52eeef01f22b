//! The channels between a device and its host.

use core::cell::RefCell;

use embedded_io::{Read, Write};
use ringlet_core::net::serial::mux::{Channel, Clock, Line, Mux, MuxError};

/// Carries the channels of [`ringlet_core::device::channel`]: each is a reliable stream of bytes both ways.
pub trait Carrier {
    /// One of the channels.
    type Channel<'a>: Read + Write
    where
        Self: 'a;

    /// Waits for a host to begin a session, for as long as it takes.
    fn accept(&self) -> Result<(), MuxError>;

    /// The channel of this number.
    fn channel(&self, number: usize) -> Self::Channel<'_>;

    /// Waits until the host has everything that was sent.
    fn finish(&self) -> Result<(), MuxError>;
}

impl<T: Line, C: Clock> Carrier for RefCell<Mux<T, C>> {
    type Channel<'a>
        = Channel<'a, T, C>
    where
        T: 'a,
        C: 'a;

    fn accept(&self) -> Result<(), MuxError> {
        self.borrow_mut().accept()
    }

    fn channel(&self, number: usize) -> Self::Channel<'_> {
        Channel::new(self, number)
    }

    fn finish(&self) -> Result<(), MuxError> {
        self.borrow_mut().finish()
    }
}
