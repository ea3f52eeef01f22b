//! Relays a session of two devices. Each has one line, to this process, which passes on their messages to each other and
//! to the dealer.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use embedded_io::{Error as _, Read, Write};
use ringlet_core::{
    Role,
    device::{MemoryUsed, channel},
    net::{
        Link, LinkError, Remote,
        message::forward,
        serial::{frame::MAX_PAYLOAD, mux::Channel},
    },
    session::{
        Session,
        handshake::{Hello, forward_sealed_key},
    },
};
use zeroize::Zeroizing;

use super::{
    device::{DeviceChannel, DeviceMux, await_ready, end_session, start_session},
    secrets::Secrets,
};
use crate::{
    error::Failure,
    links::{capture::Capture, connect::broken, read_ahead::ReadAhead},
};

/// Rest when there is nothing to pass on. Arriving bytes end it.
const REST: Duration = Duration::from_millis(1);

/// Pause between two reports of progress.
const REPORT_PAUSE: Duration = Duration::from_millis(200);

/// A session of two devices.
pub struct Relay<'a> {
    /// The parameters of the session.
    pub session: &'a Session,
    /// The devices' lines.
    pub muxes: [&'a DeviceMux; 2],
    /// The source of the nonces for the devices.
    pub secrets: Secrets,
    /// Bytes of corrections that P1 will get.
    pub corrections: u64,
    /// How long all may be silent.
    pub idle: Duration,
}

/// What the relay knows of a device at the end of a session.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTotals {
    /// Bytes that it sent to the other device.
    pub sent: u64,
    /// Bytes of corrections that it received.
    pub dealt: u64,
    /// What the session took of its memory.
    pub taken: MemoryUsed,
}

impl<'a> Relay<'a> {
    /// Gives both devices the session and their roles in it.
    pub fn start(&self) -> Result<(), Failure> {
        for (role, mux) in Role::BOTH.into_iter().zip(self.muxes) {
            // The devices get different nonces, also from a seed.
            let nonce = self.secrets.nonce()?.wrapping_add(role.index() as u64);
            let hello = Hello::new(role, self.session);
            start_session(mux, &hello, nonce).map_err(|failure| failure.of(&role.to_string()))?;
        }
        Ok(())
    }

    /// Completes the handshakes of both devices with the dealer. Returns the connections to it.
    pub fn greet_dealer(
        &self,
        mut dealers: [Link<ReadAhead>; 2],
    ) -> Result<[ReadAhead; 2], Failure> {
        let mut devices = self
            .muxes
            .map(|mux| Link::new(Channel::new(mux, channel::DEALER), Remote::Peer, 0));
        // The dealer answers only when it has heard both.
        for (device, dealer) in devices.iter_mut().zip(&mut dealers) {
            forward(device, dealer)?;
        }
        for (device, dealer) in devices.iter_mut().zip(&mut dealers) {
            // A refusal of the dealer ends here, for the user of this process.
            forward_sealed_key(dealer, device)?;
        }
        for (role, mux) in Role::BOTH.into_iter().zip(self.muxes) {
            await_ready(mux).map_err(|failure| failure.of(&role.to_string()))?;
        }
        Ok(dealers.map(Link::into_inner))
    }

    /// Relays until both devices are done. Writes what the devices send to each other to the files `kept`. `progress`
    /// gets the bytes dealt to P1 and the bytes between the devices.
    pub fn run(
        &self,
        [dealer0, dealer1]: [ReadAhead; 2],
        [kept0, kept1]: [Option<File>; 2],
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Totals<'a>, Failure> {
        let [mux0, mux1] = self.muxes;
        let mut sides = [
            Side::new(mux0, dealer0, 0, kept0)?,
            Side::new(mux1, dealer1, self.corrections, kept1)?,
        ];
        pass_all(&mut sides, self.idle, &mut progress)?;
        Ok(Totals(sides))
    }
}

/// A session that both devices have done.
pub struct Totals<'a>([Side<'a>; 2]);

impl Totals<'_> {
    /// Ends the session with the device of `role`.
    pub fn end(&self, role: Role) -> Result<DeviceTotals, Failure> {
        let side = &self.0[role.index()];
        let taken = end_session(side.mux).map_err(|failure| failure.of(&role.to_string()))?;
        Ok(DeviceTotals {
            sent: side.sent,
            dealt: side.dealt,
            taken,
        })
    }
}

/// A device and its connection to the dealer.
struct Side<'a> {
    mux: &'a DeviceMux,
    /// The channel to the other device.
    peer: Capture<DeviceChannel<'a>>,
    dealer: ReadAhead,
    /// Bytes that it has sent to the other device.
    sent: u64,
    /// Bytes that the dealer has sent it after its key.
    dealt: u64,
    /// Those bytes at the end of the session.
    to_be_dealt: u64,
}

impl<'a> Side<'a> {
    fn new(
        mux: &'a DeviceMux,
        dealer: ReadAhead,
        to_be_dealt: u64,
        kept: Option<File>,
    ) -> Result<Self, Failure> {
        let peer = Channel::new(mux, channel::PEER);
        Ok(Side {
            mux,
            peer: Capture::new(peer, &kept).map_err(broken)?,
            dealer,
            sent: 0,
            dealt: 0,
            to_be_dealt,
        })
    }

    /// Whether the device has reported its memory use, which it does last.
    fn is_done(&self) -> bool {
        self.mux.borrow().readable(channel::CONTROL) > 0
    }

    /// Reads the device's line. True if anything came.
    fn poll(&mut self) -> Result<bool, Failure> {
        let turned = self.mux.borrow_mut().poll();
        match turned {
            Ok(came) => Ok(came),
            // A device that is done may go.
            Err(_) if self.is_done() => Ok(false),
            Err(error) => Err(Failure::new(error.to_string(), "start again")),
        }
    }

    /// Relays between the device and the dealer, as far as there is room. Returns the number of bytes.
    fn pass_dealt(&mut self) -> Result<usize, Failure> {
        let mut device = Channel::new(self.mux, channel::DEALER);
        let room = self.mux.borrow_mut().writable(channel::DEALER);
        let waiting = self.dealer.waiting();
        let dealt = pass(&mut self.dealer, waiting, &mut device, room)?;
        self.dealt += dealt as u64;
        if self.dealer.is_over() && self.dealt < self.to_be_dealt {
            return Err(LinkError::Closed(Remote::Dealer).into());
        }
        let waiting = self.mux.borrow().readable(channel::DEALER);
        // The dealer gets only handshakes, which its connection takes at once.
        Ok(dealt + pass(&mut device, waiting, &mut self.dealer, MAX_PAYLOAD)?)
    }

    /// Relays from this device to the `other`, as far as there is room. Returns the number of bytes.
    fn pass_to(&mut self, other: &mut Side<'_>) -> Result<usize, Failure> {
        let waiting = self.mux.borrow().readable(channel::PEER);
        let room = other.mux.borrow_mut().writable(channel::PEER);
        let count = pass(&mut self.peer, waiting, &mut other.peer, room)?;
        self.sent += count as u64;
        Ok(count)
    }
}

/// Moves bytes without waiting: `waiting` can be read, and `room` can be written. Returns the number of bytes.
fn pass(
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
    let failed = |kind| Failure::new(format!("a line broke ({kind:?})"), "start again");
    let count = (from.read(&mut piece[..count])).map_err(|error| failed(error.kind()))?;
    to.write_all(&piece[..count])
        .and_then(|()| to.flush())
        .map_err(|error| failed(error.kind()))?;
    Ok(count)
}

/// Relays until both devices are done. Fails if nothing moves for as long as `idle`.
fn pass_all(
    sides: &mut [Side<'_>; 2],
    idle: Duration,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let (mut moved_at, mut reported_at) = (Instant::now(), Instant::now());
    while !sides.iter().all(Side::is_done) {
        let mut came = false;
        let mut moved = 0;
        for side in sides.iter_mut() {
            came |= side.poll()?;
            moved += side.pass_dealt()?;
        }
        let [p0, p1] = sides;
        moved += p0.pass_to(p1)? + p1.pass_to(p0)?;
        if moved > 0 {
            moved_at = Instant::now();
        } else if moved_at.elapsed() >= idle {
            return Err(Failure::new(
                format!("all have been silent for {} s", idle.as_secs()),
                "see whether both devices still run, then start again; --idle waits longer",
            ));
        } else if !came {
            thread::park_timeout(REST);
        }
        if reported_at.elapsed() >= REPORT_PAUSE {
            reported_at = Instant::now();
            progress(sides[1].dealt, sides[0].sent + sides[1].sent);
        }
    }
    Ok(())
}
