//! The handshake of a secure link without another end: what the other end would say is made beforehand.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use ringlet_core::{
    net::{
        Link, LinkError, Remote,
        secure::{ChaChaPoly, Identity, Keys, Prologue, accept, connect},
    },
    prg::Key,
    profile::{Section, section},
};

use crate::scripted::Failure;

/// Most bytes that an end says: its message of 48 bytes, and the confirmation of 16.
const SAID: usize = 64;

/// The two ends of a handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handshaker {
    /// The end that speaks first.
    Connects,
    /// The end that answers.
    Accepts,
}

/// Handshakes whose messages are known.
pub struct Handshakes {
    first: [u8; SAID],
    answer: [u8; SAID],
}

impl Handshakes {
    /// Makes the messages of both ends.
    pub fn new() -> Result<Self, Failure> {
        // An end's message does not depend on the other's last one, so the first attempts may fail.
        let (first, _) = attempt(Handshaker::Connects, &[0; SAID]);
        let (answer, _) = attempt(Handshaker::Accepts, &first);
        let (first, keys) = attempt(Handshaker::Connects, &answer);
        keys.map(|_| Handshakes { first, answer })
            .map_err(|_| "the handshake")
    }

    /// Runs one end. Returns the FNV-1a digest of what it sent.
    pub fn run(&self, end: Handshaker) -> Result<u32, Failure> {
        let heard = match end {
            Handshaker::Connects => &self.answer,
            Handshaker::Accepts => &self.first,
        };
        let (said, keys) = attempt(end, heard);
        keys.map_err(|_| "the handshake")?;
        let digest = |digest: u32, &byte: &u8| (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Ok(said.iter().fold(0x811C_9DC5, digest))
    }
}

/// Runs one end, which hears `heard`. Returns what it said.
fn attempt(end: Handshaker, heard: &[u8; SAID]) -> ([u8; SAID], Result<Keys, LinkError>) {
    let [one, other] = [1, 2].map(|byte| Identity::new(Key::new([byte; Key::LEN])));
    let transport = Message {
        heard,
        said: [0; SAID],
        read: 0,
        written: 0,
    };
    let mut link = Link::new(transport, Remote::Peer, 0);
    let prologue = Prologue::new("count");
    let keys = match end {
        Handshaker::Connects => {
            let ephemeral = Key::new([3; Key::LEN]);
            connect::<ChaChaPoly, _>(&mut link, &one, other.public(), prologue, ephemeral)
        }
        Handshaker::Accepts => {
            let ephemeral = Key::new([4; Key::LEN]);
            accept::<ChaChaPoly, _>(&mut link, &other, one.public(), prologue, ephemeral)
        }
    };
    (link.into_inner().said, keys)
}

/// A transport with one message in each direction.
struct Message<'a> {
    heard: &'a [u8; SAID],
    said: [u8; SAID],
    read: usize,
    written: usize,
}

impl ErrorType for Message<'_> {
    type Error = Infallible;
}

impl Read for Message<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        let rest = self.heard.get(self.read..).unwrap_or_default();
        let count = bytes.len().min(rest.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for Message<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let _section = section(Section::Program);
        let room = self.said.get_mut(self.written..).unwrap_or_default();
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
