//! How the processes of a simulation report to their starter: events on standard output, each after its length.

use std::io::{self, Read, Write};

use super::event::Event;
use crate::{error::Failure, resources::filled};

/// The most bytes of an event. The shares of the largest model fit.
const MAX_EVENT: u32 = 1 << 30;

/// Sends one event.
pub fn send(mut out: impl Write, event: &Event) -> Result<(), Failure> {
    let lost = |error: String| Failure::new(format!("the simulator is gone: {error}"), "");
    let body = postcard::to_stdvec(event).map_err(|error| lost(error.to_string()))?;
    out.write_all(&(body.len() as u32).to_le_bytes())
        .and_then(|()| out.write_all(&body))
        .and_then(|()| out.flush())
        .map_err(|error| lost(error.to_string()))
}

/// Receives the next event; none at the end.
pub fn receive(mut input: impl Read) -> io::Result<Option<Event>> {
    let mut len = [0; 4];
    match input.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let len = u32::from_le_bytes(len);
    if len > MAX_EVENT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = filled(0, len as usize, "an event").map_err(io::Error::other)?;
    input.read_exact(&mut body)?;
    postcard::from_bytes(&body)
        .map(Some)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
