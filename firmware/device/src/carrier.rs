//! The channels between a device and its host.

use core::cell::RefCell;

use embedded_io::{Read, Write};
use ringlet_core::wire::port::{Channel, Clock, Line, Port, PortError};

/// Carries the channels of [`ringlet_core::wire::control::channel`]: each is a reliable stream of bytes both ways.
pub trait Carrier {
    /// One of the channels.
    type Channel<'a>: Read + Write
    where
        Self: 'a;

    /// Waits for a host to begin a session, for as long as it takes.
    fn accept(&self) -> Result<(), PortError>;

    /// The channel of this number.
    fn channel(&self, number: usize) -> Self::Channel<'_>;

    /// Waits until the host has everything that was sent.
    fn finish(&self) -> Result<(), PortError>;
}

impl<T: Line, C: Clock> Carrier for RefCell<Port<T, C>> {
    type Channel<'a>
        = Channel<'a, T, C>
    where
        T: 'a,
        C: 'a;

    fn accept(&self) -> Result<(), PortError> {
        self.borrow_mut().accept()
    }

    fn channel(&self, number: usize) -> Self::Channel<'_> {
        Channel::new(self, number)
    }

    fn finish(&self) -> Result<(), PortError> {
        self.borrow_mut().finish()
    }
}
