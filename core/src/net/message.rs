//! Messages other than openings and corrections: a magic number (4 bytes), the body's length (2 bytes,
//! little-endian), and the body in postcard format.

use embedded_io::{Read, Write};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::net::link::{Link, LinkError};

/// The first bytes of a message. An end that sends other bytes does not run Ringlet.
const MAGIC: [u8; 4] = *b"RNGL";

/// The largest body, in bytes.
const MAX_BODY: usize = 2048;

/// Why a message could not be sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MessageError {
    /// The link failed.
    Link(LinkError),
    /// The received bytes are not a message of this protocol.
    Foreign,
    /// The message's body is longer than 2048 bytes.
    TooLong,
}

impl core::fmt::Display for MessageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            MessageError::Link(error) => error.fmt(f),
            MessageError::Foreign => f.write_str("the other end does not speak this protocol"),
            MessageError::TooLong => f.write_str("the message is too long to be sent"),
        }
    }
}

impl core::error::Error for MessageError {}

impl From<LinkError> for MessageError {
    fn from(error: LinkError) -> Self {
        MessageError::Link(error)
    }
}

/// Buffer for a body, wiped when dropped: some messages hold keys.
type Body = Zeroizing<[u8; MAX_BODY]>;

/// Sends a message and flushes the link.
#[inline(never)]
pub(crate) fn send<T: Read + Write>(
    link: &mut Link<T>,
    message: &impl Serialize,
) -> Result<(), MessageError> {
    let mut body = Body::new([0; MAX_BODY]);
    let body = postcard::to_slice(message, &mut body[..]).map_err(|_| MessageError::TooLong)?;
    link.send(&MAGIC)?;
    link.send(&(body.len() as u16).to_le_bytes())?;
    link.send(body)?;
    Ok(link.flush()?)
}

/// Receives a message of type `M`.
pub(crate) fn receive<T: Read + Write, M: DeserializeOwned>(
    link: &mut Link<T>,
) -> Result<M, MessageError> {
    let mut head = [0; 6];
    link.receive(&mut head)?;
    let len = usize::from(u16::from_le_bytes([head[4], head[5]]));
    if head[..4] != MAGIC || len > MAX_BODY {
        return Err(MessageError::Foreign);
    }
    let mut body = Body::new([0; MAX_BODY]);
    link.receive(&mut body[..len])?;
    postcard::from_bytes(&body[..len]).map_err(|_| MessageError::Foreign)
}
