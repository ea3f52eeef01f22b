//! Any transport behind one type, so that the protocols are compiled once and not once for each kind of link.

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, Write};

/// What a link needs of its transport.
trait Duplex {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind>;
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind>;
    fn flush(&mut self) -> Result<(), ErrorKind>;
}

impl<T: Read + Write> Duplex for T {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        Read::read(self, bytes).map_err(|error| error.kind())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Write::write(self, bytes).map_err(|error| error.kind())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Write::flush(self).map_err(|error| error.kind())
    }
}

/// Any transport.
pub struct AnyEnd<'a>(Box<dyn Duplex + 'a>);

impl<'a> AnyEnd<'a> {
    /// The transport `end`.
    pub fn new(end: impl Read + Write + 'a) -> Self {
        AnyEnd(Box::new(end))
    }

    /// A transport that is never used: whatever is sent or awaited on it fails.
    pub fn unused() -> Self {
        AnyEnd::new(Unused)
    }
}

/// The transport of a role that nothing is said to.
struct Unused;

impl ErrorType for Unused {
    type Error = ErrorKind;
}

impl Read for Unused {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        Err(ErrorKind::NotConnected)
    }
}

impl Write for Unused {
    fn write(&mut self, _: &[u8]) -> Result<usize, ErrorKind> {
        Err(ErrorKind::NotConnected)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl ErrorType for AnyEnd<'_> {
    type Error = ErrorKind;
}

impl Read for AnyEnd<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(bytes)
    }
}

impl Write for AnyEnd<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush()
    }
}
