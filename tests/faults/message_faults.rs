//! Faults in one message of one direction, as somebody makes them who knows where messages begin.

use std::{
    io,
    sync::{Arc, Mutex},
};

use super::proxy::{Direction, Lane, Meddler};

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A bit of its first bytes is flipped: of a frame's length.
    Head,
    /// A bit in its middle is flipped.
    Body,
    /// A bit of its last byte is flipped: of a frame's tag.
    Tail,
    /// Its last byte is left out, and nothing comes any more.
    Truncate,
    /// It comes twice.
    Replay,
    /// The message before it comes in its place.
    Older,
    /// It comes after the next one.
    Reorder,
    /// It goes back to its sender.
    Reflect,
    /// It is left out.
    Omit,
}

impl Change {
    /// All changes.
    pub const ALL: [Change; 9] = [
        Change::Head,
        Change::Body,
        Change::Tail,
        Change::Truncate,
        Change::Replay,
        Change::Older,
        Change::Reorder,
        Change::Reflect,
        Change::Omit,
    ];
}

/// Length of a message of the Noise handshake, and of its confirmation.
const NOISE: usize = 48;
const CONFIRMATION: usize = 16;

/// Cuts one direction of a secure link into messages: the greeting or the reply to it, a message of the Noise
/// handshake, from the role that connects its confirmation, and then sealed frames.
struct Cutter {
    direction: Direction,
    waiting: Vec<u8>,
    count: usize,
}

impl Cutter {
    fn new(direction: Direction) -> Self {
        Cutter {
            direction,
            waiting: Vec::new(),
            count: 0,
        }
    }

    /// The next whole message.
    fn next(&mut self) -> Option<Vec<u8>> {
        let u16_at = |at: usize| {
            let bytes = self.waiting.get(at..at + 2)?;
            Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        };
        let len = match self.count {
            0 => 6 + u16_at(4)?,
            1 => NOISE,
            2 if self.direction == Direction::Out => CONFIRMATION,
            _ => 2 + u16_at(0)? + 16,
        };
        if self.waiting.len() < len {
            return None;
        }
        self.count += 1;
        Some(self.waiting.drain(..len).collect())
    }
}

/// Lengths of the messages of a direction.
pub type Lengths = Arc<Mutex<Vec<usize>>>;

/// Passes all messages on, and keeps their lengths.
pub struct Recorder {
    cutter: Cutter,
    lengths: Lengths,
}

impl Recorder {
    /// Keeps those of this direction in `lengths`.
    pub fn new(direction: Direction, lengths: Lengths) -> Self {
        Recorder {
            cutter: Cutter::new(direction),
            lengths,
        }
    }
}

impl Meddler for Recorder {
    fn take(&mut self, lane: &Lane, bytes: &[u8]) -> io::Result<()> {
        self.cutter.waiting.extend(bytes);
        while let Some(message) = self.cutter.next() {
            self.lengths.lock().expect("no panic").push(message.len());
        }
        lane.send(bytes)
    }
}

/// Times that nothing has come before a message that waits for the next one is passed on after all.
const PATIENCE: usize = 20;

/// Changes one message.
pub struct MessageFault {
    change: Change,
    number: usize,
    cutter: Cutter,
    before: Vec<u8>,
    held: Option<Vec<u8>>,
    waited: usize,
    silent: bool,
    /// Whether the change has been made.
    made: Arc<Mutex<bool>>,
}

impl MessageFault {
    /// Does `change` to the message of this number in a direction, and notes in `made` that it has.
    pub fn new(
        change: Change,
        (direction, number): (Direction, usize),
        made: Arc<Mutex<bool>>,
    ) -> Self {
        MessageFault {
            change,
            number,
            cutter: Cutter::new(direction),
            before: Vec::new(),
            held: None,
            waited: 0,
            silent: false,
            made,
        }
    }

    fn apply(&mut self, lane: &Lane, mut message: Vec<u8>) -> io::Result<()> {
        if self.change == Change::Reorder {
            self.held = Some(message);
            return Ok(());
        }
        *self.made.lock().expect("no panic") = true;
        let (middle, last) = (message.len() / 2, message.len() - 1);
        match self.change {
            Change::Head => message[0] ^= 1,
            Change::Body => message[middle] ^= 16,
            Change::Tail => message[last] ^= 128,
            Change::Truncate => {
                lane.send(&message[..last])?;
                self.silent = true;
                return lane.end();
            }
            Change::Replay => lane.send(&message)?,
            Change::Older => message.clone_from(&self.before),
            Change::Reflect => return lane.reflect(&message),
            Change::Reorder | Change::Omit => return Ok(()),
        }
        lane.send(&message)
    }
}

impl Meddler for MessageFault {
    fn take(&mut self, lane: &Lane, bytes: &[u8]) -> io::Result<()> {
        self.cutter.waiting.extend(bytes);
        while let Some(message) = self.cutter.next() {
            if self.silent {
                continue;
            }
            if self.cutter.count - 1 == self.number {
                self.apply(lane, message)?;
                continue;
            }
            lane.send(&message)?;
            if let Some(held) = self.held.take() {
                *self.made.lock().expect("no panic") = true;
                lane.send(&held)?;
            }
            self.before = message;
        }
        Ok(())
    }

    fn idle(&mut self, lane: &Lane) -> io::Result<()> {
        self.waited += usize::from(self.held.is_some());
        match self.held.take_if(|_| self.waited > PATIENCE) {
            Some(held) => lane.send(&held),
            None => Ok(()),
        }
    }
}
