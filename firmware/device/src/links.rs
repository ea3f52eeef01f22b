//! A device's secure links: its keys in a session, its handshakes, and the links' memory.

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    device::{Introduction, NotFresh, Record, RecordError},
    net::{
        Link,
        secure::{ChaChaPoly, Identity, Keys, Prologue, PublicIdentity, SecureTransport, Suite},
    },
    prg::{
        Key,
        device_key::{
            FRESH_LEN, dealer_ephemeral, identity_secret, peer_ephemeral, session_secret,
        },
    },
    session::handshake::{
        Actor, Checkpoints, Ends, HandshakeError, Hello, Mismatch, accept_welcomed, greet,
        receive_greeting, refuse_greeting,
    },
};

/// Length of a frame's buffer.
const FRAME: usize = Suite::Device.buffer_len();

/// Length of the buffer for what goes to the dealer after the handshake: the end of the session.
const TO_DEALER: usize = 32;

/// A secure link of a device.
pub type SecureLink<'b, T> = Link<SecureEnd<'b, T>>;

/// The transport of a secure link.
pub type SecureEnd<'b, T> = SecureTransport<T, ChaChaPoly, &'b mut [u8]>;

/// Memory for the frames of both links.
pub struct Buffers {
    peer: [[u8; FRAME]; 2],
    dealer: ([u8; TO_DEALER], [u8; FRAME]),
}

impl Buffers {
    pub const fn new() -> Self {
        Buffers {
            peer: [[0; FRAME]; 2],
            dealer: ([0; TO_DEALER], [0; FRAME]),
        }
    }

    /// The buffers of the link to the other party and of the link to the dealer: for sending and for receiving.
    pub fn split(&mut self) -> [[&mut [u8]; 2]; 2] {
        let [to_peer, from_peer] = &mut self.peer;
        let (to_dealer, from_dealer) = &mut self.dealer;
        [[to_peer, from_peer], [to_dealer, from_dealer]]
    }
}

/// The link with the keys of its handshake.
pub fn secure<'b, T: Read + Write>(
    link: Link<T>,
    keys: &Keys,
    [outgoing, incoming]: [&'b mut [u8]; 2],
) -> SecureLink<'b, T> {
    let remote = link.remote();
    let transport = SecureTransport::new(link.into_inner(), keys, outgoing, incoming);
    Link::new(transport, remote, 0)
}

/// What the device tells of itself. `#[inline(never)]`, as all that follows: the key's curve takes much stack.
#[inline(never)]
pub fn introduction(record: &[u8], fresh: Result<[u8; FRESH_LEN], NotFresh>) -> Introduction {
    let identity = Record::decode(record).map(|record| own(&record).public());
    Introduction { identity, fresh }
}

fn own(record: &Record) -> Identity {
    Identity::new(identity_secret(&record.root))
}

/// A record that cannot be read, which was read at the beginning of the session.
fn lost(_: RecordError) -> HandshakeError {
    HandshakeError::Mismatch(Mismatch::Identity)
}

/// Greets the dealer. Returns the link's keys.
#[inline(never)]
pub fn greet_dealer<T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    record: &[u8],
    fresh: &[u8; FRESH_LEN],
) -> Result<Keys, HandshakeError> {
    let record = Record::decode(record).map_err(lost)?;
    let ends = Ends {
        own: &own(&record),
        remote: record.dealer,
        ephemeral: dealer_ephemeral(&record.root, fresh),
        suite: Suite::Device,
    };
    let welcome = greet::<ChaChaPoly, T>(link, hello, Actor::Dealer, ends)?;
    Ok(welcome.keys)
}

/// Meets the other party: P0 greets, P1 answers. Returns the link's keys.
#[inline(never)]
pub fn meet_peer<T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    peer: PublicIdentity,
    record: &[u8],
    fresh: &[u8; FRESH_LEN],
) -> Result<Keys, HandshakeError> {
    let record = Record::decode(record).map_err(lost)?;
    let ends = Ends {
        own: &own(&record),
        remote: peer,
        ephemeral: peer_ephemeral(&record.root, fresh),
        suite: Suite::Device,
    };
    match hello.role {
        Role::P0 => {
            let other = Actor::Party(Role::P1);
            greet::<ChaChaPoly, T>(link, hello, other, ends).map(|welcome| welcome.keys)
        }
        Role::P1 => {
            let prologue = answer(link, hello, peer)?;
            accept_welcomed::<ChaChaPoly, T>(link, prologue, ends)
        }
    }
}

/// Answers the greeting of P0. Returns the prologue of the handshake. The greeting takes much stack, and so does the
/// handshake, which comes when this has returned.
#[inline(never)]
fn answer<T: Read + Write>(
    link: &mut Link<T>,
    hello: &Hello,
    remote: PublicIdentity,
) -> Result<Prologue, HandshakeError> {
    // Borrowed: a copy would take as much again.
    let received = receive_greeting(link);
    let greeting = match &received {
        Ok(greeting) => greeting,
        Err(error) => return Err(*error),
    };
    let fits = greeting
        .check(Actor::Party(Role::P1), remote)
        .and_then(|()| match greeting.hello.role {
            Role::P0 if greeting.suite == Suite::Device => hello.compare(&greeting.hello),
            Role::P0 => Err(Mismatch::Foreign),
            Role::P1 => Err(Mismatch::Role(Role::P1)),
        });
    if let Err(mismatch) = fits {
        refuse_greeting(link, mismatch)?;
        return Err(mismatch.into());
    }
    greeting.reply(link, &Checkpoints::default())
}

/// The secret from which the device draws its part of the initial weights.
#[inline(never)]
pub fn weights_secret(record: &[u8], fresh: &[u8; FRESH_LEN]) -> Result<Key, HandshakeError> {
    let record = Record::decode(record).map_err(lost)?;
    Ok(session_secret(&record.root, fresh))
}
