//! A proxy on the link of two roles.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Pause between two looks at what the other threads do.
const PAUSE: Duration = Duration::from_millis(10);

/// How long the role that listens may take to start.
const START: Duration = Duration::from_secs(20);

/// A direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the role that connects.
    Out,
    /// From the role that listens.
    Back,
}

impl Direction {
    /// Both directions, as they are numbered.
    pub const BOTH: [Direction; 2] = [Direction::Out, Direction::Back];
}

/// What becomes of the bytes of one direction.
pub trait Meddler: Send {
    /// Passes on bytes that have come, or does something else with them. An error ends both directions.
    fn take(&mut self, lane: &Lane, bytes: &[u8]) -> io::Result<()>;

    /// Nothing has come for a moment.
    fn idle(&mut self, _: &Lane) -> io::Result<()> {
        Ok(())
    }
}

/// Passes everything on.
struct Faithful;

impl Meddler for Faithful {
    fn take(&mut self, lane: &Lane, bytes: &[u8]) -> io::Result<()> {
        lane.send(bytes)
    }
}

/// One direction of a connection.
pub struct Lane {
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    /// The proxy ends.
    closing: Arc<AtomicBool>,
    /// The connection is to be reset.
    reset: Arc<AtomicBool>,
}

impl Lane {
    /// Sends bytes to the role that they are meant for.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.to).write_all(bytes)
    }

    /// Sends bytes back to the role that they come from.
    pub fn reflect(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.from).write_all(bytes)
    }

    /// Ends this direction, in an orderly way.
    pub fn end(&self) -> io::Result<()> {
        self.to.shutdown(Shutdown::Write)
    }

    /// Resets the connections to both roles: what is under way is lost.
    pub fn reset(&self) -> io::Result<()> {
        for stream in [&self.from, &self.to] {
            rustix::net::sockopt::set_socket_linger(&**stream, Some(Duration::ZERO))?;
        }
        self.reset.store(true, Ordering::Relaxed);
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Does nothing more until the proxy ends. Both connections stay open.
    pub fn stall(&self) -> io::Result<()> {
        while !self.is_over() {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.closing.load(Ordering::Relaxed) || self.reset.load(Ordering::Relaxed)
    }

    /// Forwards until either end is gone.
    fn run(&self, meddler: &mut dyn Meddler) {
        let forwarded = self.forward(meddler);
        if self.reset.load(Ordering::Relaxed) {
            return;
        }
        match forwarded {
            Ok(()) => drop(self.end()),
            Err(_) => {
                for stream in [&self.from, &self.to] {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }

    fn forward(&self, meddler: &mut dyn Meddler) -> io::Result<()> {
        self.from.set_read_timeout(Some(PAUSE))?;
        self.to.set_nodelay(true)?;
        let mut room = vec![0; 1 << 16];
        while !self.is_over() {
            match (&*self.from).read(&mut room) {
                Ok(0) => return Ok(()),
                Ok(count) => meddler.take(self, &room[..count])?,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => meddler.idle(self)?,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

/// A proxy. It ends when it is dropped.
pub struct Proxy {
    address: String,
    closing: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Stands before the role that listens, or will listen, at `target`. What goes in the direction of the meddler on the
    /// first connection goes through it; all else is passed on.
    pub fn start(target: String, meddler: Option<(Direction, Box<dyn Meddler>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        listener.set_nonblocking(true).expect("a listener");
        let closing = Arc::new(AtomicBool::new(false));
        let until = closing.clone();
        let meddler = Mutex::new(meddler);
        let acceptor = thread::spawn(move || {
            thread::scope(|scope| {
                while !until.load(Ordering::Relaxed) {
                    let Ok((stream, _)) = listener.accept() else {
                        thread::sleep(PAUSE);
                        continue;
                    };
                    let meddler = meddler.lock().expect("no panic").take();
                    let (target, until) = (&target, until.clone());
                    scope.spawn(move || {
                        let Some(far) = reach(target, &until) else {
                            return;
                        };
                        stream.set_nonblocking(false).expect("a stream");
                        serve([Arc::new(stream), Arc::new(far)], meddler, until);
                    });
                }
            });
        });
        Proxy {
            address,
            closing,
            acceptor: Some(acceptor),
        }
    }

    /// Where to connect instead of the target.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let acceptor = self.acceptor.take().expect("a thread");
        // A second panic would hide the first.
        let ended = acceptor.join().is_ok();
        assert!(ended || thread::panicking(), "the proxy has failed");
    }
}

/// Connects to a role that may not listen yet.
fn reach(target: &str, until: &AtomicBool) -> Option<TcpStream> {
    let start = Instant::now();
    while start.elapsed() < START && !until.load(Ordering::Relaxed) {
        match TcpStream::connect(target) {
            Ok(stream) => return Some(stream),
            Err(_) => thread::sleep(PAUSE),
        }
    }
    None
}

/// Forwards both directions of a connection until they end.
fn serve(
    [near, far]: [Arc<TcpStream>; 2],
    meddler: Option<(Direction, Box<dyn Meddler>)>,
    closing: Arc<AtomicBool>,
) {
    let reset = Arc::new(AtomicBool::new(false));
    let lane = |from: &Arc<TcpStream>, to: &Arc<TcpStream>| Lane {
        from: from.clone(),
        to: to.clone(),
        closing: closing.clone(),
        reset: reset.clone(),
    };
    let lanes = [lane(&near, &far), lane(&far, &near)];
    // The lanes are the last to hold the connections.
    drop((near, far));
    let mut meddlers: [Box<dyn Meddler>; 2] = [Box::new(Faithful), Box::new(Faithful)];
    if let Some((direction, meddler)) = meddler {
        meddlers[direction as usize] = meddler;
    }
    thread::scope(|scope| {
        for (lane, mut meddler) in lanes.into_iter().zip(meddlers) {
            scope.spawn(move || lane.run(&mut *meddler));
        }
    });
}
