//! Connections between roles: how to listen, connect and tell an expected role from a stranger.

use std::{
    io,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    net::{Link, Remote},
    session::handshake::{HandshakeError, Hello, receive_hello, refuse},
};

use crate::{
    error::Failure,
    links::{
        capture::Capture,
        tcp::{TcpEnd, accept, connect},
    },
};

/// More bytes than any exchange has: a transport with a writer thread never waits for the reader.
pub const UNBOUNDED: usize = usize::MAX / 4;

/// A link over TCP that can keep a transcript.
pub type TcpLink = Link<Capture<TcpEnd>>;

/// Listens at an address.
pub fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is taken; choose another with --listen",
            io::ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
            _ => "give an address of this machine as host:port with --listen",
        };
        Failure::new(format!("cannot listen at {address} ({error})"), remedy)
    })
}

/// How long a connection may take to send its `Hello`.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to another role at `address`, which the user gave with `option`.
pub fn reach(
    address: &str,
    who: &str,
    option: &str,
    patience: Duration,
) -> Result<TcpStream, Failure> {
    connect(address, patience).map_err(|error| {
        Failure::new(
            format!("cannot reach {who} at {address} ({error})"),
            format!("start it there, or correct {option}"),
        )
    })
}

/// Waits for a connection that sends a `Hello`. Turns away others, and tells the user so.
pub fn hear(
    listener: &TcpListener,
    who: &str,
    remote: Remote,
    patience: Duration,
    end: impl Fn(TcpStream) -> io::Result<Capture<TcpEnd>>,
) -> Result<(TcpLink, Hello), Failure> {
    let start = Instant::now();
    loop {
        let left = patience.saturating_sub(start.elapsed());
        let stream = accept(listener, left).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => absent(who, patience),
            _ => Failure::new(
                format!("no connection from {who}: {error}"),
                "check the network",
            ),
        })?;
        let from = stream.peer_addr().map_err(broken)?;
        let end = end(stream).map_err(broken)?;
        end.inner()
            .set_patience(HELLO_TIMEOUT.min(patience))
            .map_err(broken)?;
        let mut link = Link::new(end, remote, UNBOUNDED);
        match receive_hello(&mut link) {
            Ok(hello) => return Ok((link, hello)),
            Err(error) => {
                if let HandshakeError::Mismatch(mismatch) = error {
                    // Another version of this program can read why; a stranger cannot.
                    let _ = refuse(&mut link, mismatch);
                }
                eprintln!(
                    "note: turned away a connection from {from}: {error}; still waiting for {who}"
                );
            }
        }
    }
}

fn absent(who: &str, patience: Duration) -> Failure {
    Failure::new(
        format!("{who} did not come within {} s", patience.as_secs()),
        "start it, or wait longer with --wait",
    )
}

/// Waits for both parties of a session, in any order.
pub fn hear_parties(
    listener: &TcpListener,
    patience: Duration,
    end: impl Fn(TcpStream) -> io::Result<TcpEnd>,
) -> Result<([TcpLink; 2], [Hello; 2]), Failure> {
    let end = |stream| Capture::new(end(stream)?, &None);
    // Until the handshake tells, either may be P0.
    let remote = Remote::Party(Role::P0);
    let (one, first) = hear(listener, "the first party", remote, patience, end)?;
    let (two, second) = hear(listener, "the second party", remote, patience, end)?;
    Ok(([one, two], [first, second]))
}

/// The failure of a connection that breaks while it is set up.
pub fn broken(error: io::Error) -> Failure {
    // What this machine refuses is no fault of the network.
    error.downcast().unwrap_or_else(|error| {
        Failure::new(format!("a connection broke: {error}"), "check the network")
    })
}
