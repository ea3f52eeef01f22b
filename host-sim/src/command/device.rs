//! `ringlet party --peer serial:...` or `tcp:...`: P1 beside a device that is P0. The device has one line, so this process
//! passes on what the device and the dealer say to each other: a greeting and a key.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    hello::{Hello, receive_key},
    link::{Link, Remote},
    message::pass_on,
    prg::Key,
    wire::{
        control::{Status, channel, hear},
        port::{Channel, Patience, Port, PortError},
    },
};

use crate::{
    error::Failure,
    links::{
        plug::Plug,
        serial::{LineClock, SerialLine},
    },
};

/// A device's port, shared by its channels.
pub(super) type DevicePort = RefCell<Port<SerialLine, LineClock>>;

/// One channel to a device.
pub(super) type DeviceChannel<'a> = Channel<'a, SerialLine, LineClock>;

/// Milliseconds after which frames are sent again.
const RESEND: u32 = 500;

/// Pause between attempts to reach a device over a network.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the line and begins a session on it. The device may take `wait` to be there; later it counts as
/// gone after a silence of `idle`.
pub(super) fn plug_in(plug: &Plug, wait: Duration, idle: Duration) -> Result<DevicePort, Failure> {
    let mut number = [0; 2];
    getrandom::fill(&mut number).map_err(|error| {
        Failure::new(
            format!("the operating system gives no random numbers: {error}"),
            "",
        )
    })?;
    let patience = Patience {
        resend: RESEND,
        silence: idle.as_millis().try_into().unwrap_or(u32::MAX),
    };
    let deadline = Instant::now() + wait;
    loop {
        let line = plug.open(deadline)?;
        let clock = line.clock();
        let mut port = Port::new(line, clock, patience);
        let error = match port.start(u16::from_le_bytes(number)) {
            Ok(()) => return Ok(RefCell::new(port)),
            Err(error) => error,
        };
        // A network may take a connection before the device is there to hold it.
        let early = matches!((plug, error), (Plug::Tcp(_), PortError::Line(_)));
        if !early || Instant::now() >= deadline {
            return Err(Failure::new(
                format!("the device at {plug} does not answer: {error}"),
                "check that it runs Ringlet's firmware and serves nobody else, and the speed of a serial line",
            ));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Tells the device the session, and makes everyone known to everyone: the device to the dealer over
/// `relay`, this party to the dealer over `dealer`, and both parties to each other. Returns the link to
/// the device and this party's key.
pub(super) fn introduce<'a, T: Read + Write, D: Read + Write>(
    port: &'a DevicePort,
    hello: &Hello,
    relay: &mut Link<T>,
    dealer: &mut Link<D>,
) -> Result<(Link<DeviceChannel<'a>>, Key), Failure> {
    let mut control = Link::new(Channel::new(port, channel::CONTROL), Remote::Peer, 0);
    hello.announce(&mut control)?;
    match hear(&mut control)? {
        Status::Ready => {}
        refusal => return Err(Failure::new(refusal.to_string(), "choose other options")),
    }
    let mut to_dealer = Link::new(Channel::new(port, channel::DEALER), Remote::Peer, 0);
    pass_on(&mut to_dealer, relay)?;
    hello.announce(dealer)?;
    let mut peer = Link::new(Channel::new(port, channel::PEER), Remote::Peer, 0);
    hello.meet_peer(&mut peer)?;
    pass_on(relay, &mut to_dealer)?;
    Ok((peer, receive_key(dealer)?))
}
