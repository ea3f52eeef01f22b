//! Relays a session of two devices. Each has one line, to this process, which passes on their messages to each other and
//! to the dealer, and keeps their states.

use std::{
    fs::File,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::{Assignment, MemoryUsed},
    net::secure::PublicIdentity,
    session::{
        Session,
        handshake::{Checkpoints, Hello},
    },
};

use super::{
    dealer_relay::REST,
    device::{DeviceMux, crash_report, end_line, has_reported, start_session, wake_party},
    device_at_hub::DeviceAtHub,
    hub_states::HubStates,
    stop_request::{self, UnderWay},
};
use crate::{error::Failure, links::device_address::DeviceAddress};

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
    /// Where the devices are.
    pub addresses: &'a [DeviceAddress; 2],
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

impl Relay<'_> {
    /// Gives both devices the session, their roles in it, and each other's public identity. With `states` they are to take
    /// back the checkpoint that is common to both, and to give theirs.
    pub fn start(&self, states: &Option<HubStates>) -> Result<(), Failure> {
        self.introduce(states)
            .map_err(|failure| self.explained(failure, |role| has_reported(self.mux(role))))
    }

    fn introduce(&self, states: &Option<HubStates>) -> Result<(), Failure> {
        let [p0, p1] = [Role::P0, Role::P1].map(|role| {
            let introduction =
                wake_party(self.mux(role)).map_err(|failure| failure.of(&role.to_string()))?;
            // A device without an identity refuses the session, whoever the other is.
            Ok::<_, Failure>(introduction.identity.unwrap_or(NOBODY))
        });
        let identities = [p0?, p1?];
        let (checkpoints, every) = match states {
            Some(states) => (states.checkpoints(), states.plan().every),
            None => (Checkpoints::default(), 0),
        };
        for role in Role::BOTH {
            let mut hello = Hello::new(role, self.session);
            hello.checkpoints = checkpoints.clone();
            let assignment = Assignment {
                peer: identities[role.other().index()],
                every,
            };
            start_session(self.mux(role), &hello, assignment)
                .map_err(|failure| failure.of(&role.to_string()))?;
        }
        Ok(())
    }

    /// Relays until both devices are done. `dealers` are connections to the dealer. Writes what the devices send to each
    /// other to the files `kept`, and keeps their `states`. `progress` gets the bytes from the dealer to P1 and the bytes
    /// between the devices.
    pub fn run(
        &self,
        [dealer0, dealer1]: [TcpStream; 2],
        [kept0, kept1]: [Option<File>; 2],
        states: &mut Option<HubStates>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<[DeviceTotals; 2], Failure> {
        let given = match states {
            Some(states) => states.begin()?,
            None => None,
        };
        let [given0, given1] = given.map_or([None, None], |given| given.map(Some));
        let device = |role, dealer, given, kept| {
            DeviceAtHub::new((role, self.mux(role)), (dealer, self.idle), given, kept)
        };
        let mut devices = [
            device(Role::P0, dealer0, given0, kept0)?,
            device(Role::P1, dealer1, given1, kept1)?,
        ];
        let _under_way = states.is_some().then(UnderWay::begin);
        let outcome = pass_all(&mut devices, states, self.idle, &mut progress);
        outcome
            .and_then(|()| self.end(&devices))
            .map_err(|failure| match stop_request::is_made() {
                true => failure,
                false => self.explained(failure, |role| devices[role.index()].has_reported()),
            })
    }

    /// Ends the session with both devices.
    fn end(&self, devices: &[DeviceAtHub<'_>; 2]) -> Result<[DeviceTotals; 2], Failure> {
        let end = |role: Role| {
            let device = &devices[role.index()];
            end_line(self.mux(role), &format!("the device that is {role}"))
                .map_err(|failure| failure.of(&role.to_string()))?;
            Ok::<_, Failure>(DeviceTotals {
                sent: device.sent(),
                dealt: device.dealt(),
                taken: device.taken().unwrap_or(MemoryUsed {
                    memory: 0,
                    stack: 0,
                }),
            })
        };
        Ok([end(Role::P0)?, end(Role::P1)?])
    }

    fn mux(&self, role: Role) -> &DeviceMux {
        self.muxes[role.index()]
    }

    /// The `failure` of a session, or the one of the device that is behind it. If a device is gone or `has_reported`
    /// something, other failures are its consequences.
    fn explained(&self, failure: Failure, has_reported: impl Fn(Role) -> bool) -> Failure {
        for role in Role::BOTH {
            let mux = self.mux(role);
            if mux.borrow().failure().is_some() || has_reported(role) {
                let address = &self.addresses[role.index()];
                return crash_report(mux, address, failure).of(&role.to_string());
            }
        }
        failure
    }
}

/// Relays until both devices are done. Fails if nothing moves for as long as `idle`, and at the next common checkpoint
/// after the user has stopped a run that keeps `states`.
fn pass_all(
    devices: &mut [DeviceAtHub<'_>; 2],
    states: &mut Option<HubStates>,
    idle: Duration,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), Failure> {
    let (mut moved_at, mut reported_at) = (Instant::now(), Instant::now());
    // The last common checkpoint when the user asked to stop.
    let mut stops_after = None;
    loop {
        let mut came = false;
        let mut moved = 0;
        for (role, device) in Role::BOTH.into_iter().zip(devices.iter_mut()) {
            let of = |failure: Failure| failure.of(&role.to_string());
            came |= device.poll().map_err(of)?;
            // A state is on the disk before the other device gets anything that follows it.
            moved += device.listen(states).map_err(of)?;
            moved += device.give().map_err(of)?;
            moved += device.pass_dealers()?;
        }
        if devices.iter().all(|device| device.taken().is_some()) {
            return Ok(());
        }
        if let Some(states) = states
            && stop_request::is_made()
        {
            stop_request::note_once("the hub stops at the next checkpoint of both devices");
            if states.first() > *stops_after.get_or_insert(states.first()) {
                return Err(states.stopped());
            }
        }
        let [p0, p1] = devices;
        moved += p0.pass_to(p1)? + p1.pass_to(p0)?;
        if moved > 0 {
            moved_at = Instant::now();
        } else if moved_at.elapsed() >= idle {
            return Err(Failure::new(
                format!("all have been silent for {} s", idle.as_secs()),
                "see whether both devices still run, then start again; --idle waits longer",
            )
            .of_broken_link());
        } else if !came {
            thread::park_timeout(REST);
        }
        if reported_at.elapsed() >= REPORT_PAUSE {
            reported_at = Instant::now();
            progress(devices[1].dealt(), devices[0].sent() + devices[1].sent());
        }
    }
}
