//! Messages outside the protocol's tensors: a mark, a length, and a body in postcard's coding.

use embedded_io::{Read, Write};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::net::link::{Link, LinkError};

/// Marks the start of a message: a peer that sends something else is not Ringlet.
const MAGIC: [u8; 4] = *b"RNGL";

/// The most bytes of a message's body.
const MAX_BODY: usize = 2048;

/// Why a message did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MessageError {
    /// The link failed.
    Link(LinkError),
    /// What came is no message: the other end is not Ringlet.
    Foreign,
    /// The message is longer than one may be.
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

/// Room for a body, wiped when it is done with: some hold keys.
type Body = Zeroizing<[u8; MAX_BODY]>;

/// Sends a message.
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

/// Passes one message on, whatever it says.
pub fn pass_on<A: Read + Write, B: Read + Write>(
    from: &mut Link<A>,
    to: &mut Link<B>,
) -> Result<(), MessageError> {
    let mut head = [0; 6];
    from.receive(&mut head)?;
    let len = usize::from(u16::from_le_bytes([head[4], head[5]]));
    if head[..4] != MAGIC || len > MAX_BODY {
        return Err(MessageError::Foreign);
    }
    let mut body = Body::new([0; MAX_BODY]);
    from.receive(&mut body[..len])?;
    to.send(&head)?;
    to.send(&body[..len])?;
    Ok(to.flush()?)
}

/// Waits for a message.
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
