//! Relays a session of two devices. Each has one line, to this process, which passes on their messages to each other and
//! to the dealer.

use std::{
    fs::File,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::{Assignment, MemoryUsed, channel},
    net::{secure::PublicIdentity, serial::mux::Channel},
    session::{Session, handshake::Hello},
};

use super::{
    dealer_relay::{DealerRelay, REST, pass},
    device::{
        DeviceChannel, DeviceMux, await_ready, end_session, has_reported, start_session, wake,
    },
};
use crate::{
    error::Failure,
    links::{capture::Capture, connect::broken},
};

/// The public identity that belongs to nobody.
const NOBODY: PublicIdentity = PublicIdentity([0; 32]);

/// Pause between two reports of progress.
const REPORT_PAUSE: Duration = Duration::from_millis(200);

/// A session of two devices.
pub struct Relay<'a> {
    /// The parameters of the session.
    pub session: &'a Session,
    /// The devices' lines.
    pub muxes: [&'a DeviceMux; 2],
    /// How long all may be silent.
    pub idle: Duration,
}

/// What the relay knows of a device at the end of a session.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTotals {
    /// Bytes that it sent to the other device.
    pub sent: u64,
    /// Bytes that the dealer sent it: its key, its corrections, and what seals them.
    pub dealt: u64,
    /// What the session took of its memory.
    pub taken: MemoryUsed,
}

impl<'a> Relay<'a> {
    /// Gives both devices the session, their roles in it, and each other's public identity.
    pub fn start(&self) -> Result<(), Failure> {
        let [p0, p1] = [Role::P0, Role::P1].map(|role| {
            let introduction =
                wake(self.muxes[role.index()]).map_err(|failure| failure.of(&role.to_string()))?;
            // A device without an identity refuses the session, whoever the other is.
            Ok::<_, Failure>(introduction.identity.unwrap_or(NOBODY))
        });
        let identities = [p0?, p1?];
        for (role, mux) in Role::BOTH.into_iter().zip(self.muxes) {
            let hello = Hello::new(role, self.session);
            let assignment = Assignment {
                peer: identities[role.other().index()],
                every: 0,
            };
            start_session(mux, &hello, assignment)
                .map_err(|failure| failure.of(&role.to_string()))?;
        }
        Ok(())
    }

    /// Relays until both devices are done. `dealers` are connections to the dealer. Writes what the devices send to each
    /// other to the files `kept`. `progress` gets the bytes from the dealer to P1 and the bytes between the devices.
    pub fn run(
        &self,
        [dealer0, dealer1]: [TcpStream; 2],
        [kept0, kept1]: [Option<File>; 2],
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Totals<'a>, Failure> {
        let [mux0, mux1] = self.muxes;
        let mut sides = [
            Side::new(mux0, dealer0, self.idle, kept0)?,
            Side::new(mux1, dealer1, self.idle, kept1)?,
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
        let name = format!("the device that is {role}");
        let taken =
            end_session(side.mux, &name).map_err(|failure| failure.of(&role.to_string()))?;
        Ok(DeviceTotals {
            sent: side.sent,
            dealt: side.dealer.from_dealer(),
            taken,
        })
    }
}

/// A device and its relay to the dealer.
struct Side<'a> {
    mux: &'a DeviceMux,
    /// The channel to the other device.
    peer: Capture<DeviceChannel<'a>>,
    dealer: DealerRelay<'a>,
    /// Bytes that it has sent to the other device.
    sent: u64,
    /// Whether it has its key.
    greeted: bool,
}

impl<'a> Side<'a> {
    fn new(
        mux: &'a DeviceMux,
        dealer: TcpStream,
        patience: Duration,
        kept: Option<File>,
    ) -> Result<Self, Failure> {
        let peer = Channel::new(mux, channel::PEER);
        Ok(Side {
            mux,
            peer: Capture::new(peer, &kept).map_err(broken)?,
            dealer: DealerRelay::new(mux, dealer, patience)?,
            sent: 0,
            greeted: false,
        })
    }

    /// Whether the device has reported the end of its session. Takes note when it reports that it has its key.
    fn is_done(&mut self) -> Result<bool, Failure> {
        if !self.greeted && has_reported(self.mux) {
            await_ready(self.mux)?;
            self.dealer.set_greeted();
            self.greeted = true;
        }
        Ok(self.greeted && has_reported(self.mux))
    }

    /// Reads the device's line. True if anything came.
    fn poll(&mut self) -> Result<bool, Failure> {
        let turned = self.mux.borrow_mut().poll();
        match turned {
            Ok(came) => Ok(came),
            // A device that is done may go.
            Err(_) if has_reported(self.mux) => Ok(false),
            Err(error) => Err(Failure::new(error.to_string(), "start again")),
        }
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

/// Relays until both devices are done. Fails if nothing moves for as long as `idle`.
fn pass_all(
    sides: &mut [Side<'_>; 2],
    idle: Duration,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let (mut moved_at, mut reported_at) = (Instant::now(), Instant::now());
    loop {
        let mut came = false;
        let mut moved = 0;
        let mut done = 0;
        for (role, side) in Role::BOTH.into_iter().zip(sides.iter_mut()) {
            let of = |failure: Failure| failure.of(&role.to_string());
            came |= side.poll().map_err(of)?;
            done += usize::from(side.is_done().map_err(of)?);
            moved += side.dealer.pass()?;
        }
        if done == sides.len() {
            return Ok(());
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
            progress(sides[1].dealer.from_dealer(), sides[0].sent + sides[1].sent);
        }
    }
}
