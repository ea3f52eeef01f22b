//! Links between threads of one process.

use std::{io, sync::mpsc::Receiver};

use embedded_io::{ErrorType, Read, Write};

use super::{outbox::Outbox, waited::Waited};

/// One end of a link between two threads.
pub struct MemoryEnd {
    outbox: Outbox,
    incoming: Receiver<Vec<u8>>,
    taken: Vec<u8>,
    next: usize,
    waited: Waited,
}

/// The ends of a link that takes any number of bytes while nobody reads: between the parties.
pub fn duplex() -> [MemoryEnd; 2] {
    join(Outbox::free(), Outbox::free())
}

/// The ends of a link whose first end waits when the second does not read: from the dealer.
pub fn bounded() -> [MemoryEnd; 2] {
    join(Outbox::bounded(), Outbox::free())
}

fn join(
    (there, from_there): (Outbox, Receiver<Vec<u8>>),
    (back, from_back): (Outbox, Receiver<Vec<u8>>),
) -> [MemoryEnd; 2] {
    [
        MemoryEnd::new(there, from_back),
        MemoryEnd::new(back, from_there),
    ]
}

impl MemoryEnd {
    fn new(outbox: Outbox, incoming: Receiver<Vec<u8>>) -> Self {
        MemoryEnd {
            outbox,
            incoming,
            taken: Vec::new(),
            next: 0,
            waited: Waited::default(),
        }
    }

    /// The time that this end spends waiting.
    pub fn waited(&self) -> Waited {
        self.waited.clone()
    }
}

impl ErrorType for MemoryEnd {
    type Error = io::Error;
}

impl Write for MemoryEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbox.put(bytes, &self.waited)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outbox.hand_over(&self.waited)
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
