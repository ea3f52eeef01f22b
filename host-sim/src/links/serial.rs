//! A device's line: a serial port, or anything else with a reader and a writer.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use ringlet_core::net::serial::mux::Clock;

use crate::resources::spawn;

/// What the reading thread leaves for the mux.
#[derive(Default)]
struct Inbox {
    bytes: VecDeque<u8>,
    failed: Option<io::ErrorKind>,
}

/// A line with a thread that reads and a thread that writes.
pub struct SerialLine {
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    outbox: Sender<Vec<u8>>,
    unsent: Arc<AtomicUsize>,
}

/// The most bytes that wait for the writing thread.
const MAX_UNSENT: usize = 4096;

/// How long a dropped line waits until its written bytes have left.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

impl SerialLine {
    /// A line over a reader, whose reads may time out, and a writer. If the calling thread parks, it is woken when bytes
    /// arrive or the line fails.
    pub fn new(
        mut reader: impl io::Read + Send + 'static,
        mut writer: impl io::Write + Send + 'static,
    ) -> io::Result<Self> {
        let inbox: Arc<(Mutex<Inbox>, Condvar)> = Arc::default();
        let filled = inbox.clone();
        let owner = thread::current();
        let read = move || {
            let mut bytes = [0; 4096];
            loop {
                let read = reader.read(&mut bytes);
                // The line is dropped when only this thread holds the inbox.
                if Arc::strong_count(&filled) == 1 {
                    return;
                }
                let Ok(mut inbox) = filled.0.lock() else {
                    return;
                };
                match read {
                    Ok(0) => inbox.failed = Some(io::ErrorKind::BrokenPipe),
                    Ok(count) => inbox.bytes.extend(&bytes[..count]),
                    // A socket reports a timeout as WouldBlock.
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::TimedOut
                                | io::ErrorKind::WouldBlock
                                | io::ErrorKind::Interrupted
                        ) =>
                    {
                        continue;
                    }
                    Err(error) => inbox.failed = Some(error.kind()),
                }
                filled.1.notify_all();
                owner.unpark();
                if inbox.failed.is_some() {
                    return;
                }
            }
        };
        spawn(read).map_err(io::Error::other)?;
        let (outbox, parcels) = channel::<Vec<u8>>();
        let unsent = Arc::new(AtomicUsize::new(0));
        let (left, told) = (unsent.clone(), inbox.clone());
        let write = move || {
            for parcel in parcels {
                let sent = writer.write_all(&parcel).and_then(|()| writer.flush());
                left.fetch_sub(parcel.len(), Ordering::Release);
                if let (Err(error), Ok(mut inbox)) = (sent, told.0.lock()) {
                    inbox.failed = Some(error.kind());
                    return;
                }
            }
        };
        spawn(write).map_err(io::Error::other)?;
        Ok(SerialLine {
            inbox,
            outbox,
            unsent,
        })
    }

    /// A clock that wakes when bytes arrive.
    pub fn clock(&self) -> LineClock {
        LineClock {
            start: Instant::now(),
            inbox: self.inbox.clone(),
        }
    }
}

impl ErrorType for SerialLine {
    type Error = ErrorKind;
}

impl ReadReady for SerialLine {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        let inbox = self.inbox.0.lock().map_err(|_| ErrorKind::Other)?;
        match inbox.failed {
            Some(kind) if inbox.bytes.is_empty() => Err(kind.into()),
            _ => Ok(!inbox.bytes.is_empty()),
        }
    }
}

impl Read for SerialLine {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut inbox = self.inbox.0.lock().map_err(|_| ErrorKind::Other)?;
        let count = bytes.len().min(inbox.bytes.len());
        for (byte, next) in bytes.iter_mut().zip(inbox.bytes.drain(..count)) {
            *byte = next;
        }
        Ok(count)
    }
}

impl WriteReady for SerialLine {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.unsent.load(Ordering::Relaxed) < MAX_UNSENT)
    }
}

impl Write for SerialLine {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.unsent.fetch_add(bytes.len(), Ordering::Relaxed);
        let sent = self.outbox.send(bytes.to_vec());
        sent.map_err(|_| ErrorKind::BrokenPipe)
            .map(|()| bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Drop for SerialLine {
    /// Lets the last acknowledgements of a session leave. If the process ended before that, the device would wait for
    /// them.
    fn drop(&mut self) {
        let start = Instant::now();
        let failed = || (self.inbox.0.lock()).map_or(true, |inbox| inbox.failed.is_some());
        while self.unsent.load(Ordering::Acquire) > 0
            && !failed()
            && start.elapsed() < DRAIN_TIMEOUT
        {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The clock of a mux on a [`SerialLine`].
pub struct LineClock {
    start: Instant,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
}

impl Clock for LineClock {
    fn milliseconds(&mut self) -> u32 {
        self.start.elapsed().as_millis() as u32
    }

    fn wait(&mut self) {
        let (inbox, changed) = &*self.inbox;
        if let Ok(inbox) = inbox.lock()
            && inbox.bytes.is_empty()
            && inbox.failed.is_none()
        {
            let _ = changed.wait_timeout(inbox, Duration::from_millis(1));
        }
    }
}
