//! Bytes on their way out: gathered in chunks and handed to another thread.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
};

use super::{
    shape::{Parcel, Shape, Shaper},
    waited::Waited,
};

/// Bytes that are gathered before they are handed over.
pub const CHUNK: usize = 1 << 16;
/// Chunks of a bounded outbox that may be under way.
const CHUNKS: usize = 64;

enum Exit {
    Free(Sender<Parcel>),
    Bounded(SyncSender<Parcel>),
}

/// The sending half of a link.
pub struct Outbox {
    exit: Exit,
    gathered: Vec<u8>,
    shaper: Shaper,
}

impl Outbox {
    /// Takes any number of bytes while nobody reads: between the parties.
    pub fn free(shape: Shape) -> (Self, Receiver<Parcel>) {
        let (sender, chunks) = channel();
        (Outbox::new(Exit::Free(sender), shape), chunks)
    }

    /// Waits once a few megabytes are unread: from the dealer, which runs ahead in constant memory.
    pub fn bounded(shape: Shape) -> (Self, Receiver<Parcel>) {
        let (sender, chunks) = sync_channel(CHUNKS);
        (Outbox::new(Exit::Bounded(sender), shape), chunks)
    }

    fn new(exit: Exit, shape: Shape) -> Self {
        Outbox {
            exit,
            gathered: Vec::new(),
            shaper: Shaper::new(shape),
        }
    }

    /// Adds bytes, which leave when there are enough of them.
    pub fn put(&mut self, bytes: &[u8], waited: &Waited) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK {
            self.hand_over(waited)?;
        }
        Ok(bytes.len())
    }

    /// Lets all gathered bytes leave.
    pub fn hand_over(&mut self, waited: &Waited) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK));
        let parcel = self.shaper.parcel(chunk);
        let sent = match &self.exit {
            Exit::Free(sender) => sender.send(parcel).is_ok(),
            Exit::Bounded(sender) => waited.time(|| sender.send(parcel).is_ok()),
        };
        if sent {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
}
