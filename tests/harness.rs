//! Shared by the tests that cross the crates: the program, MNIST, devices, and simulations with recorded links.

pub mod arrays;
pub mod deployment;
pub mod emulated;
pub mod faulty_line;
pub mod middle;
pub mod recording;
pub mod resettable;
pub mod served;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub use recording::{
    Narrow, Recorded, Recording, Transcript, record, record_inference, record_with,
};
use ringlet::data::range_bits::RangeBits;
pub use ringlet_core::Role;
use ringlet_core::{model::Model, network::Network, num::Format, session::Headroom};
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
        cargo.args([
            "--features",
            "collect,images,onnx,report,seeded-secrets,watch",
        ]);
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

/// Runs the program, which must succeed. Returns all that it says: what happens first, then its results.
pub fn told(arguments: &[&str]) -> String {
    let output = ringlet(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}{out}");
    err + &out
}

/// Whether a line of standard error tells what happens, and neither warns nor fails.
pub fn is_notice(line: &str) -> bool {
    let told = [
        "waiting for ",
        "turned away",
        ": serving model ",
        ": iteration ",
        ": epoch ",
        ": batch ",
        " between the devices (",
        ": image ",
        " checked, ",
        ": contribution ",
        " more contributions are left out",
        ": the device at ",
        " answers",
        " (qemu-system-",
        " is not built yet: building ",
        "the run goes on after ",
        "the device has started anew since ",
        "the line to the device damaged ",
        "nobody will learn ",
        "the training stops after ",
        "the shared model is evaluated on ",
    ];
    let begun = ["training ", "classifying ", "dealing "];
    let is_grave = ["error: ", "warning: "]
        .iter()
        .any(|start| line.starts_with(start));
    let is_told = told.iter().any(|part| line.contains(part));
    !is_grave && (is_told || begun.iter().any(|start| line.starts_with(start)))
}

/// The one line of standard error that says why a process failed. What it told before may stand in front.
pub fn one_error(err: &str) -> &str {
    let lines: Vec<&str> = err.lines().filter(|line| !is_notice(line)).collect();
    assert_eq!(lines.len(), 1, "{err}");
    assert!(lines[0].starts_with("error: "), "{err}");
    lines[0]
}

/// Runs the program, which must fail with one line. Returns that line.
pub fn failure(arguments: &[&str]) -> String {
    let output = ringlet(arguments);
    assert!(!output.status.success(), "{arguments:?} went well");
    one_error(&text(&output.stderr)).to_owned()
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

/// What a process says on standard error, read while it runs.
pub struct Saying {
    said: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Saying {
    /// Begins to read. The process has no standard error left for [`end`], which returns none.
    pub fn of(child: &mut std::process::Child) -> Self {
        let mut pipe = child.stderr.take().expect("a pipe");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                heard.lock().expect("a lock").extend(&bytes[..count]);
            }
        });
        Saying { said, reader }
    }

    /// Waits until the process has said `what` so many times.
    pub fn wait_for(&self, what: &str, times: usize) {
        wait_until(what, Duration::from_secs(60), || {
            text(&self.said.lock().expect("a lock"))
                .matches(what)
                .count()
                >= times
        });
    }

    /// All that it said, once it has ended.
    pub fn all(self) -> String {
        self.reader.join().expect("a pipe");
        text(&self.said.lock().expect("a lock"))
    }
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
    one_error(&err).to_owned()
}
