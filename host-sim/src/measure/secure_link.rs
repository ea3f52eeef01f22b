//! The processor time that a secure link over TCP takes for each byte, at both ends together.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::net::secure::{Keys, Suite};

use super::clock::ProcessClock;
use crate::{
    error::Failure,
    links::{secure::SecureEnd, tcp::TcpEnd, traffic_shaper::TrafficShape},
    resources::spawn,
};

/// Bytes of a message, and of what the sender sends before it reads the clock again.
const MESSAGE: usize = 1 << 18;
const BYTES: usize = 1 << 23;

/// Sends for about `time` over a secure link within this machine. Returns the processor seconds of a byte, of sender and receiver
/// together.
pub fn seconds_per_byte(time: Duration) -> Result<f64, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            format!("a link within this machine fails: {error}"),
            "allow connections to 127.0.0.1",
        )
    };
    let (mut sender, mut receiver) = pair().map_err(|error| failed(&error))?;
    let reader = spawn(move || {
        let mut bytes = vec![0; MESSAGE];
        while let Ok(1..) = receiver.read(&mut bytes) {}
    })?;
    let message = vec![1; MESSAGE];
    let (start, clock) = (Instant::now(), ProcessClock::start());
    let mut sent = 0;
    while sent == 0 || start.elapsed() < time {
        for _ in 0..BYTES / MESSAGE {
            let written = sender.write_all(&message).and_then(|()| sender.flush());
            written.map_err(|error| failed(&error))?;
            sent += MESSAGE;
        }
    }
    drop(sender);
    // The time of the receiver counts, to its last byte.
    reader
        .join()
        .map_err(|_| Failure::new("a link within this machine has stopped", ""))?;
    Ok(clock.seconds() / sent as f64)
}

/// Both ends of a secure link.
fn pair() -> std::io::Result<(SecureEnd, SecureEnd)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    let end = |stream, [send, receive]: [u8; 2]| -> std::io::Result<SecureEnd> {
        let keys = Keys {
            send: [send; 32],
            receive: [receive; 32],
            first_frames: [0; 2],
            hash: [0; 32],
        };
        let end = TcpEnd::free(stream, TrafficShape::default())?;
        Ok(SecureEnd::new(end, Suite::Host, &keys))
    };
    Ok((end(one, [1, 2])?, end(other, [2, 1])?))
}
