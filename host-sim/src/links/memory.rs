//! Links between threads of one process.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

use embedded_io::{ErrorType, Read, Write};

use super::waited::Waited;

/// Bytes that are gathered before they are handed over.
const CHUNK: usize = 1 << 16;
/// Chunks of a bounded link that may be under way, so that a dealer runs ahead in constant memory.
const CHUNKS: usize = 64;

enum Outgoing {
    Free(Sender<Vec<u8>>),
    Bounded(SyncSender<Vec<u8>>),
}

/// One end of a link between two threads.
pub struct MemoryEnd {
    outgoing: Outgoing,
    incoming: Receiver<Vec<u8>>,
    gathered: Vec<u8>,
    taken: Vec<u8>,
    next: usize,
    waited: Waited,
}

/// The ends of a link that takes any number of bytes while nobody reads: between the parties.
pub fn duplex() -> [MemoryEnd; 2] {
    let (there, from_there) = channel();
    let (back, from_back) = channel();
    [
        MemoryEnd::new(Outgoing::Free(there), from_back),
        MemoryEnd::new(Outgoing::Free(back), from_there),
    ]
}

/// The ends of a link whose first end waits when the second does not read: from the dealer.
pub fn bounded() -> [MemoryEnd; 2] {
    let (there, from_there) = sync_channel(CHUNKS);
    let (back, from_back) = channel();
    [
        MemoryEnd::new(Outgoing::Bounded(there), from_back),
        MemoryEnd::new(Outgoing::Free(back), from_there),
    ]
}

impl MemoryEnd {
    fn new(outgoing: Outgoing, incoming: Receiver<Vec<u8>>) -> Self {
        MemoryEnd {
            outgoing,
            incoming,
            gathered: Vec::new(),
            taken: Vec::new(),
            next: 0,
            waited: Waited::default(),
        }
    }

    /// The time that this end spends waiting.
    pub fn waited(&self) -> Waited {
        self.waited.clone()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK));
        let sent = match &self.outgoing {
            Outgoing::Free(sender) => sender.send(chunk).is_ok(),
            Outgoing::Bounded(sender) => self.waited.time(|| sender.send(chunk).is_ok()),
        };
        if sent {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}

impl ErrorType for MemoryEnd {
    type Error = io::Error;
}

impl Write for MemoryEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

impl Read for MemoryEnd {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.next == self.taken.len() {
            match self.waited.time(|| self.incoming.recv()) {
                Ok(chunk) => (self.taken, self.next) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = bytes.len().min(self.taken.len() - self.next);
        bytes[..count].copy_from_slice(&self.taken[self.next..self.next + count]);
        self.next += count;
        Ok(count)
    }
}
