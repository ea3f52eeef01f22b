//! Connections between roles: how a role listens, and how it reaches another one.

use std::{
    fmt::Display,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    net::{
        Link, Remote,
        secure::{PublicIdentity, Suite},
    },
    prg::Key,
    session::handshake::{Actor, Checkpoints, Ends, Hello, greet},
};

use crate::{
    console,
    error::Failure,
    links::{
        credentials::Credentials,
        secure::{AesGcm, SecureEnd},
        tcp::{TcpEnd, connect},
        traffic_shaper::{Lines, TrafficShape},
    },
    resources::spawn_scoped,
};

/// More bytes than any exchange has: a transport with a writer thread never waits for the reader.
pub const UNBOUNDED: usize = usize::MAX / 4;

/// Pause between two notices that a role still waits.
const NOTICE_PAUSE: Duration = Duration::from_secs(5);

/// What takes no longer needs no notice.
const NOTICE_DELAY: Duration = Duration::from_secs(1);

/// How long a greeting may take from its first byte to the end of the handshake.
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// A role as the others meet it.
#[derive(Clone)]
pub struct Endpoint {
    /// Which role this is.
    pub own: Actor,
    /// The identities of all roles.
    pub credentials: Arc<Credentials>,
    /// Delay and rate of the links.
    pub lines: Lines,
    /// How long to wait for the other roles.
    pub wait: Duration,
    /// Whether to keep silent about the waiting.
    pub quiet: bool,
}

/// A secure link to a role that has answered.
pub struct Reached {
    /// This end of the link.
    pub end: SecureEnd,
    /// The checkpoints of the other role.
    pub checkpoints: Checkpoints,
    /// Hash of the handshake, which both ends know.
    pub hash: [u8; 32],
}

/// Tells the user what a role waits for: at once, and every five seconds.
pub struct Notices<'a> {
    endpoint: &'a Endpoint,
    what: String,
    said_at: Option<Instant>,
}

impl Notices<'_> {
    /// The same, of something that the user has just been told.
    pub fn said(self) -> Self {
        Notices {
            said_at: Some(Instant::now()),
            ..self
        }
    }

    /// Does `task`, and says meanwhile that the role still waits.
    pub fn during<O>(mut self, task: impl FnOnce() -> O) -> O {
        let (done, ended) = channel::<()>();
        thread::scope(|scope| {
            // Without a thread for it, the role waits and does not say so.
            let _ = spawn_scoped(scope, move || {
                while ended.recv_timeout(NOTICE_DELAY) == Err(RecvTimeoutError::Timeout) {
                    self.say();
                }
            });
            let outcome = task();
            drop(done);
            outcome
        })
    }

    /// Says it, if it is time.
    pub fn say(&mut self) {
        let due = |at: Instant| at.elapsed() >= NOTICE_PAUSE;
        if self.endpoint.quiet || !self.said_at.is_none_or(due) {
            return;
        }
        let still = if self.said_at.is_some() { "still " } else { "" };
        console::note(&format!(
            "{}: {still}waiting for {}",
            self.endpoint.own, self.what
        ));
        self.said_at = Some(Instant::now());
    }
}

impl Endpoint {
    /// Notices that this role waits for `what`.
    pub fn notices(&self, what: impl Display) -> Notices<'_> {
        Notices {
            endpoint: self,
            what: what.to_string(),
            said_at: None,
        }
    }

    /// Listens at an address.
    pub fn listen(&self, address: &str) -> Result<TcpListener, Failure> {
        let listener = TcpListener::bind(address).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::AddrInUse => "the port is taken; choose another with --listen",
                io::ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
                _ => "give an address of this machine as host:port with --listen",
            };
            Failure::new(format!("cannot listen at {address} ({error})"), remedy)
        })?;
        let local = listener.local_addr().map_err(broken)?;
        match self.allows(&local) {
            true => Ok(listener),
            false => Err(insecure(address)),
        }
    }

    /// Without secret identities only roles on this machine may meet.
    fn allows(&self, address: &SocketAddr) -> bool {
        self.credentials.are_secret() || address.ip().is_loopback()
    }

    /// The identity that the roster gives a role.
    pub fn identity_of(&self, actor: Actor) -> Result<PublicIdentity, Failure> {
        self.credentials.of(actor).ok_or_else(|| {
            Failure::new(
                format!("the roster has no identity for {actor}"),
                "add it there, at all roles",
            )
        })
    }

    /// Connects to the role `to` at `address`, which the user gave with `option`.
    pub fn connect(&self, address: &str, to: Actor, option: &str) -> Result<TcpStream, Failure> {
        let mut notices = self.notices(format!("{to} at {address}"));
        let allowed = |address: &SocketAddr| self.allows(address);
        connect(address, self.wait, allowed, || notices.say()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if !self.credentials.are_secret() => insecure(address),
            _ => unreachable(to, address, option, error),
        })
    }

    /// Connects to the role `to` at `address`, greets it, and completes the handshake with it. `end` makes the end of
    /// the connection.
    pub fn reach(
        &self,
        address: &str,
        (to, option): (Actor, &str),
        hello: &Hello,
        remote: Remote,
        end: impl FnOnce(TcpStream, TrafficShape) -> io::Result<TcpEnd>,
    ) -> Result<Reached, Failure> {
        let identity = self.identity_of(to)?;
        let stream = self.connect(address, to, option)?;
        let mut end = end(stream, self.lines.shape()).map_err(broken)?;
        end.set_deadline(Some(Instant::now() + self.wait.max(GREETING_TIMEOUT)));
        let mut link = Link::new(end, remote, UNBOUNDED);
        let ends = Ends {
            own: self.credentials.own(),
            remote: identity,
            ephemeral: ephemeral()?,
            suite: Suite::Host,
        };
        let welcome = greet::<AesGcm, _>(&mut link, hello, to, ends)?;
        let mut end = link.into_inner();
        end.set_deadline(None);
        end.set_line(self.lines.to(to));
        Ok(Reached {
            end: SecureEnd::new(end, Suite::Host, &welcome.keys),
            checkpoints: welcome.checkpoints,
            hash: welcome.keys.hash,
        })
    }
}

/// A secret for one handshake.
pub fn ephemeral() -> Result<Key, Failure> {
    let mut bytes = [0; Key::LEN];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            format!("the operating system gives no random numbers: {error}"),
            "check that its random device is there",
        )
    })?;
    Ok(Key::new(bytes))
}

/// Connects to the dealer for a device, which speaks with it through this process.
pub fn reach_dealer(address: &str, wait: Duration) -> Result<TcpStream, Failure> {
    connect(address, wait, |_| true, || ())
        .map_err(|error| unreachable(Actor::Dealer, address, "--dealer", error))
}

fn unreachable(to: Actor, address: &str, option: &str, error: io::Error) -> Failure {
    Failure::new(
        format!("cannot reach {to} at {address} ({error})"),
        format!("start it there, or correct {option}"),
    )
}

fn insecure(address: &str) -> Failure {
    Failure::new(
        format!(
            "{address} is not on this machine, and without identities nobody can tell who is there"
        ),
        "make identities with `ringlet init`, and give --roster and --identity in the place of --insecure",
    )
}

/// The failure of a connection that breaks while it is set up.
pub fn broken(error: io::Error) -> Failure {
    // What this machine refuses is no fault of the network.
    error.downcast().unwrap_or_else(|error| {
        Failure::new(format!("a connection broke: {error}"), "check the network")
    })
}
