//! Two FIFOs of the machine that emulates the board, by semihosting, for more bytes than its UART takes. They
//! lie in the emulator's directory: `to-device` and `from-device`.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use semihosting::{
    fs::File,
    io::{Read as _, Write as _},
};

/// Both FIFOs, once there is a host at their other ends.
pub struct Fifos {
    open: Option<[File; 2]>,
    /// What has come has been taken; the next look finds nothing, so that it is worked on.
    taken: bool,
}

impl Fifos {
    /// Opens nothing yet.
    pub fn start() -> Self {
        Fifos {
            open: None,
            taken: false,
        }
    }

    /// The FIFOs, in and out. Waits for a host where there is none.
    fn open(&mut self) -> Result<&mut [File; 2], ErrorKind> {
        if self.open.is_none() {
            let failed = |_| ErrorKind::NotFound;
            let incoming = File::open(c"to-device").map_err(failed)?;
            let outgoing = File::create(c"from-device").map_err(failed)?;
            self.open = Some([incoming, outgoing]);
        }
        self.open.as_mut().ok_or(ErrorKind::NotConnected)
    }
}

impl ErrorType for Fifos {
    type Error = ErrorKind;
}

impl ReadReady for Fifos {
    /// Whether to read. Nobody can tell without reading, which waits; but a port that looks twice has time.
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!core::mem::take(&mut self.taken))
    }
}

impl Read for Fifos {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            let [incoming, _] = self.open()?;
            match incoming.read(bytes) {
                // The host is gone; the next one begins a session of its own.
                Ok(0) | Err(_) => self.open = None,
                Ok(count) => {
                    self.taken = true;
                    return Ok(count);
                }
            }
        }
    }
}

impl WriteReady for Fifos {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(true)
    }
}

impl Write for Fifos {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let [_, outgoing] = self.open()?;
        outgoing.write(bytes).map_err(|_| ErrorKind::BrokenPipe)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
