//! Connections between roles: listening, greeting and what a failed set-up means.

use std::{
    io,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use ringlet_core::{
    net::{Link, Remote},
    session::handshake::{HandshakeError, Hello, receive_hello, refuse},
};

use crate::{
    error::Failure,
    links::{
        capture::Capture,
        tcp::{TcpEnd, accept},
    },
};

/// More than any exchange: a transport with a writer of its own never waits.
pub const UNBOUNDED: usize = usize::MAX / 4;

/// Binds to an address.
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

/// How long a connection may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);

/// Waits for a connection that says hello; turns away others, telling the user so.
pub fn hear(
    listener: &TcpListener,
    who: &str,
    remote: Remote,
    patience: Duration,
    end: impl Fn(TcpStream) -> io::Result<Capture<TcpEnd>>,
) -> Result<(Link<Capture<TcpEnd>>, Hello), Failure> {
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
            .set_patience(GREETING.min(patience))
            .map_err(broken)?;
        let mut link = Link::new(end, remote, UNBOUNDED);
        match receive_hello(&mut link) {
            Ok(hello) => return Ok((link, hello)),
            Err(error) => {
                if let HandshakeError::Mismatch(mismatch) = error {
                    // Another version deserves to hear why; a stranger will not understand.
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

/// What a failed set-up of a connection means.
pub fn broken(error: io::Error) -> Failure {
    Failure::new(format!("a connection broke: {error}"), "check the network")
}
