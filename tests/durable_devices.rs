//! Runs with a device that are cut off: its host and the dealer are killed, and the board is reset. Each run goes on from the
//! device's sealed state, and ends with the right number of iterations and a model that has learnt.

use std::{
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Duration,
};

use ringlet_core::{
    Role,
    prg::{Address, Key, Prg},
};
use ringlet_tests::{
    address, complaint,
    deployment::{Deployment, host, lax, record},
    end,
    resettable::Resettable,
    served::{Served, pack},
    start, stop, success, wait_until,
};

/// The device's secret.
const ROOT: [u8; 32] = [11; 32];

/// Words of memory that are enough.
const ARENA: usize = 1 << 17;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A run of P1 beside a device, and of the dealer.
struct Run<'a> {
    dir: &'a Path,
    deployment: Deployment,
    device: String,
    dealer: String,
    session: &'a [&'a str],
}

impl<'a> Run<'a> {
    fn new(dir: &'a Path, device: &str, session: &'a [&'a str]) -> Self {
        Run {
            dir,
            deployment: Deployment::new(dir, ROOT),
            device: device.to_owned(),
            dealer: address(),
            session,
        }
    }

    fn start_dealer(&self) -> Child {
        let dealer = ["dealer", "--listen", &self.dealer, "--wait", "60"];
        start(&[&dealer[..], &self.deployment.dealer()].concat())
    }

    fn start_p1(&self) -> Child {
        let paths = ["ck", "model", "metrics"].map(|name| self.dir.join(name));
        let [ck, model, metrics] = paths.each_ref().map(|path| text(path));
        let party = ["party", "--role", "p1", "--peer", &self.device];
        let more = [
            "--dealer",
            &self.dealer,
            "--model",
            "digits8",
            "--wait",
            "60",
        ];
        let files = ["--resume", ck, "--save", model, "--metrics", metrics];
        let rest = ["--reveal-to", "p1", "--idle", "60"];
        let all = [&party[..], &more, &files, &rest, self.session];
        start(&[all.concat(), self.deployment.p1().to_vec()].concat())
    }

    /// Waits until the party has done so many iterations.
    fn wait_for(&self, count: usize) {
        let metrics = self.dir.join("metrics");
        let lines = || std::fs::read_to_string(&metrics).unwrap_or_default();
        let done = || {
            lines()
                .lines()
                .filter(|line| line.contains("\"layers\""))
                .count()
                >= count
        };
        wait_until("iterations", Duration::from_secs(120), done);
    }

    /// Checks that both end well, after all iterations, each of which is in the metrics once.
    fn check(&self, children: [Child; 2], iterations: u64) {
        for child in children {
            let (well, out, err) = end(child);
            assert!(well && out.contains("done"), "{out}{err}");
        }
        let lines = std::fs::read_to_string(self.dir.join("metrics")).expect("metrics");
        let number = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).expect("a record");
            record["iteration"].as_u64()
        };
        let numbers: Vec<u64> = lines.lines().filter_map(number).collect();
        assert!(numbers.into_iter().eq(1..=iterations), "{lines}");
        let last = format!("ck/p0-{iterations:010}.sealed");
        assert!(self.dir.join(&last).exists(), "{last}");
    }

    /// The share of held-out digits that the model classifies right, in percent.
    fn accuracy(&self) -> f64 {
        let model = self.dir.join("model");
        let said = success(&["predict", "--model-file", text(&model)]);
        let head = said.split('%').next();
        let share = head.and_then(|head| head.split_whitespace().last()?.parse().ok());
        share.expect("a share")
    }
}

fn kill(child: &mut Child) {
    child.kill().expect("to kill");
    child.wait().expect("its end");
}

#[test]
fn a_device_whose_host_is_killed_goes_on_from_its_state() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 1000);
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    let device = Served::until_done(&image, &own, ARENA);
    let session = [
        "--samples",
        "1000,0",
        "--batch",
        "20",
        "--epochs",
        "2",
        "--limit",
        "90",
        "--every",
        "7",
    ];
    let run = Run::new(dir.path(), &device.address, &session);
    let (mut dealer, mut p1) = (run.start_dealer(), run.start_p1());
    run.wait_for(10);
    kill(&mut p1);
    p1 = run.start_p1();
    run.wait_for(30);
    kill(&mut dealer);
    dealer = run.start_dealer();
    run.wait_for(45);
    for child in [&mut p1, &mut dealer] {
        kill(child);
    }
    (dealer, p1) = (run.start_dealer(), run.start_p1());
    run.check([p1, dealer], 90);
    assert_eq!(device.outcome(), Ok(()));
    let accuracy = run.accuracy();
    assert!(accuracy > 75.0, "{accuracy}");
}

#[cfg(unix)]
#[test]
fn a_party_beside_a_device_stops_at_the_next_checkpoint_of_both() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 1000);
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    let device = Served::until_done(&image, &own, ARENA);
    let session = [
        "--samples",
        "1000,0",
        "--batch",
        "20",
        "--limit",
        "50",
        "--every",
        "16",
    ];
    let run = Run::new(dir.path(), &device.address, &session);
    let (dealer, p1) = (run.start_dealer(), run.start_p1());
    run.wait_for(2);
    ringlet_tests::terminate(&p1);
    let (well, _, err) = end(p1);
    assert!(!well, "{err}");
    // Where it says that it will, and with the states of both.
    let noted = "p1 stops at the next checkpoint, after ";
    let told = err
        .lines()
        .find_map(|line| line.strip_prefix(noted)?.split(' ').next());
    let told: u32 = told.expect(&err).parse().expect("a number");
    assert!(told > 0 && told.is_multiple_of(16), "{err}");
    let stopped = format!("p1 stopped after {told} iterations");
    let line = err.lines().last().expect("a line");
    assert!(
        line.contains(&stopped) && line.contains("--resume"),
        "{err}"
    );
    for end in ["p0-", "p1-"].map(|role| format!("ck/{role}{told:010}")) {
        let kept = ["sealed", "checkpoint"].map(|kind| dir.path().join(format!("{end}.{kind}")));
        assert!(kept.iter().any(|path| path.exists()), "{kept:?}");
    }
    stop(dealer);
    let (dealer, p1) = (run.start_dealer(), run.start_p1());
    run.check([p1, dealer], 50);
    assert_eq!(device.outcome(), Ok(()));
}

#[test]
fn a_device_refuses_a_state_that_was_altered() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 200);
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    let device = Served::until_done(&image, &own, ARENA);
    let session = [
        "--samples",
        "200,0",
        "--batch",
        "20",
        "--limit",
        "10",
        "--every",
        "3",
    ];
    let run = Run::new(dir.path(), &device.address, &session);
    let (dealer, mut p1) = (run.start_dealer(), run.start_p1());
    run.wait_for(4);
    kill(&mut p1);
    stop(dealer);
    let sealed: Vec<PathBuf> = std::fs::read_dir(dir.path().join("ck"))
        .expect("a directory")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|name| name == "sealed"))
        .collect();
    assert!(!sealed.is_empty());
    let whole: Vec<Vec<u8>> = sealed
        .iter()
        .map(|path| std::fs::read(path).expect("a file"))
        .collect();
    for (path, bytes) in sealed.iter().zip(&whole) {
        let mut altered = bytes.clone();
        altered[bytes.len() / 2] ^= 1;
        std::fs::write(path, altered).expect("a file");
    }
    let (dealer, p1) = (run.start_dealer(), run.start_p1());
    let line = complaint(p1);
    assert!(line.contains("does not take its checkpoint back"), "{line}");
    stop(dealer);
    // The same device takes its own state.
    for (path, bytes) in sealed.iter().zip(&whole) {
        std::fs::write(path, bytes).expect("a file");
    }
    let (dealer, p1) = (run.start_dealer(), run.start_p1());
    run.check([p1, dealer], 10);
    assert_eq!(device.outcome(), Ok(()));
}

/// A board in QEMU with so many digits, and its record.
fn resettable(name: &str, dir: &Path, count: u32) -> Resettable {
    let own = record(ROOT, (Role::P1, &host(Role::P1)), lax());
    Resettable::start(name, dir, &pack(dir, 0, count), &own)
}

/// Resets a board, kills its host and the dealer at seeded moments, `count` times altogether.
fn cut_off(name: &str, seed: u8, count: u32, moments: [u64; 2], session: &[&str], iterations: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = session[1].split(',').next().expect("a number");
    let board = resettable(name, dir.path(), samples.parse().expect("a number"));
    let run = Run::new(dir.path(), &board.board.address, session);
    let mut children = [run.start_p1(), run.start_dealer()];
    let prg = Prg::new(Key::new([seed; Key::LEN]));
    run.wait_for(1);
    for cut in 0..count {
        let mut words = [0u64; 2];
        let address = Address {
            iteration: cut,
            gate: 0,
            wire: 0,
        };
        prg.fill(address, 0, &mut words);
        let [least, most] = moments;
        thread::sleep(Duration::from_millis(least + words[0] % (most - least)));
        let over = |child: &mut Child| child.try_wait().expect("a child").is_some();
        if children.iter_mut().any(over) {
            // A machine this fast is done before.
            assert!(cut > count / 2, "only {cut} were cut off");
            break;
        }
        match words[1] % 3 {
            0 => board.reset(),
            1 => {
                kill(&mut children[0]);
                children[0] = run.start_p1();
            }
            _ => {
                kill(&mut children[1]);
                children[1] = run.start_dealer();
            }
        }
    }
    run.check(children, iterations);
    println!("{name}: {count} cuts, {:.2} % right", run.accuracy());
}

#[test]
fn a_board_that_is_reset_goes_on_from_its_state() {
    let session = [
        "--samples",
        "400,0",
        "--batch",
        "20",
        "--limit",
        "20",
        "--every",
        "3",
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let board = resettable("riscv-virt", dir.path(), 400);
    let run = Run::new(dir.path(), &board.board.address, &session);
    let (dealer, p1) = (run.start_dealer(), run.start_p1());
    for moment in [5, 12] {
        run.wait_for(moment);
        board.reset();
    }
    run.check([p1, dealer], 20);
}

/// Two dozen cuts: `cargo test --release -p ringlet-tests --test durable-devices -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn two_dozen_cuts_change_nothing() {
    let session = [
        "--samples",
        "1400,0",
        "--batch",
        "20",
        "--limit",
        "420",
        "--every",
        "5",
    ];
    for seed in 1..4 {
        cut_off("riscv-virt", seed, 8, [2000, 6000], &session, 420);
    }
}

/// The same by the serial lines of boards with a Cortex-M.
#[test]
#[ignore = "takes minutes"]
fn cuts_change_nothing_on_serial_lines() {
    let session = [
        "--samples",
        "64,0",
        "--batch",
        "4",
        "--micro-batch",
        "2",
        "--epochs",
        "2",
        "--limit",
        "24",
        "--every",
        "4",
    ];
    for name in ["mps2-an386", "stm32f405"] {
        cut_off(name, 9, 3, [3000, 5000], &session, 24);
    }
}
