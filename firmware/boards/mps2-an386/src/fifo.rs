//! The line as two FIFOs of the host that runs the emulator, by semihosting: they are faster than the emulated UART.
//! They are `to-device` and `from-device` in the emulator's working directory.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use semihosting::{
    fs::File,
    io::{Read as _, Write as _},
};

/// Both FIFOs, which are opened when they are first used.
pub struct Fifos {
    open: Option<[File; 2]>,
    /// Set by a read: the next readiness check says no, so that the port works on what it has read.
    just_read: bool,
}

impl Fifos {
    /// FIFOs that are not open yet.
    pub fn start() -> Self {
        Fifos {
            open: None,
            just_read: false,
        }
    }

    /// Both FIFOs, for reading and for writing. Opening them waits for a host.
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
    /// Semihosting cannot tell whether bytes wait, and a read blocks until they do. So the answer is yes, except once
    /// after each read. A port that asks again has nothing else to do, and may block.
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!core::mem::take(&mut self.just_read))
    }
}

impl Read for Fifos {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            let [incoming, _] = self.open()?;
            match incoming.read(bytes) {
                // The host has closed them. The next host begins a new session.
                Ok(0) | Err(_) => self.open = None,
                Ok(count) => {
                    self.just_read = true;
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
