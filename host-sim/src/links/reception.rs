//! Reception of greetings: a role that listens serves them side by side, each with one deadline for the whole.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringlet_core::{
    net::{
        Link, Remote,
        secure::{Keys, PublicIdentity, Suite},
    },
    session::handshake::{
        Actor, Checkpoints, Ends, Greeting, HandshakeError, Hello, Mismatch, receive_greeting,
        refuse_greeting,
    },
};

use super::{
    connect::{Endpoint, GREETING_TIMEOUT, UNBOUNDED, broken, ephemeral},
    secure::{AesGcm, ChaChaPoly, SecureEnd},
    tcp::{TcpEnd, accept},
    traffic_shaper::TrafficShape,
};
use crate::{console, error::Failure, resources::spawn};

/// Pause between two looks for new connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The most greetings that are served at a time. A further one ends the oldest.
const MAX_GREETINGS: usize = 256;

/// Decides whether a greeting fits. Returns the checkpoints to answer with.
pub type Judge = Arc<dyn Fn(&Greeting) -> Result<Checkpoints, Mismatch> + Send + Sync>;

/// Makes the end of a connection.
pub type MakeEnd = fn(TcpStream, TrafficShape) -> io::Result<TcpEnd>;

/// A role that has proved its identity.
pub struct Greeted {
    /// Its hello.
    pub hello: Hello,
    /// This end of the link to it.
    pub end: SecureEnd,
    /// The connection below, to see whether the other end is still there.
    pub stream: TcpStream,
    /// Hash of the handshake, which both ends know.
    pub hash: [u8; 32],
}

/// What serves greetings until it is dropped.
pub struct Reception {
    greeted: Receiver<Greeted>,
    closing: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

/// What each greeting needs.
#[derive(Clone)]
struct Desk {
    endpoint: Endpoint,
    make_end: MakeEnd,
    judge: Judge,
    done: Sender<Greeted>,
    /// The reception ends.
    closing: Arc<AtomicBool>,
}

impl Reception {
    /// Serves greetings at `listener`, those that `judge` finds to fit.
    pub fn open(
        listener: &TcpListener,
        endpoint: &Endpoint,
        make_end: MakeEnd,
        judge: Judge,
    ) -> Result<Self, Failure> {
        let listener = listener.try_clone().map_err(broken)?;
        let (done, greeted) = channel();
        let closing = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            endpoint: endpoint.clone(),
            make_end,
            judge,
            done,
            closing: closing.clone(),
        };
        let acceptor = spawn(move || desk.serve(&listener))?;
        Ok(Reception {
            greeted,
            closing,
            acceptor: Some(acceptor),
        })
    }

    /// The next role that has proved its identity; none if there is none by `deadline`. `waits` is called now and then.
    pub fn next(&self, deadline: Instant, mut waits: impl FnMut()) -> Option<Greeted> {
        loop {
            waits();
            let left = deadline.saturating_duration_since(Instant::now());
            match self.greeted.recv_timeout(left.min(Duration::from_secs(1))) {
                Ok(greeted) => return Some(greeted),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Reception {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Connections whose greetings are under way, the oldest first.
type Open = Arc<Mutex<VecDeque<(u64, TcpStream)>>>;

impl Desk {
    /// Accepts connections until the reception ends. What goes wrong with one of them leaves the others alone.
    fn serve(&self, listener: &TcpListener) {
        let open = Open::default();
        for number in 0.. {
            let stream = loop {
                if self.closing.load(Ordering::Relaxed) {
                    // Greetings that are under way would keep their connections open.
                    for (_, stream) in open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                    return;
                }
                match accept(listener) {
                    Ok(Some(stream)) => break stream,
                    // A connection that is gone already, or a system that is short of something for a while.
                    Ok(None) | Err(_) => thread::sleep(ACCEPT_PAUSE),
                }
            };
            let Ok(handle) = stream.try_clone() else {
                continue;
            };
            let mut others = open.lock().unwrap_or_else(PoisonError::into_inner);
            others.push_back((number, handle));
            if others.len() > MAX_GREETINGS
                && let Some((_, oldest)) = others.pop_front()
            {
                let _ = oldest.shutdown(Shutdown::Both);
            }
            drop(others);
            let (desk, open) = (self.clone(), open.clone());
            // Without a thread for it, the connection is closed, and may come again.
            let _ = thread::Builder::new().spawn(move || {
                let greeted = desk.meet(stream);
                // What is in the list is shut down with the reception, so a role that is welcome leaves it first.
                let mut others = open.lock().unwrap_or_else(PoisonError::into_inner);
                others.retain(|(other, _)| *other != number);
                drop(others);
                // If nobody wants it any more, the connection closes.
                if let Some(greeted) = greeted {
                    drop(desk.done.send(greeted));
                }
            });
        }
    }

    /// Serves one connection, and tells the user if it is turned away. Greetings that are cut off because the reception ends
    /// are no news.
    fn meet(&self, stream: TcpStream) -> Option<Greeted> {
        let from = stream
            .peer_addr()
            .map_or("an address that is gone".to_owned(), |from| {
                from.to_string()
            });
        let greeted = self.greet(stream);
        let is_silent = self.endpoint.quiet || self.closing.load(Ordering::Relaxed);
        if let (Err(error), false) = (&greeted, is_silent) {
            console::note(&format!(
                "{}: turned away a connection from {from}: {error}; still waiting",
                self.endpoint.own
            ));
        }
        greeted.ok()
    }

    fn greet(&self, stream: TcpStream) -> Result<Greeted, Failure> {
        let handle = stream.try_clone().map_err(broken)?;
        let mut end = (self.make_end)(stream, self.endpoint.lines.shape()).map_err(broken)?;
        end.set_patience(GREETING_TIMEOUT).map_err(broken)?;
        end.set_deadline(Some(Instant::now() + GREETING_TIMEOUT));
        let mut link = Link::new(end, Remote::Peer, UNBOUNDED);
        let greeting = match receive_greeting(&mut link) {
            Ok(greeting) => greeting,
            Err(error) => {
                if let HandshakeError::Mismatch(mismatch) = error {
                    // Another version of this program can read why; a stranger cannot.
                    let _ = refuse_greeting(&mut link, mismatch);
                }
                return Err(error.into());
            }
        };
        let from = Actor::Party(greeting.hello.role);
        let remote = match self.endpoint.identity_of(from) {
            Ok(remote) => remote,
            Err(failure) => {
                let _ = refuse_greeting(&mut link, Mismatch::Identity);
                return Err(failure);
            }
        };
        let checked = greeting.check(self.endpoint.own, remote);
        let checkpoints = match checked.and_then(|()| (self.judge)(&greeting)) {
            Ok(checkpoints) => checkpoints,
            Err(mismatch) => {
                let _ = refuse_greeting(&mut link, mismatch);
                return Err(Failure::from(HandshakeError::from(mismatch)).of(&from.to_string()));
            }
        };
        let keys = self.welcome(&greeting, &mut link, &checkpoints, remote)?;
        let mut end = link.into_inner();
        end.set_deadline(None);
        end.set_line(self.endpoint.lines.to(from));
        Ok(Greeted {
            end: SecureEnd::new(end, greeting.suite, &keys),
            hello: greeting.hello,
            stream: handle,
            hash: keys.hash,
        })
    }

    fn welcome(
        &self,
        greeting: &Greeting,
        link: &mut Link<TcpEnd>,
        checkpoints: &Checkpoints,
        remote: PublicIdentity,
    ) -> Result<Keys, Failure> {
        let ends = Ends {
            own: self.endpoint.credentials.own(),
            remote,
            ephemeral: ephemeral()?,
            suite: greeting.suite,
        };
        let keys = match greeting.suite {
            Suite::Host => greeting.welcome::<AesGcm, _>(link, checkpoints, ends),
            Suite::Device => greeting.welcome::<ChaChaPoly, _>(link, checkpoints, ends),
        };
        Ok(keys?)
    }
}

/// Whether the other end of a connection on which nothing is under way is still there.
pub fn is_alive(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let seen = stream.peek(&mut [0]);
    let blocks = stream.set_nonblocking(false).is_ok();
    let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    blocks && seen.map_or_else(|error| waits(&error), |count| count > 0)
}
