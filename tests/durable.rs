//! Runs that are cut off: roles are killed and started again, links are cut, a party is told to stop. Each run ends with
//! the right number of iterations and a model that has learnt.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ringlet_core::prg::{Address, Key, Prg};
use ringlet_tests::{address, complaint, end, failure, start, success, terminate};

/// The roles of a run and how each is started.
struct Roles {
    dealer: Vec<String>,
    p0: Vec<String>,
    p1: Vec<String>,
}

const NAMES: [&str; 3] = ["dealer", "p0", "p1"];

/// The arguments of a command, in their order.
fn own(parts: &[&[&str]]) -> Vec<String> {
    let parts = parts.iter().copied().flatten();
    parts.map(|&argument| argument.to_owned()).collect()
}

impl Roles {
    /// A run that keeps its checkpoints and its model in `dir`. `helper` is `dealer` or `assistant`; the parties reach it
    /// at `to_helper`, and P1 reaches P0 at `to_p0`.
    fn new(
        dir: &Path,
        helper: &str,
        [d, p]: [&str; 2],
        [to_helper, to_p0]: [&str; 2],
        session: &[&str],
    ) -> Self {
        let paths = ["ck0", "ck1", "model", "metrics"].map(|name| dir.join(name));
        let [ck0, ck1, model, metrics] = paths.each_ref().map(|path| text(path));
        let option = format!("--{helper}");
        let rest = ["--reveal-to", "p1", "--wait", "30"];
        let party = |role, address: [&str; 2], more: &[&str]| {
            let known = ["party", "--role", role, address[0], address[1]];
            own(&[&known, &[&option, to_helper], &rest, session, more])
        };
        Roles {
            dealer: own(&[&[helper, "--listen", d, "--wait", "30"]]),
            p0: party("p0", ["--listen", p], &["--resume", ck0]),
            p1: party(
                "p1",
                ["--peer", to_p0],
                &["--resume", ck1, "--save", model, "--metrics", metrics],
            ),
        }
    }

    fn start(&self, role: usize) -> Child {
        let arguments = [&self.dealer, &self.p0, &self.p1][role];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        start(&arguments)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Checks that a metrics file has a line for each iteration, in order.
fn check_metrics(path: &Path, iterations: u32) {
    let lines = std::fs::read_to_string(path).expect("metrics");
    let number = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a record");
        record["iteration"].as_u64()
    };
    let numbers: Vec<u64> = lines.lines().filter_map(number).collect();
    assert!(numbers.into_iter().eq(1..=iterations.into()), "{lines}");
}

/// Checks that all roles end well, that the run has all of its iterations, and that the model has learnt.
fn check(dir: &Path, children: [Child; 3], iterations: u32) {
    check_roles(dir, NAMES.into_iter().zip(children), iterations);
    check_metrics(&dir.join("metrics"), iterations);
}

/// The same of some of the roles.
fn check_roles<'a>(
    dir: &Path,
    children: impl IntoIterator<Item = (&'a str, Child)>,
    iterations: u32,
) {
    for (name, child) in children {
        let (well, out, err) = end(child);
        assert!(well, "{name}: {out}{err}");
        assert!(out.contains("done"), "{name}: {out}{err}");
    }
    for role in ["p0", "p1"] {
        let last = format!("ck{}/{role}-{iterations:010}.checkpoint", &role[1..]);
        assert!(dir.join(&last).exists(), "{last}");
    }
    let model = dir.join("model");
    let said = success(&["predict", "--model-file", model.to_str().expect("UTF-8")]);
    let share = said
        .split('%')
        .next()
        .and_then(|head| head.split_whitespace().last());
    let share: f64 = share.and_then(|share| share.parse().ok()).expect("a share");
    assert!(share > 85.0, "{said}");
}

/// Numbers that look random, the same for the same seed.
struct Seeded(Prg, u64);

impl Seeded {
    fn new(seed: u8) -> Self {
        Seeded(Prg::new(Key::new([seed; Key::LEN])), 0)
    }

    fn below(&mut self, limit: u64) -> u64 {
        let mut word = [0u64];
        let address = Address {
            iteration: 0,
            gate: 0,
            wire: 0,
        };
        self.0.fill(address, self.1, &mut word);
        self.1 += 1;
        word[0] % limit
    }
}

/// Kills `kills` roles at seeded moments, each of which is started again at once.
fn kill_and_go_on(kills: u32, seed: u8, helper: &str, session: &[&str], iterations: u32) {
    let dir = tempfile::tempdir().expect("a directory");
    let (d, p) = (address(), address());
    let roles = Roles::new(dir.path(), helper, [&d, &p], [&d, &p], session);
    let mut children = [0, 1, 2].map(|role| roles.start(role));
    let mut seeded = Seeded::new(seed);
    for kill in 0..kills {
        thread::sleep(Duration::from_millis(300 + seeded.below(900)));
        let victim = seeded.below(3) as usize;
        if children
            .iter_mut()
            .any(|child| child.try_wait().expect("a child").is_some())
        {
            // A machine this fast is done before all of them are killed.
            assert!(kill > kills / 2, "only {kill} were killed");
            break;
        }
        children[victim].kill().expect("to kill");
        children[victim].wait().expect("its end");
        children[victim] = roles.start(victim);
    }
    check(dir.path(), children, iterations);
}

const LONG: [&str; 6] = ["--epochs", "40", "--limit", "1800", "--every", "10"];

#[test]
fn killed_roles_go_on_from_the_last_common_checkpoint() {
    let session = ["--epochs", "20", "--limit", "900", "--every", "10"];
    kill_and_go_on(6, 1, "dealer", &session, 900);
}

#[test]
fn killed_roles_on_several_threads_go_on_too() {
    let session = ["--epochs", "20", "--limit", "600", "--every", "10"];
    let threads = ["--micro-batch", "16", "--threads", "2"];
    kill_and_go_on(4, 11, "dealer", &[&session[..], &threads].concat(), 600);
}

const SECURENN: [&str; 8] = [
    "--protocol",
    "securenn",
    "--limit",
    "60",
    "--epochs",
    "2",
    "--every",
    "5",
];

#[test]
fn killed_roles_of_securenn_go_on_too() {
    kill_and_go_on(3, 2, "assistant", &SECURENN, 60);
}

#[test]
fn killed_roles_of_securenn_on_several_threads_go_on_too() {
    let threads = ["--micro-batch", "16", "--threads", "2"];
    let session = [&SECURENN[..], &threads].concat();
    kill_and_go_on(3, 12, "assistant", &session, 60);
}

/// Sixty kills: `cargo test --release -p ringlet-tests --test durable -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn sixty_kills_change_nothing() {
    // Longer than twelve kills take: a role that is killed after the dealer has ended finds nobody to go on with.
    let session = ["--epochs", "100", "--limit", "4500", "--every", "10"];
    for seed in 3..8 {
        kill_and_go_on(12, seed, "dealer", &session, 4500);
    }
}

/// Both parties of a run with dealt files in `dir`, and the iterations that each file says have begun.
struct DealtRun<'a> {
    dir: &'a Path,
    parties: [Vec<String>; 2],
}

impl<'a> DealtRun<'a> {
    fn new(dir: &'a Path, session: &[&str]) -> Self {
        let meeting = address();
        let paths = ["files", "ck0", "ck1", "model"].map(|name| dir.join(name));
        let [files, ck0, ck1, model] = paths.each_ref().map(|path| path.to_str().expect("UTF-8"));
        let party = |role, meet, more: &[&str]| {
            let known = ["party", "--role", role, meet, &meeting, "--dealt", files];
            let rest = ["--reveal-to", "p1", "--wait", "30"];
            own(&[&known, &rest, session, more])
        };
        let p0 = party("p0", "--listen", &["--resume", ck0]);
        let p1 = party("p1", "--peer", &["--resume", ck1, "--save", model]);
        DealtRun {
            dir,
            parties: [p0, p1],
        }
    }

    fn deal(&self, session: &[&str], spare: &str) {
        let files = self.dir.join("files");
        let _ = std::fs::remove_dir_all(&files);
        let known = [
            "deal",
            "--out",
            files.to_str().expect("UTF-8"),
            "--spare",
            spare,
        ];
        success(&[&known[..], &["--reveal-to", "p1"], session].concat());
    }

    fn start(&self, role: usize) -> Child {
        let arguments: Vec<&str> = self.parties[role].iter().map(String::as_str).collect();
        start(&arguments)
    }

    fn begun(&self, role: usize) -> u32 {
        let name = ["p0.key", "p1.dealt"][role];
        let mut begun = [0; 4];
        let mut file = std::fs::File::open(self.dir.join("files").join(name)).expect("a file");
        file.seek(SeekFrom::Start(8)).expect("a head");
        file.read_exact(&mut begun).expect("a head");
        u32::from_le_bytes(begun)
    }

    /// Waits until a party has begun `count` iterations of its file.
    fn wait_for(&self, role: usize, count: u32) {
        let done = || self.begun(role) >= count;
        ringlet_tests::wait_until("iterations", Duration::from_secs(60), done);
    }
}

#[test]
fn a_run_with_dealt_files_goes_on_with_the_iterations_that_are_left() {
    goes_on_with_what_is_left("32", "1");
}

#[test]
fn so_does_one_on_several_threads() {
    goes_on_with_what_is_left("8", "3");
}

fn goes_on_with_what_is_left(micro_batch: &str, threads: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let deal = ["--epochs", "8", "--limit", "300", "--batch", "32"];
    let deal = [&deal[..], &["--micro-batch", micro_batch]].concat();
    let session = [&deal[..], &["--every", "10", "--threads", threads]].concat();
    let run = DealtRun::new(dir.path(), &session);
    run.deal(&deal, "60");
    let mut children = [0, 1].map(|role| run.start(role));
    for (victim, moment) in [(0, 33), (1, 78), (1, 140), (0, 205)] {
        run.wait_for(victim, moment);
        let before = run.begun(victim);
        children[victim].kill().expect("to kill");
        children[victim].wait().expect("its end");
        children[victim] = run.start(victim);
        // What has begun stays spent.
        assert!(run.begun(victim) >= before);
    }
    check_roles(dir.path(), ["p0", "p1"].into_iter().zip(children), 300);
    let begun = [run.begun(0), run.begun(1)];
    assert!(
        begun[0] == begun[1] && (301..=360).contains(&begun[0]),
        "{begun:?}"
    );
}

#[test]
fn too_few_dealt_iterations_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let session = [
        "--epochs", "8", "--limit", "200", "--batch", "32", "--every", "20",
    ];
    let deal = ["--epochs", "8", "--limit", "200", "--batch", "32"];
    let run = DealtRun::new(dir.path(), &session);
    run.deal(&deal, "0");
    let [mut p0, mut p1] = [0, 1].map(|role| run.start(role));
    run.wait_for(1, 50);
    for child in [&mut p1, &mut p0] {
        child.kill().expect("to kill");
        child.wait().expect("its end");
    }
    let begun = run.begun(0).max(run.begun(1));
    let [p0, p1] = [0, 1].map(|role| run.start(role));
    for child in [p0, p1] {
        let line = complaint(child);
        let missing = format!("have {} left", 200 - begun);
        assert!(
            line.contains(&missing) && line.contains("are missing") && line.contains("--spare"),
            "{line}"
        );
    }
    // New files are enough, and the run goes on from its checkpoint.
    run.deal(&deal, "0");
    let children = [0, 1].map(|role| run.start(role));
    check_roles(dir.path(), ["p0", "p1"].into_iter().zip(children), 200);
    let begun = [run.begun(0), run.begun(1)];
    assert!(begun[0] == begun[1] && begun[0] < 200, "{begun:?}");
}

/// A proxy to `target` that cuts all of its connections every `period`. Returns its address.
fn cutting_proxy(target: &str, period: Duration, over: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let (target, done, cut) = (target.to_owned(), over.clone(), open.clone());
    thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            thread::sleep(period);
            for stream in cut.lock().expect("a lock").drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            // The role behind may not listen yet: then the connection ends, and comes again.
            let (Ok(near), Ok(far)) = (stream, TcpStream::connect(&target)) else {
                continue;
            };
            for (from, to) in [(&near, &far), (&far, &near)] {
                to.set_nodelay(true).expect("a connection");
                let (from, to) = (from.try_clone(), to.try_clone());
                let (mut from, mut to) = (from.expect("a handle"), to.expect("a handle"));
                thread::spawn(move || {
                    let mut bytes = [0; 1 << 14];
                    while let Ok(count) = from.read(&mut bytes)
                        && count > 0
                        && to.write_all(&bytes[..count]).is_ok()
                    {}
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            open.lock().expect("a lock").extend([near, far]);
        }
    });
    at
}

#[test]
fn links_that_are_cut_all_the_time_are_dialled_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (d, p) = (address(), address());
    let over = Arc::new(AtomicBool::new(false));
    let to_dealer = cutting_proxy(&d, Duration::from_millis(1700), &over);
    let to_p0 = cutting_proxy(&p, Duration::from_millis(2300), &over);
    let session = ["--epochs", "20", "--limit", "600", "--every", "10"];
    let roles = Roles::new(
        dir.path(),
        "dealer",
        [&d, &p],
        [&to_dealer, &to_p0],
        &session,
    );
    let children = [0, 1, 2].map(|role| roles.start(role));
    // The end of a session is a moment: with links that stay up from then on it is sure to be confirmed.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(9) {
        thread::sleep(Duration::from_millis(100));
    }
    over.store(true, Ordering::Relaxed);
    check(dir.path(), children, 600);
}

#[cfg(unix)]
#[test]
fn a_party_that_is_told_to_stop_says_how_to_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (d, p) = (address(), address());
    let roles = Roles::new(dir.path(), "dealer", [&d, &p], [&d, &p], &LONG);
    let [dealer, p0, p1] = [0, 1, 2].map(|role| roles.start(role));
    let first = dir.path().join("ck1/p1-0000000010.checkpoint");
    ringlet_tests::wait_until("a checkpoint", Duration::from_secs(60), || first.exists());
    terminate(&p0);
    let (well, _, err) = end(p0);
    let line = err.lines().last().expect("a line");
    assert!(!well && line.contains("p0 stopped after"), "{err}");
    assert!(line.contains("--resume"), "{err}");
    check(dir.path(), [dealer, roles.start(1), p1], 1800);
}

#[cfg(unix)]
#[test]
fn a_party_that_waits_for_the_others_ends_at_once_when_it_is_told_to_stop() {
    let dir = tempfile::tempdir().expect("a directory");
    let (d, p) = (address(), address());
    let roles = Roles::new(dir.path(), "dealer", [&d, &p], [&d, &p], &LONG);
    let p0 = roles.start(1);
    let begun = dir.path().join("ck0");
    ringlet_tests::wait_until("its directory", Duration::from_secs(60), || begun.exists());
    terminate(&p0);
    let (well, _, err) = end(p0);
    assert!(!well && err.contains("no run was under way"), "{err}");
}

#[test]
fn checkpoints_of_another_session_or_run_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    let train = ["train", "--limit", "6", "--seed", "1"];
    success(&[&train[..], &["--checkpoint", path, "--every", "2"]].concat());
    let line = failure(&[&train[..], &["--checkpoint", path]].concat());
    assert!(
        line.contains("already") && line.contains("--resume"),
        "{line}"
    );
    let line = failure(&[&train[..], &["--resume", path, "--batch", "16"]].concat());
    assert!(line.contains("batch sizes"), "{line}");
    // The party's file is damaged.
    let file = dir.path().join("p0-0000000006.checkpoint");
    let mut bytes = std::fs::read(&file).expect("a checkpoint");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("the checkpoint");
    let line = failure(&[&train[..], &["--resume", path]].concat());
    assert!(line.contains("damaged"), "{line}");
}

#[test]
fn a_simulation_goes_on_from_its_checkpoints() {
    let dir = tempfile::tempdir().expect("a directory");
    let [ck, model] = ["ck", "model"].map(|name| dir.path().join(name));
    let [ck, model] = [&ck, &model].map(|path| path.to_str().expect("UTF-8"));
    // A run that was cut off leaves the checkpoints of its iterations: here a run of the same session is stopped by a
    // full disk in the place of its metrics.
    let train = ["train", "--epochs", "4", "--seed", "1", "--every", "20"];
    let cut = [&train[..], &["--checkpoint", ck, "--metrics", "/dev/full"]].concat();
    let line = failure(&cut);
    assert!(line.contains("cannot be written"), "{line}");
    success(&[&train[..], &["--resume", ck, "--save", model]].concat());
    let said = success(&["predict", "--model-file", model]);
    assert!(said.contains("% of them right"), "{said}");
}
