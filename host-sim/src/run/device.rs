//! What a host does for a device that is connected to it: it starts a session, gives the device its role, and finds out
//! why a device failed. The device has one line, so the host also relays the handshake of the device and the dealer.

use std::{
    cell::RefCell,
    fs::File,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::{Crash, DeviceHello, MemoryUsed, Status, channel, send_session},
    net::{
        Link, Remote,
        message::forward,
        serial::mux::{Channel, Mux, MuxError, Timeouts},
    },
    prg::Key,
    session::{
        Session,
        handshake::{HandshakeError, Hello, Mismatch, VERSION, forward_sealed_key, receive_key},
    },
};

use crate::{
    console,
    error::Failure,
    links::{
        capture::Capture,
        connect::broken,
        device_address::DeviceAddress,
        serial::{LineClock, SerialLine},
    },
};

/// The mux of a device's line, shared by its channels.
pub type DeviceMux = RefCell<Mux<SerialLine, LineClock>>;

/// One channel to a device.
pub type DeviceChannel<'a> = Channel<'a, SerialLine, LineClock>;

/// Milliseconds after which a frame is sent again.
const RESEND: u32 = 500;

/// Milliseconds in which a restarted device must report its crash.
const CRASH_REPORT_TIMEOUT: u32 = 5000;

/// Pause between attempts to reach a device over a network.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the line of a device. The device must answer within `wait`; later it counts as gone after a silence of `idle`.
pub fn open_device(
    address: &DeviceAddress,
    wait: Duration,
    idle: Duration,
) -> Result<DeviceMux, Failure> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).map_err(|error| {
        Failure::new(
            format!("the operating system gives no random numbers: {error}"),
            "",
        )
    })?;
    let milliseconds = |time: Duration| time.as_millis().try_into().unwrap_or(u32::MAX);
    let deadline = Instant::now() + wait;
    loop {
        let line = address.open(deadline)?;
        let clock = line.clock();
        let left = deadline.saturating_duration_since(Instant::now());
        let timeouts = Timeouts {
            resend: RESEND,
            silence: milliseconds(left.max(PAUSE)),
        };
        let mut mux = Mux::new(line, clock, timeouts);
        let error = match mux.start(u16::from_le_bytes(number)) {
            Ok(()) => {
                mux.set_silence(milliseconds(idle));
                return Ok(RefCell::new(mux));
            }
            Err(error) => error,
        };
        // A network may accept a connection before the device is there.
        let early = matches!((address, error), (DeviceAddress::Tcp(_), MuxError::Line(_)));
        if !early || Instant::now() >= deadline {
            return Err(Failure::new(
                format!("the device at {address} does not answer: {error}"),
                "check that it runs Ringlet's firmware and serves nobody else, and the speed of a serial line",
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Completes the handshakes after the device has got its session: of the device with the dealer over the link `relay`, of
/// this party with the dealer over the link `dealer`, and of both parties with each other. Returns the link to the
/// device, which writes the device's bytes to the file `kept`, and this party's key.
pub fn introduce<'a, T: Read + Write, D: Read + Write>(
    mux: &'a DeviceMux,
    session: &Session,
    kept: Option<File>,
    (relay, dealer): (&mut Link<T>, &mut Link<D>),
) -> Result<(Link<Capture<DeviceChannel<'a>>>, Key), Failure> {
    let mut to_dealer = Link::new(Channel::new(mux, channel::DEALER), Remote::Peer, 0);
    forward(&mut to_dealer, relay)?;
    let hello = Hello::new(Role::P1, session);
    hello.send(dealer)?;
    forward_sealed_key(relay, &mut to_dealer)?;
    await_ready(mux)?;
    let peer = Channel::new(mux, channel::PEER);
    let peer = Capture::new(peer, &kept).map_err(broken)?;
    let mut peer = Link::new(peer, Remote::Peer, 0);
    hello.exchange_with_peer(&mut peer)?;
    let (key, _) = receive_key(dealer)?;
    Ok((peer, key))
}

/// Gives a device the session and role of `hello`. Fails if the device refuses them.
pub fn start_session(mux: &DeviceMux, hello: &Hello, nonce: u64) -> Result<(), Failure> {
    let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
    wake(&mut control)?;
    send_session(&mut control, hello, nonce)?;
    await_ready(mux)
}

/// Waits until a device reports that it is ready: first for the session, then with its key.
pub fn await_ready(mux: &DeviceMux) -> Result<(), Failure> {
    let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
    match Status::receive(&mut control)? {
        Status::Ready => Ok(()),
        refusal => {
            let remedy = match refusal {
                Status::NoSecret => "program 32 random bytes, as docs/src/devices.md says",
                Status::Seal => "give the dealer the key of this very device",
                Status::Memory { .. } => "give a smaller --micro-batch, or a smaller model",
                Status::Samples { .. } => "correct --samples, or program other samples",
                Status::Task => "let a host predict instead",
                _ => "choose other options",
            };
            Err(Failure::new(refusal.to_string(), remedy))
        }
    }
}

/// Receives the first message of a device, and tells the user if the device has crashed before.
fn wake<T: Read + Write>(control: &mut Link<T>) -> Result<(), Failure> {
    let awake = DeviceHello::receive(control)?;
    if awake.version != VERSION {
        return Err(HandshakeError::from(Mismatch::Version(awake.version)).into());
    }
    match awake.crash {
        Some(crash) => console::line(&format!(
            "the device has started anew since its last session: {crash}"
        )),
        None => Ok(()),
    }
}

/// Receives the memory use of the device, and waits until the device has received everything.
pub fn end_session(mux: &DeviceMux) -> Result<MemoryUsed, Failure> {
    let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
    let taken = MemoryUsed::receive(&mut control)?;
    // The device has everything only when it has acknowledged it.
    mux.borrow_mut().finish().map_err(|error| {
        Failure::new(format!("the device left early: {error}"), "look at its log")
    })?;
    Ok(taken)
}

/// Explains the `failure` of a session if the device failed.
pub fn crash_report(mux: &DeviceMux, address: &DeviceAddress, failure: Failure) -> Failure {
    let error = mux.borrow().failure();
    match error {
        Some(MuxError::Line(_)) => Failure::new(
            format!("the device at {address} is gone: it was unplugged or switched off"),
            "plug it in and start again; the run begins anew",
        ),
        Some(MuxError::Reset) => {
            let why = last_crash(mux).map_or_else(
                || "it was reset, or unplugged and plugged in again".to_owned(),
                |crash| crash.to_string(),
            );
            Failure::new(
                format!("the device at {address} has started anew: {why}"),
                "start again; the run begins anew",
            )
        }
        Some(MuxError::Silent) => Failure::new(
            format!("the device at {address} has been silent for too long"),
            "see whether it still runs, then start again; the run begins anew",
        ),
        None => failure,
    }
}

/// The crash that a restarted device remembers.
fn last_crash(mux: &DeviceMux) -> Option<Crash> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).ok()?;
    mux.borrow_mut().set_silence(CRASH_REPORT_TIMEOUT);
    mux.borrow_mut().start(u16::from_le_bytes(number)).ok()?;
    let mut control = Link::new(Channel::new(mux, channel::CONTROL), Remote::Peer, 0);
    DeviceHello::receive(&mut control).ok()?.crash
}
