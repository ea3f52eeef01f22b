//! What a secure link adds to the bytes of a session.

use super::{
    handshake::{CONFIRMATION_LEN, MESSAGE_LEN},
    transport::{END_LEN, FRAME_OVERHEAD},
};

/// Bytes that an end sends in the Noise handshake. The end that connects also confirms it.
pub const fn handshake_bytes(connects: bool) -> u64 {
    let confirmation = if connects { CONFIRMATION_LEN } else { 0 };
    (MESSAGE_LEN + confirmation) as u64
}

/// Bytes that one end adds to what it sends in a session of `bytes` bytes in `messages` messages, over a link with
/// buffers of `buffer_len` bytes ([`Suite::buffer_len`](super::Suite::buffer_len)). A message is what is written between two flushes. `confirms` says whether this end
/// confirms the end of the session to the other, as [`Finish::finish`](crate::net::Finish::finish) does.
pub fn frame_bytes(bytes: u64, messages: u64, buffer_len: usize, confirms: bool) -> u64 {
    let frames = messages + bytes / (buffer_len as u64 - 1) + 1 + u64::from(confirms);
    frames * FRAME_OVERHEAD as u64 + END_LEN as u64
}

/// Bytes that one end sends over a secure link in a session, handshake and frames included; see [`frame_bytes`]. `connects` says
/// whether it is the end that connects.
pub fn wire_bytes(
    (bytes, messages): (u64, u64),
    buffer_len: usize,
    connects: bool,
    confirms: bool,
) -> u64 {
    handshake_bytes(connects) + bytes + frame_bytes(bytes, messages, buffer_len, confirms)
}
