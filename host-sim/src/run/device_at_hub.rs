//! A device at the hub: what it tells the hub, what it gets from it, and what the hub passes on.

use std::{fs::File, net::TcpStream, time::Duration};

use embedded_io::Read;
use ringlet_core::{
    Role,
    device::{MemoryUsed, Status, channel},
    net::serial::mux::Channel,
    session::handshake::{HandshakeError, Mismatch},
};

use super::{
    dealer_relay::{DealerRelay, pass},
    device::{DeviceChannel, DeviceMux, await_progress, has_reported},
    hub_states::HubStates,
};
use crate::{
    error::Failure,
    links::{capture::Capture, connect::broken},
};

/// How far a device is in its session.
enum Stage {
    /// It meets the dealer.
    Meeting,
    /// It has its key, and takes its state back once it has met the other device.
    Restoring,
    /// It trains.
    Training,
    /// It gives its state: what has come, and the number of bytes.
    Saving(Vec<u8>, usize),
    /// It is done, and the session has taken this.
    Done(MemoryUsed),
}

/// A device, and the relays between it and the other roles.
pub struct DeviceAtHub<'a> {
    role: Role,
    mux: &'a DeviceMux,
    /// The channel to the other device.
    peer: Capture<DeviceChannel<'a>>,
    dealer: DealerRelay<'a>,
    stage: Stage,
    /// The sealed state that it takes back, and the number of bytes that it has got.
    given: (Vec<u8>, usize),
    /// Bytes that it has sent to the other device.
    sent: u64,
}

impl<'a> DeviceAtHub<'a> {
    /// The device of `role`, which takes back the sealed state `given`, if there is one. `dealer` is a connection to the
    /// dealer, which gives up a write after `patience`. Writes what the device sends to the other one to the file `kept`.
    pub fn new(
        (role, mux): (Role, &'a DeviceMux),
        (dealer, patience): (TcpStream, Duration),
        given: Option<Vec<u8>>,
        kept: Option<File>,
    ) -> Result<Self, Failure> {
        let peer = Channel::new(mux, channel::PEER);
        Ok(DeviceAtHub {
            role,
            mux,
            peer: Capture::new(peer, &kept).map_err(broken)?,
            dealer: DealerRelay::new(mux, dealer, patience)?,
            stage: Stage::Meeting,
            given: (given.unwrap_or_default(), 0),
            sent: 0,
        })
    }

    /// Bytes that it has sent to the other device.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that the dealer has sent it.
    pub fn dealt(&self) -> u64 {
        self.dealer.from_dealer()
    }

    /// What the session has taken of its memory, once it is done.
    pub fn taken(&self) -> Option<MemoryUsed> {
        match self.stage {
            Stage::Done(taken) => Some(taken),
            _ => None,
        }
    }

    /// Whether it has reported something that was not received yet. A part of its state is no report.
    pub fn has_reported(&self) -> bool {
        !matches!(self.stage, Stage::Saving(..)) && has_reported(self.mux)
    }

    /// Reads the device's line. True if anything came.
    pub fn poll(&mut self) -> Result<bool, Failure> {
        let turned = self.mux.borrow_mut().poll();
        match turned {
            Ok(came) => Ok(came),
            // A device that is done may go.
            Err(_) if self.taken().is_some() || has_reported(self.mux) => Ok(false),
            Err(error) => Err(Failure::new(error.to_string(), "start again")),
        }
    }

    /// Takes what the device reports, and its state at a checkpoint, which goes to `states`. Returns the number of bytes of
    /// states.
    pub fn listen(&mut self, states: &mut Option<HubStates>) -> Result<usize, Failure> {
        let mut moved = 0;
        while self.taken().is_none() && has_reported(self.mux) {
            if let Stage::Saving(saved, filled) = &mut self.stage {
                let mut control = Channel::new(self.mux, channel::CONTROL);
                let read = control.read(&mut saved[*filled..]);
                let count = read.map_err(|error| Failure::new(error.to_string(), "start again"))?;
                *filled += count;
                moved += count;
                if *filled == saved.len() {
                    if let Some(states) = states {
                        states.keep(self.role, saved)?;
                    }
                    self.stage = Stage::Training;
                }
                continue;
            }
            self.stage = match (&self.stage, await_progress(self.mux)?, &*states) {
                (Stage::Meeting, Status::Ready, _) => {
                    self.dealer.set_greeted();
                    match self.given.0.is_empty() {
                        true => Stage::Training,
                        false => Stage::Restoring,
                    }
                }
                (Stage::Restoring, Status::Ready, _) => Stage::Training,
                (Stage::Training, Status::Saving, Some(states)) => {
                    Stage::Saving(vec![0; states.saved_len()], 0)
                }
                (Stage::Training, Status::Done(taken), _) => Stage::Done(taken),
                _ => return Err(HandshakeError::from(Mismatch::Foreign).into()),
            };
        }
        Ok(moved)
    }

    /// Gives the device its state back, as far as there is room. Returns the number of bytes.
    pub fn give(&mut self) -> Result<usize, Failure> {
        if !matches!(self.stage, Stage::Restoring) {
            return Ok(0);
        }
        let room = self.mux.borrow_mut().writable(channel::CONTROL);
        let (sealed, at) = &mut self.given;
        let mut rest = &sealed[*at..];
        let mut control = Channel::new(self.mux, channel::CONTROL);
        let count = pass(&mut rest, sealed.len() - *at, &mut control, room)?;
        *at += count;
        Ok(count)
    }

    /// Relays between the device and the dealer, as far as there is room. Returns the number of bytes.
    pub fn pass_dealers(&mut self) -> Result<usize, Failure> {
        self.dealer.pass()
    }

    /// Relays from this device to the `other`, as far as there is room. Returns the number of bytes.
    pub fn pass_to(&mut self, other: &mut DeviceAtHub<'_>) -> Result<usize, Failure> {
        let waiting = self.mux.borrow().readable(channel::PEER);
        let room = other.mux.borrow_mut().writable(channel::PEER);
        let count = pass(&mut self.peer, waiting, &mut other.peer, room)?;
        self.sent += count as u64;
        Ok(count)
    }
}
