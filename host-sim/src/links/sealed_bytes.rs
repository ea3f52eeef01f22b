//! The bytes that a secure link makes of a session's messages.

use ringlet_core::{
    Role,
    dealt::Sent,
    net::secure::{Suite, frame_bytes, wire_bytes},
};

/// The bytes of these messages in the frames of a device's secure link.
pub fn framed(sent: Sent) -> u64 {
    let frames = |bytes, messages| frame_bytes(bytes, messages, Suite::Device.buffer_len(), false);
    sent.bytes + frames(sent.bytes, sent.messages) - frames(0, 0)
}

/// Bytes that `role` sends to its peer over a secure link of this `suite` in a session: its Noise handshake, the frames and
/// the end, without the greeting. `connects` says whether it connects to the peer. P1 confirms the end.
pub fn to_peer(sent: Sent, role: Role, suite: Suite, connects: bool) -> u64 {
    let sent = (sent.bytes, sent.messages);
    wire_bytes(sent, suite.buffer_len(), connects, role == Role::P1)
}

/// Bytes that a party sends in the same way to its helper, to which it connects. It confirms the end.
pub fn to_helper(sent: Sent) -> u64 {
    let sent = (sent.bytes, sent.messages);
    wire_bytes(sent, Suite::Host.buffer_len(), true, true)
}

/// Bytes that a helper sends to a party in the same way.
pub fn from_helper(sent: Sent) -> u64 {
    let sent = (sent.bytes, sent.messages);
    wire_bytes(sent, Suite::Host.buffer_len(), false, false)
}
