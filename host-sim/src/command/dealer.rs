//! `ringlet dealer`: the dealer's role on its own.

use std::{
    io::{self},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    hello::{Hello, HelloError, Seal, receive_hello, refuse},
    link::{Link, Remote},
    network::Network,
    prg::Key,
    ring::Ring,
    session::Session,
};

use crate::{
    cli::DealerArgs,
    command::data::read_key,
    console,
    error::Failure,
    event::Event,
    links::{
        overheard::Overheard,
        tcp::{TcpEnd, accept},
    },
    report::{bytes, work},
    roles::{Helper, meet_parties, run_dealer},
    secrets::Secrets,
    settings::{InRing, in_ring},
    supervision,
};

/// More than any exchange: a transport with a writer of its own never waits.
pub(super) const UNBOUNDED: usize = usize::MAX / 4;

/// Binds to an address.
pub(super) fn listen(address: &str) -> Result<TcpListener, Failure> {
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
pub(super) fn hear(
    listener: &TcpListener,
    who: &str,
    remote: Remote,
    patience: Duration,
    end: impl Fn(TcpStream) -> io::Result<Overheard<TcpEnd>>,
) -> Result<(Link<Overheard<TcpEnd>>, Hello), Failure> {
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
                if let HelloError::Mismatch(mismatch) = error {
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
pub(super) fn broken(error: io::Error) -> Failure {
    Failure::new(format!("a connection broke: {error}"), "check the network")
}

struct Deal<'a> {
    session: &'a Session,
    keys: [Key; 2],
    link: Link<Overheard<TcpEnd>>,
    quiet: bool,
}

impl InRing for Deal<'_> {
    type Output = ();

    fn run<R: Ring>(self, _: Network) -> Result<(), Failure> {
        let bar = if self.quiet {
            indicatif::ProgressBar::hidden()
        } else {
            indicatif::ProgressBar::new(self.session.iterations().into())
        };
        run_dealer::<R, _>(self.session, self.keys, self.link, |iteration, sent| {
            bar.set_position(u64::from(iteration) + 1);
            bar.set_message(bytes(sent));
        })?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// How the keys of parties that are devices are sealed.
fn seals(args: &DealerArgs) -> Result<[Option<Seal>; 2], Failure> {
    let secrets = Secrets::new(args.process.secret_seed);
    let mut seals = [None, None];
    let files = [&args.p0_key, &args.p1_key];
    for (role, (seal, file)) in Role::BOTH.into_iter().zip(seals.iter_mut().zip(files)) {
        if let Some(file) = file {
            *seal = Some(Seal {
                shared: read_key(file)?,
                nonce: secrets.seal(role)?,
            });
        }
    }
    Ok(seals)
}

/// Serves two parties and ends with them.
pub fn run(args: &DealerArgs) -> Result<(), Failure> {
    let keys = Secrets::new(args.process.secret_seed).dealer_keys()?;
    let seals = seals(args)?;
    let shape = args.process.shape.shape()?;
    let patience = Duration::from_secs(args.process.wait);
    let listener = listen(&args.listen)?;
    let address = listener.local_addr().map_err(broken)?.to_string();
    if args.process.supervised {
        supervision::send(io::stdout(), &Event::Listening(address))?;
    } else {
        console::line(&format!("dealer: waiting for both parties at {address}"))?;
    }
    let end = |stream| Overheard::new(TcpEnd::bounded(stream, shape)?, &None);
    let remote = Remote::Party(Role::P0);
    let (one, first) = hear(&listener, "the first party", remote, patience, end)?;
    let (two, second) = hear(&listener, "the second party", remote, patience, end)?;
    let (session, [to_p0, to_p1]) =
        meet_parties(Helper::Dealer, [one, two], [first, second], &keys, &seals)?;
    if !args.process.supervised {
        console::line(&format!(
            "dealer: serving model {}, {}",
            session.model.name,
            work(&session)
        ))?;
    }
    let to_p1 = to_p1.renamed(Remote::Party(Role::P1));
    let deal = Deal {
        session: &session,
        keys,
        link: to_p1,
        quiet: args.process.supervised,
    };
    in_ring(&session, deal)?;
    drop(to_p0);
    if !args.process.supervised {
        console::line("dealer: done")?;
    }
    Ok(())
}
