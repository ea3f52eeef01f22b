//! Links between threads of one process.

use std::{
    io,
    mem::replace,
    sync::mpsc::{Receiver, RecvError, Sender},
};

use embedded_io::{ErrorType, Read, Write};

use super::{
    chunk::Chunk,
    outbox::Outbox,
    polling::Polling,
    traffic_shaper::{Parcel, TrafficShape, TrafficShaper},
    wait_time::WaitTime,
};

/// One end of a link between two threads.
pub struct MemoryEnd {
    outbox: Outbox,
    incoming: Receiver<Parcel>,
    polling: Polling,
    /// Where chunks go that were read.
    back: Sender<Chunk>,
    taken: Chunk,
    next: usize,
    wait_time: WaitTime,
}

/// The ends of a link that takes any number of bytes while nobody reads. For links between the parties.
pub fn duplex(shape: TrafficShape) -> [MemoryEnd; 2] {
    join(Outbox::free(shape), Outbox::free(shape))
}

/// The ends of a link whose first end waits when the second does not read. For links from the dealer.
pub fn bounded(shape: TrafficShape) -> [MemoryEnd; 2] {
    join(Outbox::bounded(shape), Outbox::free(shape))
}

/// The ends of a link between the first ranks of two roles, and those of the links between further ranks: `count` in all,
/// each made by `make`. All share the line of either way.
pub fn between_ranks(
    make: fn(TrafficShape) -> [MemoryEnd; 2],
    shape: TrafficShape,
    count: u16,
) -> ([MemoryEnd; 2], Vec<[MemoryEnd; 2]>) {
    let lines = [(); 2].map(|()| TrafficShaper::new(shape));
    let link = || {
        let mut ends = make(shape);
        for (end, line) in ends.iter_mut().zip(&lines) {
            end.outbox.set_line(line.clone());
        }
        ends
    };
    (link(), (1..count).map(|_| link()).collect())
}

fn join(
    (mut there, from_there): (Outbox, Receiver<Parcel>),
    (mut back, from_back): (Outbox, Receiver<Parcel>),
) -> [MemoryEnd; 2] {
    let (reuse_there, reuse_back) = (there.reuse(), back.reuse());
    [
        MemoryEnd::new(there, (from_back, reuse_back)),
        MemoryEnd::new(back, (from_there, reuse_there)),
    ]
}

impl MemoryEnd {
    fn new(outbox: Outbox, (incoming, back): (Receiver<Parcel>, Sender<Chunk>)) -> Self {
        MemoryEnd {
            outbox,
            incoming,
            polling: Polling::default(),
            back,
            taken: Chunk::empty(),
            next: 0,
            wait_time: WaitTime::default(),
        }
    }

    /// The time that this end spends waiting.
    pub fn wait_time(&self) -> WaitTime {
        self.wait_time.clone()
    }
}

impl ErrorType for MemoryEnd {
    type Error = io::Error;
}

impl Write for MemoryEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbox.put(bytes, &self.wait_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outbox.hand_over(&self.wait_time)
    }
}

impl Read for MemoryEnd {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.next == self.taken.len() {
            let mut read = replace(&mut self.taken, Chunk::empty());
            self.next = 0;
            if !read.is_empty() {
                read.clear();
                // An end that is gone needs none.
                let _ = self.back.send(read);
            }
            let arrived = self.wait_time.time(|| {
                let parcel = self.polling.receive(&self.incoming)?;
                parcel.wait();
                Ok::<_, RecvError>(parcel.bytes)
            });
            match arrived {
                Ok(bytes) => self.taken = bytes,
                Err(_) => return Ok(0),
            }
        }
        let count = bytes.len().min(self.taken.len() - self.next);
        bytes[..count].copy_from_slice(&self.taken[self.next..self.next + count]);
        self.next += count;
        Ok(count)
    }
}
