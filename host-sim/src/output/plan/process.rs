//! The memory of a role's process: the program, its buffers, its images and what its links hold.

use ringlet_core::{Role, network::Network, session::Session};

/// Bytes of the program itself: code, stacks and small values. Measured, of a build with all features that users choose.
const PROGRAM: u64 = 30 << 19;

/// Bytes that the dealer's link holds before the dealer waits: 64 chunks of 64 kB, and those that are filled, handed over and
/// written meanwhile.
pub const DEALER_LINK: u64 = (64 + 3) << 16;

/// Bytes that a thread of a role takes beside its buffers and what waits in its links: stacks, and blocks of the links. Measured.
pub const THREAD: u64 = 3 << 19;

/// The most bytes of a party's process: `buffers` bytes of shares and opened samples, and an outbox that may hold a
/// `message` of so many bytes.
pub fn party_bytes(
    session: &Session,
    network: &Network,
    role: Role,
    (buffers, message): (u64, u64),
) -> u64 {
    let pixels: u64 = session
        .model
        .input
        .iter()
        .map(|&side| u64::from(side))
        .product();
    let images = |count: u32| u64::from(count) * (pixels + 1);
    let [p0, p1] = session.samples;
    // A party reads all images before it knows which are its own, and the buffers come later.
    let read = images(p0) + images(p1);
    let runs = images(session.samples[role.index()]) + buffers + message;
    // The revealed model, as words and as numbers.
    let model = 32 * network.parameters() as u64;
    PROGRAM + read.max(runs + model)
}

/// The most bytes of the process of the dealer or the assistant: `buffers` to compute in, and what its links hold.
pub fn helper_bytes(buffers: u64, links: u64) -> u64 {
    PROGRAM + buffers + links
}
