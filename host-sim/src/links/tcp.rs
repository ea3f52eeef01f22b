//! Links over TCP. A separate thread writes, so that sending never waits for the other end to read.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::mpsc::Receiver,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use embedded_io::{ErrorType, Read, Write};

use super::{
    chunk::Chunk,
    outbox::{CHUNK, Outbox},
    traffic_shaper::{Parcel, TrafficShape, TrafficShaper},
    wait_time::WaitTime,
};
use crate::resources::spawn;

/// Closes a connection that an end uses.
pub type Handle = TcpStream;

/// Pause between attempts to connect.
const RETRY: Duration = Duration::from_millis(50);

/// One end of a TCP connection.
pub struct TcpEnd {
    stream: TcpStream,
    outbox: Option<Outbox>,
    writer: Option<JoinHandle<()>>,
    taken: Chunk,
    next: usize,
    wait_time: WaitTime,
    deadline: Option<Instant>,
}

impl TcpEnd {
    /// An end that takes any number of bytes while the other does not read. For links between the parties.
    pub fn free(stream: TcpStream, shape: TrafficShape) -> io::Result<Self> {
        TcpEnd::new(stream, Outbox::free(shape))
    }

    /// An end that waits once a few megabytes are unread. For the dealer.
    pub fn bounded(stream: TcpStream, shape: TrafficShape) -> io::Result<Self> {
        TcpEnd::new(stream, Outbox::bounded(shape))
    }

    fn new(stream: TcpStream, (outbox, parcels): (Outbox, Receiver<Parcel>)) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut sink = stream.try_clone()?;
        let write = move || {
            for parcel in parcels {
                parcel.wait();
                if sink.write_all(&parcel.bytes).is_err() {
                    return;
                }
            }
            let _ = sink.shutdown(std::net::Shutdown::Write);
        };
        let writer = spawn(write).map_err(io::Error::other)?;
        Ok(TcpEnd {
            stream,
            outbox: Some(outbox),
            writer: Some(writer),
            taken: Chunk::new(CHUNK),
            next: 0,
            wait_time: WaitTime::default(),
            deadline: None,
        })
    }

    /// All that is read from now on has to come before `deadline`, however many reads it takes; none lifts the limit.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Sends over `line` from now on, and shares its rate with all other ends that do.
    pub fn set_line(&mut self, line: TrafficShaper) {
        if let Some(outbox) = &mut self.outbox {
            outbox.set_line(line);
        }
    }

    /// A handle of the connection, with which another thread can close it.
    pub fn handle(&self) -> io::Result<Handle> {
        self.stream.try_clone()
    }

    /// A handle that sets the timeout while the end itself is in use.
    pub fn patience(&self) -> io::Result<Patience> {
        self.stream.try_clone().map(Patience)
    }

    /// Gives up on a read after `limit`, and on sending when the other end takes nothing for as long.
    pub fn set_patience(&self, limit: Duration) -> io::Result<()> {
        set_patience(&self.stream, limit)
    }

    /// The time that this end spends waiting.
    pub fn wait_time(&self) -> WaitTime {
        self.wait_time.clone()
    }
}

/// Sets how long an end waits for the other.
pub struct Patience(TcpStream);

impl Patience {
    /// As [`TcpEnd::set_patience`].
    pub fn set(&self, limit: Duration) -> io::Result<()> {
        set_patience(&self.0, limit)
    }
}

fn set_patience(stream: &TcpStream, limit: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))
}

impl Drop for TcpEnd {
    fn drop(&mut self) {
        // Sent bytes still leave. Then the other end sees the link closed.
        if let Some(mut outbox) = self.outbox.take() {
            let _ = outbox.hand_over(&self.wait_time);
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl ErrorType for TcpEnd {
    type Error = io::Error;
}

impl Write for TcpEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.outbox {
            Some(outbox) => outbox.put(bytes, &self.wait_time),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.outbox {
            Some(outbox) => outbox.hand_over(&self.wait_time),
            None => Ok(()),
        }
    }
}

impl Read for TcpEnd {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.next == self.taken.len() {
            self.next = 0;
            loop {
                if let Some(deadline) = self.deadline {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.stream.set_read_timeout(Some(left))?;
                }
                let read = |room: &mut [u8]| self.wait_time.time(|| self.stream.read(room));
                match self.taken.refill(read) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Systems name a read timeout differently.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    Err(error) => return Err(error),
                    Ok(_) => break,
                }
            }
        }
        let count = bytes.len().min(self.taken.len() - self.next);
        bytes[..count].copy_from_slice(&self.taken[self.next..self.next + count]);
        self.next += count;
        Ok(count)
    }
}

/// Connects to `address`. Tries again for as long as `patience` lasts, so that roles can start in any order; `waits` is
/// called after each attempt that fails. Only addresses that `allowed` allows are tried.
pub fn connect(
    address: &str,
    patience: Duration,
    allowed: impl Fn(&SocketAddr) -> bool,
    mut waits: impl FnMut(),
) -> io::Result<TcpStream> {
    let start = Instant::now();
    // A name may have several addresses, and the other role may listen at only one of them.
    let attempt = || {
        let mut failed = io::ErrorKind::NotFound.into();
        for address in address.to_socket_addrs()? {
            if !allowed(&address) {
                failed = io::ErrorKind::PermissionDenied.into();
                continue;
            }
            let left = patience.saturating_sub(start.elapsed());
            match TcpStream::connect_timeout(&address, left.max(RETRY)) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    loop {
        match attempt() {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) if start.elapsed() >= patience => return Err(error),
            Err(_) => {
                waits();
                thread::sleep(RETRY);
            }
        }
    }
}

/// Accepts a connection if one waits.
pub fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(false)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_end_whose_other_end_takes_nothing_can_be_dropped() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let stream =
            connect(&address, Duration::from_secs(5), |_| true, || ()).expect("a listener");
        let (_deaf, _) = listener.accept().expect("a connection");
        let mut end = TcpEnd::free(stream, TrafficShape::default()).expect("an end");
        end.set_patience(Duration::from_millis(100))
            .expect("a limit");
        // More than any system buffers for an end that does not read.
        for _ in 0..512 {
            end.write_all(&[0; CHUNK]).expect("room for any number");
        }
        let (done, dropped) = std::sync::mpsc::channel();
        thread::spawn(move || {
            drop(end);
            done.send(())
        });
        let wait_time = dropped.recv_timeout(Duration::from_secs(60));
        assert!(wait_time.is_ok());
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        // On most machines the name also has the address ::1, and it comes first.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let address = format!("localhost:{port}");
        let reached = connect(&address, Duration::from_secs(5), |_| true, || ());
        assert!(reached.is_ok(), "{reached:?}");
    }
}
