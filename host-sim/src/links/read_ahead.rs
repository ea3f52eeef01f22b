//! A TCP connection that a thread reads ahead into a queue, for a relay that must not wait for bytes.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use embedded_io::{ErrorType, Read, Write};

use super::chunk::Chunk;
use crate::resources::spawn;

/// The most bytes of one read.
const CHUNK: usize = 1 << 14;
/// Length of the queue in chunks. When it is full the thread reads no more, so the other end waits.
const CHUNKS: usize = 4;

/// A connection with a thread that queues its incoming bytes.
pub struct ReadAhead {
    stream: TcpStream,
    chunks: Receiver<Chunk>,
    chunk: Chunk,
    next: usize,
    closed: bool,
    patience: Duration,
}

impl ReadAhead {
    /// Starts to read from `stream`. Reads from the queue, and writes, give up after `patience`. If the calling thread
    /// parks, it is woken when bytes arrive or the connection ends.
    pub fn new(stream: TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(patience))?;
        let mut source = stream.try_clone()?;
        let owner = thread::current();
        let (queue, chunks) = sync_channel(CHUNKS);
        let read = move || {
            loop {
                let mut chunk = Chunk::new(CHUNK);
                match chunk.refill(|room| source.read(room)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) | Ok(0) => break,
                    Ok(_) => {}
                }
                if queue.send(chunk).is_err() {
                    break;
                }
                owner.unpark();
            }
            drop(queue);
            owner.unpark();
        };
        spawn(read).map_err(io::Error::other)?;
        Ok(ReadAhead {
            stream,
            chunks,
            chunk: Chunk::empty(),
            next: 0,
            closed: false,
            patience,
        })
    }

    /// Bytes that can be read without waiting.
    pub fn waiting(&mut self) -> usize {
        let _ = self.fill(Duration::ZERO);
        self.chunk.len() - self.next
    }

    /// Whether the connection has ended and all its bytes have been read.
    pub fn is_over(&self) -> bool {
        self.closed && self.next == self.chunk.len()
    }

    /// Waits until there is something to read, or the connection has ended.
    fn fill(&mut self, patience: Duration) -> io::Result<()> {
        if self.next < self.chunk.len() || self.closed {
            return Ok(());
        }
        match self.chunks.recv_timeout(patience) {
            Ok(chunk) => (self.chunk, self.next) = (chunk, 0),
            Err(RecvTimeoutError::Disconnected) => self.closed = true,
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
        }
        Ok(())
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // This ends the reading thread.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl ErrorType for ReadAhead {
    type Error = io::Error;
}

impl Read for ReadAhead {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fill(self.patience)?;
        let count = bytes.len().min(self.chunk.len() - self.next);
        bytes[..count].copy_from_slice(&self.chunk[self.next..self.next + count]);
        self.next += count;
        Ok(count)
    }
}

impl Write for ReadAhead {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
