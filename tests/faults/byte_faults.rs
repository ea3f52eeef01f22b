//! Faults at a byte of one direction, as networks have them.

use std::{io, thread, time::Duration};

use super::proxy::{Lane, Meddler};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Some bytes are left out.
    Drop,
    /// Some bytes come twice.
    Duplicate,
    /// Two pieces change their places.
    Swap,
    /// A bit is flipped.
    Flip,
    /// Some bytes come that nobody sent.
    Insert,
    /// All waits for a moment.
    Delay,
    /// Nothing comes any more; the connection stays.
    Stall,
    /// The direction ends; the other one goes on.
    HalfClose,
    /// The connection is reset.
    Reset,
    /// For a while a byte comes every few milliseconds.
    Slow,
    /// Both directions end.
    Cut,
}

impl Kind {
    /// All faults.
    pub const ALL: [Kind; 11] = [
        Kind::Drop,
        Kind::Duplicate,
        Kind::Swap,
        Kind::Flip,
        Kind::Insert,
        Kind::Delay,
        Kind::Stall,
        Kind::HalfClose,
        Kind::Reset,
        Kind::Slow,
        Kind::Cut,
    ];

    /// Whether all bytes still come, in order and soon.
    pub fn is_harmless(self) -> bool {
        matches!(self, Kind::Delay | Kind::Slow)
    }
}

/// How long a delay is.
const DELAY: Duration = Duration::from_millis(300);

/// Pause between two bytes of a slow piece, and the piece's length.
const DRIP: Duration = Duration::from_millis(3);
const DRIPS: usize = 64;

/// A fault at a byte.
pub struct ByteFault {
    /// Which fault.
    pub kind: Kind,
    /// The number of the byte.
    pub at: usize,
    /// The length of the pieces, 1 to 256, and which bit is flipped.
    pub size: usize,
    /// Bytes that have come.
    pub position: usize,
    /// Whether nothing is passed on any more.
    pub silent: bool,
}

impl ByteFault {
    /// A fault that has yet to come.
    pub fn new(kind: Kind, at: usize, size: usize) -> Self {
        ByteFault {
            kind,
            at,
            size,
            position: 0,
            silent: false,
        }
    }

    /// Does it to what comes from the byte on. `before` are bytes that came with it.
    fn apply(&mut self, lane: &Lane, before: &[u8], rest: &[u8]) -> io::Result<()> {
        let size = self.size.min(rest.len());
        match self.kind {
            Kind::Swap => {
                // The last byte changes places with the one before it.
                let start = match rest.len() {
                    1 => before.len().saturating_sub(1),
                    _ => before.len(),
                };
                let all = [before, rest].concat();
                let (before, rest) = all.split_at(start);
                let size = self.size.min(rest.len() / 2);
                let (one, other) = rest[..2 * size].split_at(size);
                return lane.send(&[before, other, one, &rest[2 * size..]].concat());
            }
            _ => lane.send(before)?,
        }
        match self.kind {
            Kind::Swap => Ok(()),
            Kind::Drop => lane.send(&rest[size..]),
            Kind::Duplicate => lane.send(&[&rest[..size], rest].concat()),
            Kind::Flip => {
                let mut rest = rest.to_vec();
                rest[0] ^= 1 << (self.size % 8);
                lane.send(&rest)
            }
            Kind::Insert => {
                let noise: Vec<u8> = (0..self.size).map(|i| (i * 167 + self.at) as u8).collect();
                lane.send(&[&noise, rest].concat())
            }
            Kind::Delay => {
                thread::sleep(DELAY);
                lane.send(rest)
            }
            Kind::Stall => lane.stall(),
            Kind::HalfClose => {
                self.silent = true;
                lane.end()
            }
            Kind::Reset => lane.reset(),
            Kind::Slow => {
                let (slow, fast) = rest.split_at(rest.len().min(DRIPS));
                for byte in slow {
                    lane.send(&[*byte])?;
                    thread::sleep(DRIP);
                }
                lane.send(fast)
            }
            Kind::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Meddler for ByteFault {
    fn take(&mut self, lane: &Lane, bytes: &[u8]) -> io::Result<()> {
        let start = self.position;
        self.position += bytes.len();
        if self.silent {
            return Ok(());
        }
        match self.at.checked_sub(start) {
            Some(offset) if offset < bytes.len() => {
                let (before, rest) = bytes.split_at(offset);
                self.apply(lane, before, rest)
            }
            _ => lane.send(bytes),
        }
    }
}
