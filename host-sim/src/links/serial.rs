//! A device's line: a serial port, or a pseudo-terminal in its place.

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
use ringlet_core::wire::port::Clock;

use crate::error::Failure;

/// Where a device is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The device file.
    pub path: String,
    /// Bits a second. A pseudo-terminal does not mind.
    pub baud: u32,
}

/// The usual speed of USB serial converters.
const USUAL_BAUD: u32 = 115_200;

impl Plug {
    /// Reads `serial:PATH`, `serial:PATH?baud=N` or `pty:PATH`; none for anything else.
    pub fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if let Some(path) = text.strip_prefix("pty:") {
            return Ok(Some(Plug {
                path: path.to_owned(),
                baud: USUAL_BAUD,
            }));
        }
        let Some(rest) = text.strip_prefix("serial:") else {
            return Ok(None);
        };
        let (path, baud) = match rest.split_once("?baud=") {
            None => (rest, USUAL_BAUD),
            Some((path, baud)) => {
                let baud = baud.parse().map_err(|_| {
                    Failure::new(
                        format!("{baud} is no speed of a serial port"),
                        "give bits a second, as in serial:/dev/ttyACM0?baud=2000000",
                    )
                })?;
                (path, baud)
            }
        };
        Ok(Some(Plug {
            path: path.to_owned(),
            baud,
        }))
    }

    /// Opens the line.
    pub fn open(&self) -> Result<SerialLine, Failure> {
        let cannot = |error: String| {
            Failure::new(
                format!("{} cannot be opened: {error}", self.path),
                "plug the device in, or correct --peer",
            )
        };
        let port = serialport::new(&self.path, self.baud)
            .timeout(Duration::from_millis(100))
            .open()
            .map_err(|error| cannot(error.to_string()))?;
        let reader = port
            .try_clone()
            .map_err(|error| cannot(error.to_string()))?;
        Ok(SerialLine::new(reader, port))
    }
}

/// What the reading thread leaves for the port.
#[derive(Default)]
struct Inbox {
    bytes: VecDeque<u8>,
    failed: Option<io::ErrorKind>,
}

/// A line whose ends are threads: one reads, one writes.
pub struct SerialLine {
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    outbox: Sender<Vec<u8>>,
    unsent: Arc<AtomicUsize>,
}

/// Bytes that may wait for the writing thread.
const MAX_UNSENT: usize = 4096;

impl SerialLine {
    /// A line over something that is read and something that is written. Reads may time out.
    pub fn new(
        mut reader: impl io::Read + Send + 'static,
        mut writer: impl io::Write + Send + 'static,
    ) -> Self {
        let inbox: Arc<(Mutex<Inbox>, Condvar)> = Arc::default();
        let filled = inbox.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = reader.read(&mut bytes);
                // The line is gone when nobody but this thread holds the inbox.
                if Arc::strong_count(&filled) == 1 {
                    return;
                }
                let Ok(mut inbox) = filled.0.lock() else {
                    return;
                };
                match read {
                    Ok(0) => inbox.failed = Some(io::ErrorKind::BrokenPipe),
                    Ok(count) => inbox.bytes.extend(&bytes[..count]),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => inbox.failed = Some(error.kind()),
                }
                filled.1.notify_all();
                if inbox.failed.is_some() {
                    return;
                }
            }
        });
        let (outbox, parcels) = channel::<Vec<u8>>();
        let unsent = Arc::new(AtomicUsize::new(0));
        let (left, told) = (unsent.clone(), inbox.clone());
        thread::spawn(move || {
            for parcel in parcels {
                let sent = writer.write_all(&parcel).and_then(|()| writer.flush());
                left.fetch_sub(parcel.len(), Ordering::Relaxed);
                if let (Err(error), Ok(mut inbox)) = (sent, told.0.lock()) {
                    inbox.failed = Some(error.kind());
                    return;
                }
            }
        });
        SerialLine {
            inbox,
            outbox,
            unsent,
        }
    }

    /// A clock that wakes when something comes.
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

/// Time for a port on a [`SerialLine`].
pub struct LineClock {
    start: Instant,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
}

impl Clock for LineClock {
    fn milliseconds(&mut self) -> u32 {
        self.start.elapsed().as_millis() as u32
    }

    fn idle(&mut self) {
        let (inbox, changed) = &*self.inbox;
        if let Ok(inbox) = inbox.lock()
            && inbox.bytes.is_empty()
            && inbox.failed.is_none()
        {
            let _ = changed.wait_timeout(inbox, Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugs_are_read() {
        let plug = |text: &str| Plug::parse(text).map_err(|failure| failure.to_string());
        let serial = |path: &str, baud| {
            Ok(Some(Plug {
                path: path.to_owned(),
                baud,
            }))
        };
        assert_eq!(plug("serial:/dev/ttyACM0"), serial("/dev/ttyACM0", 115_200));
        assert_eq!(plug("serial:COM3?baud=2000000"), serial("COM3", 2_000_000));
        assert_eq!(plug("pty:/dev/pts/3"), serial("/dev/pts/3", 115_200));
        assert_eq!(plug("192.168.1.7:7001"), Ok(None));
        assert!(plug("serial:/dev/ttyACM0?baud=fast").is_err());
    }
}
