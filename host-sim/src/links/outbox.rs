//! The sending half of a link: it gathers bytes in chunks and hands them to another thread.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

use super::{
    chunk::Chunk,
    traffic_shaper::{Parcel, TrafficShape, TrafficShaper},
    wait_time::WaitTime,
};

/// Bytes of a chunk.
pub const CHUNK: usize = 1 << 16;
/// The most unread chunks of a bounded outbox.
const CHUNKS: usize = 64;

enum Exit {
    Free(Sender<Parcel>),
    Bounded(SyncSender<Parcel>),
}

/// The sending half of a link.
pub struct Outbox {
    exit: Exit,
    gathered: Chunk,
    shaper: TrafficShaper,
    /// Chunks that were read, if the other half gives them back.
    returned: Option<Receiver<Chunk>>,
    /// Those of them that are free, the last one on top: its memory is most likely still in a cache.
    free: Vec<Chunk>,
}

impl Outbox {
    /// Takes any number of bytes while nobody reads. For links between the parties.
    pub fn free(shape: TrafficShape) -> (Self, Receiver<Parcel>) {
        let (sender, chunks) = channel();
        (Outbox::new(Exit::Free(sender), shape), chunks)
    }

    /// Waits once a few megabytes are unread. For the dealer, which runs ahead in constant memory.
    pub fn bounded(shape: TrafficShape) -> (Self, Receiver<Parcel>) {
        let (sender, chunks) = sync_channel(CHUNKS);
        (Outbox::new(Exit::Bounded(sender), shape), chunks)
    }

    fn new(exit: Exit, shape: TrafficShape) -> Self {
        Outbox {
            exit,
            gathered: Chunk::new(CHUNK),
            shaper: TrafficShaper::new(shape),
            returned: None,
            free: Vec::new(),
        }
    }

    /// Takes chunks that were read from now on, cleared. Memory that goes back to the system comes again as pages that the system
    /// has to clear, which takes longer than to fill them.
    pub fn reuse(&mut self) -> Sender<Chunk> {
        let (back, returned) = channel();
        self.returned = Some(returned);
        back
    }

    /// Sends over `line` from now on.
    pub fn set_line(&mut self, line: TrafficShaper) {
        self.shaper = line;
    }

    /// Adds bytes, as many as the chunk has room for, and returns their number. They leave when they fill it.
    pub fn put(&mut self, bytes: &[u8], wait_time: &WaitTime) -> io::Result<usize> {
        let count = self.gathered.add(bytes);
        if self.gathered.is_full() {
            self.hand_over(wait_time)?;
        }
        Ok(count)
    }

    /// Sends all gathered bytes.
    pub fn hand_over(&mut self, wait_time: &WaitTime) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let returned = self.returned.iter().flat_map(Receiver::try_iter);
        self.free.extend(returned);
        let next = self.free.pop().unwrap_or_else(|| Chunk::new(CHUNK));
        let chunk = std::mem::replace(&mut self.gathered, next);
        let parcel = self.shaper.parcel(chunk);
        let sent = match &self.exit {
            Exit::Free(sender) => sender.send(parcel).is_ok(),
            Exit::Bounded(sender) => wait_time.time(|| sender.send(parcel).is_ok()),
        };
        if sent {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}
