//! Addresses of devices: a serial port, a pseudo-terminal, a TCP port, or the FIFOs of an emulator.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use super::{serial::SerialLine, tcp};
use crate::{error::Failure, resources::spawn};

/// The address of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceAddress {
    /// A serial port.
    Serial {
        /// The device file.
        path: String,
        /// Bits a second. A pseudo-terminal ignores it.
        baud: u32,
    },
    /// A TCP port of the device, as host:port.
    Tcp(String),
    /// The directory of an emulator's FIFOs.
    Fifos(PathBuf),
}

/// Names of the FIFOs to a device and from it.
pub const FIFOS: [&str; 2] = ["to-device", "from-device"];

/// The usual speed of USB serial converters.
const USUAL_BAUD: u32 = 115_200;

/// How long a read waits before it checks whether the line is still in use.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceAddress::Serial { path, .. } => f.write_str(path),
            DeviceAddress::Tcp(address) => f.write_str(address),
            DeviceAddress::Fifos(folder) => write!(f, "{}", folder.display()),
        }
    }
}

impl DeviceAddress {
    /// Reads `serial:PATH`, `serial:PATH?baud=N`, `pty:PATH`, `tcp:HOST:PORT` or `fifo:DIR`. Anything else is no device: `None`.
    pub fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if let Some(address) = text.strip_prefix("tcp:") {
            return Ok(Some(DeviceAddress::Tcp(address.to_owned())));
        }
        if let Some(folder) = text.strip_prefix("fifo:") {
            return Ok(Some(DeviceAddress::Fifos(folder.into())));
        }
        if let Some(path) = text.strip_prefix("pty:") {
            return Ok(Some(DeviceAddress::Serial {
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
        Ok(Some(DeviceAddress::Serial {
            path: path.to_owned(),
            baud,
        }))
    }

    /// Opens the line. A TCP connection or FIFO must be there by `deadline`.
    pub fn open(&self, deadline: Instant) -> Result<SerialLine, Failure> {
        match self {
            DeviceAddress::Serial { path, baud } => open_serial(path, *baud),
            DeviceAddress::Fifos(folder) => {
                let wait = deadline.saturating_duration_since(Instant::now());
                open_fifos(folder, wait).map_err(|error| {
                    Failure::new(
                        format!(
                            "the FIFOs in {} cannot be opened: {error}",
                            folder.display()
                        ),
                        "start the board's emulator there, or correct --peer",
                    )
                })
            }
            DeviceAddress::Tcp(address) => {
                let wait = deadline.saturating_duration_since(Instant::now());
                open_tcp(address, wait).map_err(|error| {
                    Failure::new(
                        format!("cannot reach the device at {address} ({error})"),
                        "start it, or correct the address",
                    )
                })
            }
        }
    }
}

/// Opens both FIFOs in the order in which the device opens them, since each opens only when it has two ends.
fn open_fifos(folder: &Path, wait: Duration) -> io::Result<SerialLine> {
    let [incoming, outgoing] = FIFOS.map(|name| folder.join(name));
    // Without them there was no emulator, and opening would create plain files.
    incoming.metadata()?;
    let (done, opened) = channel();
    let open = move || {
        let writer = OpenOptions::new().write(true).open(incoming);
        let both = writer.and_then(|writer| Ok((File::open(outgoing)?, writer)));
        let _ = done.send(both);
    };
    spawn(open).map_err(io::Error::other)?;
    match opened.recv_timeout(wait) {
        Ok(both) => both.and_then(|(reader, writer)| SerialLine::new(reader, writer)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn open_serial(path: &str, baud: u32) -> Result<SerialLine, Failure> {
    let cannot = |error: String| {
        Failure::new(
            format!("{path} cannot be opened: {error}"),
            "plug the device in, or correct the path",
        )
    };
    let port = serialport::new(path, baud)
        .timeout(READ_TIMEOUT)
        .open()
        .map_err(|error| cannot(error.to_string()))?;
    let reader = port
        .try_clone()
        .map_err(|error| cannot(error.to_string()))?;
    SerialLine::new(reader, port).map_err(|error| cannot(error.to_string()))
}

fn open_tcp(address: &str, wait: Duration) -> io::Result<SerialLine> {
    let writer = tcp::connect(address, wait, |_| true, || ())?;
    // The device waits for every frame.
    writer.set_nodelay(true)?;
    writer.set_read_timeout(Some(READ_TIMEOUT))?;
    let reader: TcpStream = writer.try_clone()?;
    SerialLine::new(reader, writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address =
            |text: &str| DeviceAddress::parse(text).map_err(|failure| failure.to_string());
        let serial = |path: &str, baud| {
            Ok(Some(DeviceAddress::Serial {
                path: path.to_owned(),
                baud,
            }))
        };
        let tcp = |address: &str| Ok(Some(DeviceAddress::Tcp(address.to_owned())));
        assert_eq!(
            address("serial:/dev/ttyACM0"),
            serial("/dev/ttyACM0", 115_200)
        );
        assert_eq!(
            address("serial:COM3?baud=2000000"),
            serial("COM3", 2_000_000)
        );
        assert_eq!(address("pty:/dev/pts/3"), serial("/dev/pts/3", 115_200));
        assert_eq!(address("tcp:10.0.0.9:7001"), tcp("10.0.0.9:7001"));
        assert_eq!(address("tcp:[::1]:7001"), tcp("[::1]:7001"));
        assert_eq!(address("192.168.1.7:7001"), Ok(None));
        assert!(address("serial:/dev/ttyACM0?baud=fast").is_err());
    }
}
