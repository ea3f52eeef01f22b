//! Shared by the tests that cross the crates: the program, MNIST, and simulations with recorded links.

pub mod arrays;
pub mod deployment;
pub mod faulty_line;
pub mod middle;
pub mod resettable;
pub mod served;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use embedded_io::{ErrorType, Read, Write};
use ringlet::{
    data::{Images, OwnImages, range_bits::RangeBits},
    links::{
        any_end::AnyEnd,
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
    },
    run::{
        actors::Helper,
        dealer::run_dealer,
        event::{Event, StageValues},
        handshakes::{greet, meet_parties},
        party::{FurtherRanks, PartySetup, run_party},
    },
};
pub use ringlet_core::Role;
use ringlet_core::{
    model::Model,
    net::{Link, Remote},
    network::Network,
    num::{Format, Ring},
    prg::Key,
    session::{
        Headroom, Session,
        handshake::{Hello, receive_hello},
    },
    share::{Observer, Share, Values},
};
use serde_json::Value;

/// The directory of the MNIST files. Prints a note if there is none.
pub fn mnist() -> Option<PathBuf> {
    data_set("mnist", "RINGLET_MNIST")
}

/// The directory of a data set that is not part of the project: the one that the variable names, or `name` beside the
/// project. Prints a note if there is none.
pub fn data_set(name: &str, variable: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = shared.join(name);
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .or_else(|| shared.is_dir().then_some(shared));
    if found.is_none() {
        // Not by a macro: the test harness hides what those print in a test that passes.
        let note = format!("skipped: no {name} files; name their directory in {variable}\n");
        io::Write::write_all(&mut io::stderr(), note.as_bytes()).expect("a terminal or a file");
    }
    found
}

/// The `ringlet` program: the one that `RINGLET_PROGRAM` names, or else one that is built here, in the profile of this test.
/// Unlike a release build it has --secret-seed.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("RINGLET_PROGRAM") {
            return path.into();
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "--package", "ringlet"]);
        cargo.args(["--features", "images,onnx,seeded-secrets"]);
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        // What cargo tells this test of its own package. Some build scripts would run again for it.
        for (name, _) in std::env::vars_os() {
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if of_package
                .iter()
                .any(|start| text(name.as_encoded_bytes()).starts_with(start))
            {
                cargo.env_remove(name);
            }
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success());
        let test = std::env::current_exe().expect("a test has a path");
        let profile = test.ancestors().nth(2).expect("a test lies in deps/");
        profile.join(format!("ringlet{}", std::env::consts::EXE_SUFFIX))
    })
}

/// Runs the program to its end.
pub fn ringlet(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(with_identity(arguments))
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Runs the program, which must succeed. Returns its standard output.
pub fn success(arguments: &[&str]) -> String {
    let output = ringlet(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}{out}");
    out
}

/// Runs the program, which must fail with one line. Returns that line.
pub fn failure(arguments: &[&str]) -> String {
    let output = ringlet(arguments);
    let err = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} went well");
    assert_eq!(err.trim_end().lines().count(), 1, "{arguments:?}: {err}");
    assert!(err.starts_with("error: "), "{arguments:?}: {err}");
    err
}

/// The records of one kind in a metrics file.
pub fn metrics(path: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a metrics file");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .filter(|record: &Value| record["kind"] == kind)
        .collect()
}

/// A model that is trained once for all tests of a process, in a directory of its own.
pub type TrainedOnce = OnceLock<(tempfile::TempDir, PathBuf)>;

/// The file of a model of the built-in digits, trained with these options by whoever asks first.
pub fn trained(once: &'static TrainedOnce, options: &[&str]) -> &'static Path {
    let (_, path) = once.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model.safetensors");
        let save = ["--save", path.to_str().expect("UTF-8")];
        success(&[&["train", "--seed", "1"], options, &save].concat());
        (dir, path)
    });
    path
}

/// The headroom of a session for which no --range-bits are given.
pub fn usual_headroom(model: &Model, format: Format) -> Headroom {
    let network = Network::new(model).expect("a network");
    RangeBits::usual().limited(&network, format)
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `done` is true. Panics with `what` if it takes too long.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what} took too long");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The first of this process's ports, and what keeps them for it: a listener at that one. Several programs of tests run side
/// by side, and each has ports of its own, none of which the system gives to whoever asks for any.
fn ports() -> u32 {
    static KEPT: OnceLock<(u32, std::net::TcpListener)> = OnceLock::new();
    let (first, _) = KEPT.get_or_init(|| {
        let firsts =
            (0..BLOCKS).map(|block| 20_000 + (std::process::id() + block) % BLOCKS * PORTS);
        let mut kept = firsts.filter_map(|first| {
            let listener = std::net::TcpListener::bind(("127.0.0.1", first as u16)).ok()?;
            Some((first, listener))
        });
        kept.next().expect("free ports")
    });
    *first
}

/// Blocks of ports, and ports of a block.
const BLOCKS: u32 = 95;
const PORTS: u32 = 128;

/// The address of a port that was free a moment ago. No other test gets the same.
pub fn address() -> String {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let port = ports() + 1 + GIVEN.fetch_add(1, Ordering::Relaxed) % (PORTS - 1);
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// The arguments of a command. A role that is given no identity does without one: all roles are on this machine.
fn with_identity<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = arguments.to_vec();
    let is_role = ["party", "dealer", "assistant"].contains(arguments.first().unwrap_or(&""));
    let is_told = ["--roster", "--insecure", "--help", "-h"];
    if is_role && !arguments.iter().any(|argument| is_told.contains(argument)) {
        arguments.push("--insecure");
    }
    arguments
}

/// Starts the program.
pub fn start(arguments: &[&str]) -> std::process::Child {
    Command::new(program())
        .args(with_identity(arguments))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The end of a process: whether it succeeded, and its two outputs.
pub fn end(child: std::process::Child) -> (bool, String, String) {
    end_within(child, Duration::from_secs(180))
}

/// The same with another limit of time.
pub fn end_within(mut child: std::process::Child, limit: Duration) -> (bool, String, String) {
    wait_until("a process", limit, || {
        child.try_wait().expect("a child").is_some()
    });
    let output = child.wait_with_output().expect("its output");
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Kills a process whose partners have ended.
pub fn stop(mut child: std::process::Child) {
    child.kill().expect("a process");
    child.wait().expect("a process");
}

/// Asks a process to terminate.
#[cfg(unix)]
pub fn terminate(child: &std::process::Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    assert!(sent.expect("kill runs").success());
}

/// Waits for a process, which must fail with one line after its notices. Returns that line.
pub fn complaint(child: std::process::Child) -> String {
    let (well, out, err) = end(child);
    assert!(!well, "{out}");
    let is_notice = |line: &&str| line.contains("waiting for") || line.contains("turned away");
    let lines: Vec<&str> = err.lines().filter(|line| !is_notice(line)).collect();
    assert_eq!(lines.len(), 1, "{err}");
    assert!(lines[0].starts_with("error: "), "{err}");
    lines[0].to_owned()
}

/// All bytes that one end has sent.
pub type Transcript = Arc<Mutex<Vec<u8>>>;

/// A transport that keeps a copy of what it sends.
pub struct Recorded {
    inner: MemoryEnd,
    sent: Transcript,
}

impl Recorded {
    fn new(inner: MemoryEnd) -> (Self, Transcript) {
        let sent = Transcript::default();
        (
            Recorded {
                inner,
                sent: sent.clone(),
            },
            sent,
        )
    }
}

impl ErrorType for Recorded {
    type Error = io::Error;
}

impl Read for Recorded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sent.lock().expect("no panic").extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Narrow shares of one party: the cost row, whether in the backward pass, the bits of their ring, and the shares.
pub type Narrow = (usize, bool, u32, Vec<u64>);

/// Keeps all observed shares.
#[derive(Default)]
struct Keeping(Vec<Narrow>);

impl<R: Ring> Observer<R> for Keeping {
    fn values(&mut self, stage: usize, values: Values, [_, bits]: [u32; 2], shares: &[Share<R>]) {
        let (row, backward) = values.cost_row(stage);
        let shares = shares.iter().map(|share| share.reveal().to_u64()).collect();
        self.0.push((row, backward, bits, shares));
    }
}

/// The record of a simulation.
pub struct Recording {
    /// What P0 and P1 sent to each other, handshake included.
    pub peer: [Vec<u8>; 2],
    /// What the dealer sent to P0 and to P1, handshake included.
    pub dealer: [Vec<u8>; 2],
    /// What P0 and P1 sent to the dealer.
    pub to_dealer: [Vec<u8>; 2],
    /// Each party's shares of the model before each epoch and at the end.
    pub shares: [Vec<Vec<StageValues>>; 2],
    /// Each party's narrow shares, in the order of the run: products, logits, gradients, velocities.
    pub narrow: [Vec<Narrow>; 2],
    /// The model that was revealed to the session's receiver.
    pub revealed: [Option<Vec<StageValues>>; 2],
}

/// A model of some weights, at the master weights' scale.
fn some_model(network: &Network, session: &Session) -> Vec<StageValues> {
    let [_, fraction] = session.master();
    let unit = |index: usize| (index * 7919 % 1009) as i128 - 504;
    let value = |index: usize| ((unit(index) << fraction) / 4096) as u128;
    let stages = network.stages.iter();
    stages
        .map(|stage| (0..stage.parameters()).map(value).collect())
        .collect()
}

/// Runs a session in its ring with the given keys. The initial weights come from `weights`, or are those of a fixed model if the
/// session begins with one.
pub fn record(session: &Session, images: &Images, keys: [Key; 2], weights: u8) -> Recording {
    let weights = [weights, weights.wrapping_add(1)].map(|byte| Key::new([byte; 32]));
    record_with(session, images, keys, weights)
}

/// The same, with the secrets from which the parties draw their parts of the initial weights.
pub fn record_with(
    session: &Session,
    images: &Images,
    keys: [Key; 2],
    weights: [Key; 2],
) -> Recording {
    if session.format.ring == u32::BITS {
        record_in::<u32>(session, images, keys, weights)
    } else {
        record_in::<u64>(session, images, keys, weights)
    }
}

fn record_in<R: Ring>(
    session: &Session,
    images: &Images,
    keys: [Key; 2],
    weights: [Key; 2],
) -> Recording {
    let network = ringlet_core::dealt::check::<R>(session).expect("a session that runs");
    let [peer0, peer1] = memory::duplex(TrafficShape::default()).map(Recorded::new);
    let [dealer0, party0] = memory::bounded(TrafficShape::default()).map(Recorded::new);
    let [dealer1, party1] = memory::bounded(TrafficShape::default()).map(Recorded::new);
    let split = session.samples[0] as usize;
    let own = [0..split, split..split + session.samples[1] as usize];
    let (tell, told) = channel();
    let ahead = usize::MAX / 4;
    let (network, model) = (&network, &some_model(&network, session));
    let [first, second] = thread::scope(|scope| {
        let links = [dealer0.0, dealer1.0];
        scope.spawn(move || {
            let links =
                links.map(|end| Link::new(AnyEnd::new(end), Remote::Party(Role::P1), ahead));
            let mut links = links;
            let heard = links
                .each_mut()
                .map(|link| receive_hello(link).expect("a hello"));
            let (session, [_p0, p1]) =
                meet_parties(Helper::Dealer, links, heard, &keys).expect("equal sessions");
            run_dealer::<R>(&session, keys, p1, 0, &mut |_, _| {}).expect("a dealer that runs");
        });
        let ends = [(peer0.0, party0.0), (peer1.0, party1.0)];
        let mut parties = Vec::new();
        let roles = Role::BOTH.into_iter().zip(ends).zip(own).zip(weights);
        for (((role, (peer, dealer)), own), secret) in roles {
            let tell = tell.clone();
            parties.push(scope.spawn(move || {
                let mut peer = Link::new(AnyEnd::new(peer), Remote::Peer, ahead);
                let mut dealer = Link::new(AnyEnd::new(dealer), Remote::Dealer, ahead);
                let setup = PartySetup {
                    session,
                    network,
                    role,
                    secret,
                    initial: match session.initial_model == Some(role) {
                        true => model,
                        false => &[],
                    },
                    key: greet(&Hello::new(role, session), &mut peer, &mut dealer)
                        .expect("a handshake"),
                    simulated: true,
                    durable: None,
                    positions: None,
                    beside: None,
                    validation: None,
                    further: FurtherRanks::default(),
                };
                let mut data = OwnImages::new(images, own, network.classes);
                let emit = &mut |event| {
                    tell.send((role, event)).expect("a listener");
                    Ok(())
                };
                let mut observer = Keeping::default();
                let revealed =
                    run_party::<R>(setup, (peer, dealer), &mut data, &mut observer, emit)
                        .expect("a party that runs");
                (revealed, observer.0)
            }));
        }
        drop(tell);
        let ends: Vec<_> = parties
            .into_iter()
            .map(|party| party.join().expect("no panic"))
            .collect();
        <[_; 2]>::try_from(ends).expect("two parties")
    });
    let mut shares = [Vec::new(), Vec::new()];
    for (role, event) in told {
        if let Event::Shares { stages, .. } = event {
            shares[role.index()].push(stages);
        }
    }
    let taken = |transcript: Transcript| transcript.lock().expect("no panic").clone();
    Recording {
        peer: [taken(peer0.1), taken(peer1.1)],
        dealer: [taken(dealer0.1), taken(dealer1.1)],
        to_dealer: [taken(party0.1), taken(party1.1)],
        shares,
        narrow: [first.1, second.1],
        revealed: [first.0, second.0],
    }
}
