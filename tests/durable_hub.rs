//! Two devices at a hub whose run is cut off: the hub and the dealer are killed or stopped, and the boards are reset. Each run
//! goes on from the devices' sealed states, and ends with the right number of iterations and a model that has learnt.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Duration,
};

use embedded_io::{ErrorType, Read, Write};
use ringlet::{
    data::{
        Part, load,
        sealed_state_file::{list, read},
    },
    reference::twin::Twin,
    run::collect::join,
};
use ringlet_core::{
    Role,
    data::Normalisation,
    dealt::{Plan, Trainer},
    device::{Belonging, Opener},
    model::Model,
    net::{Link, Remote},
    num::Format,
    prg::{Address, Key, Prg},
    session::{ClassList, KnownBackbone, Protocol, Session, Task},
};
use ringlet_tests::{
    address, complaint,
    deployment::{Deployment, device, lax, record},
    end, failure,
    resettable::Resettable,
    served::{Served, pack},
    start, stop, terminate, usual_headroom, wait_until,
};

/// The root secrets of the devices that are P0 and P1.
const ROOTS: [[u8; 32]; 2] = [[5; 32], [6; 32]];

/// Words of memory that are enough.
const ARENA: usize = 1 << 17;

/// What a run is asked for.
#[derive(Clone, Copy)]
struct Asked {
    /// Images of P0 and of P1.
    samples: [u32; 2],
    batch: u32,
    micro_batch: u32,
    limit: u32,
    /// Iterations from one checkpoint to the next.
    every: u32,
}

impl Asked {
    /// A short run of two devices on this machine.
    const SHORT: Self = Asked {
        samples: [120, 80],
        batch: 20,
        micro_batch: 10,
        limit: 30,
        every: 4,
    };

    fn options(self) -> Vec<String> {
        let [p0, p1] = self.samples;
        let text = format!(
            "--samples {p0},{p1} --batch {} --micro-batch {} --limit {} --every {} --seed 3",
            self.batch, self.micro_batch, self.limit, self.every
        );
        text.split(' ').map(str::to_owned).collect()
    }

    fn session(self) -> Session {
        let model = Model::built_in("digits8").expect("built in");
        let format = Format::new::<u32>(12).expect("widths that fit");
        Session {
            headroom: usual_headroom(&model, format),
            model,
            format,
            normalisation: Normalisation::NONE,
            task: Task::Train,
            protocol: Protocol::DEALT,
            samples: self.samples,
            batch: self.batch,
            micro_batch: self.micro_batch,
            epochs: 12,
            limit: self.limit,
            learning_rate: 1 << 19,
            momentum: 7 << 21,
            training: Default::default(),
            class_weights: Default::default(),
            shuffle_seed: 3,
            receiver: None,
            contributions: None,
            reveal_loss: false,
            initial_model: None,
            audit: 0,
            classes: ClassList::Unknown,
            backbone: KnownBackbone::Absent,
        }
    }
}

/// The digits of each device.
fn pack_own(dir: &Path, [p0, p1]: [u32; 2]) -> [PathBuf; 2] {
    [pack(dir, 0, p0), pack(dir, p0, p1)]
}

/// The record of the device in this role, which may meet the other one.
fn own_record(role: Role) -> Vec<u8> {
    let peer = device(ROOTS[role.other().index()]);
    record(ROOTS[role.index()], (role.other(), &peer), lax())
}

/// Two devices on this machine, which serve until a session ends well.
fn serve_two(dir: &Path, asked: Asked) -> [Served; 2] {
    let images = pack_own(dir, asked.samples);
    Role::BOTH.map(|role| Served::until_done(&images[role.index()], &own_record(role), ARENA))
}

/// A run of the hub and of the dealer.
struct Run {
    states: PathBuf,
    deployment: Deployment,
    devices: [String; 2],
    dealer: String,
    asked: Asked,
}

impl Run {
    fn new(dir: &Path, devices: [&str; 2], asked: Asked) -> Self {
        Run {
            states: dir.join("states"),
            deployment: Deployment::with(dir, ROOTS.map(device)),
            devices: devices.map(str::to_owned),
            dealer: address(),
            asked,
        }
    }

    fn start_dealer(&self) -> Child {
        let dealer = ["dealer", "--listen", &self.dealer, "--wait", "60"];
        start(&[&dealer[..], &self.deployment.dealer()].concat())
    }

    fn start_hub(&self) -> Child {
        self.hub("--resume", self.asked)
    }

    fn hub(&self, option: &str, asked: Asked) -> Child {
        let [p0, p1] = &self.devices;
        let states = self.states.to_str().expect("UTF-8");
        let mut hub = vec!["hub", "--p0", p0, "--p1", p1, "--dealer", &self.dealer];
        hub.extend(["--model", "digits8", "--wait", "60", "--idle", "60"]);
        let options = asked.options();
        hub.extend(options.iter().map(String::as_str));
        start(&[&hub[..], &[option, states]].concat())
    }

    /// The files of the states of a device, the earliest first.
    fn files(&self, role: Role) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.states).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
        files.retain(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            name.starts_with(&format!("{role}-")) && name.ends_with(".sealed")
        });
        files.sort();
        files
    }

    /// Waits until both devices' states before this iteration or a later one are there, while the hub runs.
    fn wait_for(&self, hub: &mut Child, iteration: u32) {
        let has = |role| {
            let last = self.files(role).pop();
            last.is_some_and(|last| {
                let name = last.file_stem().expect("a name").to_string_lossy();
                name[3..].parse::<u32>().expect("a number") >= iteration
            })
        };
        wait_until("a checkpoint", Duration::from_secs(120), || {
            if hub.try_wait().expect("a child").is_some() {
                let mut said = String::new();
                let err = hub.stderr.as_mut().expect("its errors");
                let _ = std::io::Read::read_to_string(err, &mut said);
                panic!("the hub ended early: {said}");
            }
            has(Role::P0) && has(Role::P1)
        });
    }

    /// Checks that both end well, after all iterations. Returns what the hub has said.
    fn check(&self, [hub, dealer]: [Child; 2]) -> String {
        let ends = [hub, dealer].map(end);
        assert!(ends.iter().all(|(well, ..)| *well), "{ends:?}");
        let done = format!("done; {} iterations", self.asked.limit);
        assert!(ends[0].1.contains(&done), "{ends:?}");
        ends[0].2.clone()
    }

    /// The share of held-out digits that the model classifies right to which both devices' last states add up, in percent.
    fn accuracy(&self) -> f64 {
        let session = self.asked.session();
        let network = ringlet_core::dealt::check::<u32>(&session).expect("a session that runs");
        let [p0, p1] = Role::BOTH.map(|role| {
            let kept = list(&self.states, role, &session).expect("states");
            let id = *kept.last().expect("a state");
            assert_eq!(id.iteration, self.asked.limit);
            let sealed = read(&self.states, role, id).expect("a state");
            let plan = Plan::new(&session, &network);
            let mut memory = vec![0; plan.arena_words::<u32>(role)];
            let mut opened = vec![0; plan.opened_data_words(role)];
            let own = Key::new(ROOTS[role.index()]);
            let mut party =
                Trainer::<u32>::new(&session, &network, role, &own, &mut memory, &mut opened)
                    .expect("a party");
            let belonging = Belonging {
                role,
                session: &session,
                peer: device(ROOTS[role.other().index()]).public(),
                id,
            };
            let mut link = Link::new(Bytes(&sealed), Remote::Peer, 0);
            let mut opener =
                Opener::new(&mut link, &own, belonging, plan.state_len()).expect("a fresh value");
            let taken = party.read_state(id.iteration, |bytes| opener.read(bytes));
            taken.expect("the device's own state");
            let stage = |stage| {
                let shares = party.parameters(stage);
                shares.map(|share| u128::from(share.reveal())).collect()
            };
            (0..network.stages.len())
                .map(stage)
                .collect::<Vec<Vec<u128>>>()
        });
        let model = join(&network, &session, &p0, &p1);
        let images = load(None, Part::Test).expect("built-in digits");
        100.0 * Twin::new(&network, &session, model).accuracy(&images)
    }
}

/// Bytes that are read from the first to the last.
struct Bytes<'a>(&'a [u8]);

impl ErrorType for Bytes<'_> {
    type Error = Infallible;
}

impl Read for Bytes<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        self.0.read(bytes).map_err(|error| match error {})
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn kill(child: &mut Child) {
    child.kill().expect("to kill");
    child.wait().expect("its end");
}

#[test]
fn a_hub_that_is_stopped_or_killed_goes_on_from_both_states() {
    let dir = tempfile::tempdir().expect("a directory");
    let [p0, p1] = serve_two(dir.path(), Asked::SHORT);
    let run = Run::new(dir.path(), [&p0.address, &p1.address], Asked::SHORT);
    let (mut dealer, mut hub) = (run.start_dealer(), run.start_hub());
    run.wait_for(&mut hub, 4);
    terminate(&hub);
    // It waits for the next checkpoint of both, so nothing is done again.
    let (well, _, err) = end(hub);
    let line = err.lines().last().expect("a line");
    assert!(
        !well && err.contains("stops at the next checkpoint"),
        "{err}"
    );
    assert!(line.contains("the hub stopped"), "{err}");
    assert!(line.contains("go on with --resume"), "{line}");
    let mut hub = run.start_hub();
    run.wait_for(&mut hub, 12);
    kill(&mut hub);
    hub = run.start_hub();
    run.wait_for(&mut hub, 20);
    kill(&mut dealer);
    dealer = run.start_dealer();
    let said = run.check([hub, dealer]);
    assert!(said.contains("the run goes on after"), "{said}");
    assert_eq!([p0.outcome(), p1.outcome()], [Ok(()), Ok(())]);
    assert_eq!(Role::BOTH.map(|role| run.files(role).len()), [2, 2]);
    let accuracy = run.accuracy();
    println!("{accuracy:.2} % right");
    assert!(accuracy > 50.0, "{accuracy}");
}

#[test]
fn states_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let [p0, p1] = serve_two(dir.path(), Asked::SHORT);
    let run = Run::new(dir.path(), [&p0.address, &p1.address], Asked::SHORT);
    let (dealer, mut hub) = (run.start_dealer(), run.hub("--checkpoint", Asked::SHORT));
    run.wait_for(&mut hub, 8);
    kill(&mut hub);
    stop(dealer);
    let other = Asked {
        batch: 10,
        ..Asked::SHORT
    };
    for (option, asked, told) in [
        ("--resume", other, "different batch sizes"),
        ("--checkpoint", Asked::SHORT, "holds checkpoints of p0"),
    ] {
        let line = complaint(run.hub(option, asked));
        assert!(line.contains(told), "{line}");
    }
    // A state that was altered is refused by the device that sealed it.
    let files = run.files(Role::P1);
    let whole: Vec<Vec<u8>> = files
        .iter()
        .map(|path| std::fs::read(path).expect("a file"))
        .collect();
    for (path, bytes) in files.iter().zip(&whole) {
        let mut altered = bytes.clone();
        *altered.last_mut().expect("bytes") ^= 1;
        std::fs::write(path, altered).expect("a file");
    }
    let dealer = run.start_dealer();
    let line = complaint(run.start_hub());
    assert!(line.contains("p1: the device does not take"), "{line}");
    stop(dealer);
    // Without states of P1 those of P0 are of no use.
    for path in &files {
        std::fs::remove_file(path).expect("a file");
    }
    let dealer = run.start_dealer();
    let line = complaint(run.start_hub());
    assert!(
        line.contains("no state of one belongs to a state"),
        "{line}"
    );
    stop(dealer);
    for (path, bytes) in files.iter().zip(&whole) {
        std::fs::write(path, bytes).expect("a file");
    }
    let said = run.check([run.start_hub(), run.start_dealer()]);
    assert!(said.contains("the run goes on after"), "{said}");
    assert_eq!([p0.outcome(), p1.outcome()], [Ok(()), Ok(())]);
}

#[test]
fn a_state_that_cannot_be_written_ends_the_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let [p0, p1] = serve_two(dir.path(), Asked::SHORT);
    let run = Run::new(dir.path(), [&p0.address, &p1.address], Asked::SHORT);
    let (dealer, mut hub) = (run.start_dealer(), run.start_hub());
    run.wait_for(&mut hub, 4);
    std::fs::rename(&run.states, dir.path().join("elsewhere")).expect("a directory");
    let line = complaint(hub);
    assert!(line.contains(".sealed cannot be written"), "{line}");
    assert!(line.contains("this one with --resume"), "{line}");
    stop(dealer);
    std::fs::rename(dir.path().join("elsewhere"), &run.states).expect("a directory");
    run.check([run.start_hub(), run.start_dealer()]);
    assert_eq!([p0.outcome(), p1.outcome()], [Ok(()), Ok(())]);
}

#[test]
fn a_hub_without_states_refuses_nothing_but_options() {
    let line = failure(&[
        "hub",
        "--p0",
        "pty:/a",
        "--p1",
        "pty:/b",
        "--dealer",
        "127.0.0.1:9",
        "--samples",
        "9,0",
        "--batch",
        "3",
        "--resume",
        "/dev/null/states",
    ]);
    assert!(line.contains("/dev/null/states cannot be made"), "{line}");
}

/// Two boards in QEMU with digits of their own.
fn emulate_two(names: [&str; 2], dir: &Path, asked: Asked) -> [Resettable; 2] {
    let images = pack_own(dir, asked.samples);
    Role::BOTH.map(|role| {
        let at = role.index();
        Resettable::start(names[at], dir, &images[at], &own_record(role))
    })
}

#[test]
fn two_boards_at_a_hub_that_is_killed_go_on_from_their_states() {
    let dir = tempfile::tempdir().expect("a directory");
    let asked = Asked {
        samples: [60, 60],
        batch: 10,
        limit: 14,
        every: 3,
        ..Asked::SHORT
    };
    let boards = emulate_two(["mps2-an386-fifo", "riscv-virt"], dir.path(), asked);
    let addresses = boards.each_ref().map(|board| board.board.address.as_str());
    let run = Run::new(dir.path(), addresses, asked);
    let (dealer, mut hub) = (run.start_dealer(), run.start_hub());
    run.wait_for(&mut hub, 6);
    kill(&mut hub);
    let said = run.check([run.start_hub(), dealer]);
    assert!(said.contains("the run goes on after"), "{said}");
    let accuracy = run.accuracy();
    println!("{accuracy:.2} % right");
    assert!(accuracy > 40.0, "{accuracy}");
}

/// Kills the hub or the dealer, or resets a board, at seeded moments, `count` times altogether.
fn cut_off(names: [&str; 2], seed: u8, count: u32, moments: [u64; 2], asked: Asked) {
    let dir = tempfile::tempdir().expect("a directory");
    let boards = emulate_two(names, dir.path(), asked);
    let addresses = boards.each_ref().map(|board| board.board.address.as_str());
    let run = Run::new(dir.path(), addresses, asked);
    let mut children = [run.start_hub(), run.start_dealer()];
    let prg = Prg::new(Key::new([seed; Key::LEN]));
    run.wait_for(&mut children[0], asked.every);
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
        match words[1] % 4 {
            0 => boards[0].reset(),
            1 => boards[1].reset(),
            2 => {
                kill(&mut children[0]);
                children[0] = run.start_hub();
            }
            _ => {
                kill(&mut children[1]);
                children[1] = run.start_dealer();
            }
        }
    }
    run.check(children);
    println!("{names:?}: {count} cuts, {:.2} % right", run.accuracy());
}

/// Two dozen cuts: `cargo test --release -p ringlet-tests --test durable-hub -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn two_dozen_cuts_change_nothing() {
    let asked = Asked {
        samples: [700, 700],
        limit: 70,
        every: 5,
        ..Asked::SHORT
    };
    for seed in 1..4 {
        cut_off(["riscv-virt"; 2], seed, 8, [2000, 6000], asked);
    }
}
