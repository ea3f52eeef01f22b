//! What a host does for a device that is plugged into it: begins a session, tells the device its part, and finds out
//! what became of it. `ringlet party --peer serial:...` or `tcp:...` is P1 beside a device that is P0. The device has
//! one line, so this process passes on what the device and the dealer say to each other: a greeting and a key.

use std::{
    cell::RefCell,
    fs::File,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::{Awake, Crash, Status, Taken, assign, channel, hear},
    net::{
        Link, Remote,
        message::pass_on,
        serial::mux::{Channel, Mux, MuxError, Patience},
    },
    prg::Key,
    session::{
        Session,
        handshake::{HandshakeError, Hello, Mismatch, VERSION, pass_sealed_key_on, receive_key},
    },
};

use crate::{
    error::Failure,
    links::{
        capture::Capture,
        connect::broken,
        device_address::DeviceAddress,
        serial::{LineClock, SerialLine},
    },
    output::console,
};

/// A device's port, shared by its channels.
pub type DeviceMux = RefCell<Mux<SerialLine, LineClock>>;

/// One channel to a device.
pub type DeviceChannel<'a> = Channel<'a, SerialLine, LineClock>;

/// Milliseconds after which frames are sent again.
const RESEND: u32 = 500;

/// Milliseconds that a device which has started anew may take to say why.
const PATIENCE_WITH_CRASHED: u32 = 5000;

/// Pause between attempts to reach a device over a network.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the line and begins a session on it. The device may take `wait` to be there; later it counts as
/// gone after a silence of `idle`.
pub fn plug_in(
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
        let patience = Patience {
            resend: RESEND,
            silence: milliseconds(left.max(PAUSE)),
        };
        let mut port = Mux::new(line, clock, patience);
        let error = match port.start(u16::from_le_bytes(number)) {
            Ok(()) => {
                port.set_silence(milliseconds(idle));
                return Ok(RefCell::new(port));
            }
            Err(error) => error,
        };
        // A network may take a connection before the device is there to hold it.
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

/// Makes everyone known to everyone, once the device has been told the session: the device to the dealer over the
/// first of the links, this party to the dealer over the second, and both parties to each other. Returns the link to
/// the device, whose bytes are `kept`, and this party's key.
pub fn introduce<'a, T: Read + Write, D: Read + Write>(
    port: &'a DeviceMux,
    session: &Session,
    kept: Option<File>,
    (relay, dealer): (&mut Link<T>, &mut Link<D>),
) -> Result<(Link<Capture<DeviceChannel<'a>>>, Key), Failure> {
    let mut to_dealer = Link::new(Channel::new(port, channel::DEALER), Remote::Peer, 0);
    pass_on(&mut to_dealer, relay)?;
    let hello = Hello::new(Role::P1, session);
    hello.announce(dealer)?;
    pass_sealed_key_on(relay, &mut to_dealer)?;
    await_ready(port)?;
    let peer = Channel::new(port, channel::PEER);
    let peer = Capture::new(peer, &kept).map_err(broken)?;
    let mut peer = Link::new(peer, Remote::Peer, 0);
    hello.meet_peer(&mut peer)?;
    Ok((peer, receive_key(dealer)?))
}

/// Tells a device the session and its role in it, which are those of `hello`. Fails if it will not run it.
pub fn start_session(port: &DeviceMux, hello: &Hello, nonce: u64) -> Result<(), Failure> {
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    wake(&mut control)?;
    assign(&mut control, hello, nonce)?;
    await_ready(port)
}

/// Waits until a device says that it is ready: first to run the session, then with its key.
pub fn await_ready(port: &DeviceMux) -> Result<(), Failure> {
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    match hear(&mut control)? {
        Status::Ready => Ok(()),
        refusal => {
            let hint = match refusal {
                Status::NoSecret => "program 32 random bytes, as the README says",
                Status::Seal => "give the dealer the key of this very device",
                Status::Memory { .. } => "give a smaller --micro-batch, or a smaller model",
                Status::Samples { .. } => "correct --samples, or program other samples",
                Status::Task => "let a host predict in its place",
                _ => "choose other options",
            };
            Err(Failure::new(refusal.to_string(), hint))
        }
    }
}

/// Hears what a device says first, and passes on if it has crashed before.
fn wake<T: Read + Write>(control: &mut Link<T>) -> Result<(), Failure> {
    let awake = Awake::hear(control)?;
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

/// Hears what the session took of the device, and waits until the device has everything.
pub fn end_session(port: &DeviceMux) -> Result<Taken, Failure> {
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    let taken = Taken::hear(&mut control)?;
    // The device has everything only when the line says so.
    port.borrow_mut().finish().map_err(|error| {
        Failure::new(format!("the device left early: {error}"), "look at its log")
    })?;
    Ok(taken)
}

/// Finds out what became of a device in the middle of a session.
pub fn crash_report(port: &DeviceMux, address: &DeviceAddress, failure: Failure) -> Failure {
    let error = port.borrow().failure();
    match error {
        Some(MuxError::Line(_)) => Failure::new(
            format!("the device at {address} is gone: it was unplugged or switched off"),
            "plug it in and start again; the run begins anew",
        ),
        Some(MuxError::Reset) => {
            let why = last_words(port).map_or_else(
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

/// The crash that a device remembers, asked in a session of its own.
fn last_words(port: &DeviceMux) -> Option<Crash> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).ok()?;
    port.borrow_mut().set_silence(PATIENCE_WITH_CRASHED);
    port.borrow_mut().start(u16::from_le_bytes(number)).ok()?;
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    Awake::hear(&mut control).ok()?.crash
}
