//! The relay between a device and its dealer. Both speak a secure link, so what passes here is sealed end to end.

use std::{net::TcpStream, time::Duration};

use embedded_io::{Error as _, Read, Write};
use ringlet_core::{
    device::channel,
    net::{
        LinkError, Remote,
        secure::frame_bytes,
        serial::{frame::MAX_PAYLOAD, mux::Channel},
    },
};
use zeroize::Zeroizing;

use super::device::DeviceMux;
use crate::{
    error::Failure,
    links::{connect::broken, read_ahead::ReadAhead},
};

/// Rest when there is nothing to pass on. Arriving bytes end it.
pub const REST: Duration = Duration::from_millis(1);

/// A device's channel to its dealer, and a connection to the dealer.
pub struct DealerRelay<'a> {
    mux: &'a DeviceMux,
    dealer: ReadAhead,
    /// Bytes that the dealer has sent to the device.
    from_dealer: u64,
    /// Bytes that the device has sent to the dealer.
    to_dealer: u64,
    /// The same, when the device had got its key.
    greeted: Option<u64>,
}

impl<'a> DealerRelay<'a> {
    /// A relay over the connection `stream` to the dealer, which gives up a write after `patience`. If the calling thread
    /// parks, it is woken when bytes arrive.
    pub fn new(mux: &'a DeviceMux, stream: TcpStream, patience: Duration) -> Result<Self, Failure> {
        Ok(DealerRelay {
            mux,
            dealer: ReadAhead::new(stream, patience).map_err(broken)?,
            from_dealer: 0,
            to_dealer: 0,
            greeted: None,
        })
    }

    /// Notes that the device has its key.
    pub fn set_greeted(&mut self) {
        self.greeted = Some(self.to_dealer);
    }

    /// Bytes that the dealer has sent to the device.
    pub fn from_dealer(&self) -> u64 {
        self.from_dealer
    }

    /// Whether the device has told the dealer that it is done.
    pub fn is_done(&self) -> bool {
        // After its greeting a device sends the dealer nothing but the end of the session.
        let end = frame_bytes(0, 0, MAX_PAYLOAD, true);
        self.greeted
            .is_some_and(|then| self.to_dealer - then >= end)
    }

    /// Passes on what has come, both ways, as far as there is room. Returns the number of bytes.
    pub fn pass(&mut self) -> Result<usize, Failure> {
        let mut device = Channel::new(self.mux, channel::DEALER);
        let room = self.mux.borrow_mut().writable(channel::DEALER);
        let waiting = self.dealer.waiting();
        let received = pass(&mut self.dealer, waiting, &mut device, room)?;
        self.from_dealer += received as u64;
        let waiting = self.mux.borrow().readable(channel::DEALER);
        // The dealer gets little, which its connection takes at once.
        let sent = pass(&mut device, waiting, &mut self.dealer, MAX_PAYLOAD)?;
        self.to_dealer += sent as u64;
        if self.dealer.is_over() && !self.is_done() {
            return Err(LinkError::Closed(Remote::Dealer).into());
        }
        Ok(received + sent)
    }
}

/// Moves bytes without waiting: `waiting` can be read, and `room` can be written. Returns the number of bytes.
pub fn pass(
    from: &mut impl Read,
    waiting: usize,
    to: &mut impl Write,
    room: usize,
) -> Result<usize, Failure> {
    let mut piece = Zeroizing::new([0; MAX_PAYLOAD]);
    let count = waiting.min(room).min(MAX_PAYLOAD);
    if count == 0 {
        return Ok(0);
    }
    let failed =
        |kind| Failure::new(format!("a line broke ({kind:?})"), "start again").of_broken_link();
    let count = (from.read(&mut piece[..count])).map_err(|error| failed(error.kind()))?;
    to.write_all(&piece[..count])
        .and_then(|()| to.flush())
        .map_err(|error| failed(error.kind()))?;
    Ok(count)
}
