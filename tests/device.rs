//! The firmware's code behind a pseudo-terminal on this machine.

use std::{
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::{Breach, MAX_RECORD_LEN, ModelId, NotFresh, Policy, RecordError, Status},
    model::Model,
    net::{LinkError, Remote},
    session::{
        RunError,
        handshake::{Actor, HandshakeError},
    },
};
use ringlet_device::{
    Stopped,
    fresh::{Counter, NoSource, Random},
};
use ringlet_tests::{
    address, complaint,
    deployment::{Deployment, host, lax, record},
    end, failure,
    faulty_line::FaultyLine,
    middle::{Attack, Middle},
    served::{CounterMemory, Served, pack},
    start, stop, wait_until,
};

/// The device's secret.
const ROOT: [u8; 32] = [9; 32];

/// Words of memory that are enough.
const ARENA: usize = 1 << 17;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The record of a device with the usual party.
fn record_with(policy: Policy) -> Vec<u8> {
    record(ROOT, (Role::P1, &host(Role::P1)), policy)
}

/// Starts the dealer.
fn start_dealer(deployment: &Deployment, at: &str) -> Child {
    let dealer = ["dealer", "--listen", at, "--wait", "20"];
    start(&[&dealer[..], &deployment.dealer()].concat())
}

/// Starts P1 with the device at an address as P0.
fn start_party(
    deployment: &Deployment,
    device: &str,
    dealer: &str,
    samples: &str,
    more: &[&str],
) -> Child {
    let party = [
        "party", "--role", "p1", "--peer", device, "--dealer", dealer,
    ];
    let session = ["--model", "digits8", "--samples", samples];
    let reveal = ["--reveal-to", "p1"];
    let idle: &[&str] = match more.contains(&"--idle") {
        true => &[],
        false => &["--idle", "60"],
    };
    start(&[&party[..], &session, idle, &reveal, &deployment.p1(), more].concat())
}

/// Starts P1 with the device at an address as P0, and the dealer.
fn party_beside_device(
    deployment: &Deployment,
    device: &str,
    samples: &str,
    more: &[&str],
) -> [Child; 2] {
    let at = address();
    let dealer = start_dealer(deployment, &at);
    [start_party(deployment, device, &at, samples, more), dealer]
}

#[test]
fn the_firmwares_code_trains_with_a_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 200);
    let model = dir.path().join("model.safetensors");
    let deployment = Deployment::new(dir.path(), ROOT);
    let device = Served::start(&image, &record_with(lax()), ARENA);
    let more = ["--batch", "20", "--limit", "12", "--save", text(&model)];
    let children = party_beside_device(&deployment, &device.address, "200,0", &more);
    let ends = children.map(end);
    for (well, out, err) in &ends {
        assert!(well, "{ends:?}");
        assert!(out.contains("done"), "{out}{err}");
    }
    assert_eq!(device.outcome(), Ok(()));
    assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
}

/// A session that the device refuses with this reason.
fn is_refused(device: Served, more: &[&str], reason: &str) -> Stopped {
    let dir = tempfile::tempdir().expect("a directory");
    let unwritten = dir.path().join("unwritten");
    let deployment = Deployment::new(dir.path(), ROOT);
    let save = ["--save", text(&unwritten)];
    let all = [more, &save].concat();
    let samples = if more.contains(&"60") { "60,0" } else { "50,0" };
    let more = all.iter().filter(|word| **word != "60");
    let more: Vec<&str> = more.copied().collect();
    let [p1, dealer] = party_beside_device(&deployment, &device.address, samples, &more);
    let line = complaint(p1);
    assert!(line.contains(reason), "{line}");
    stop(dealer);
    assert!(!unwritten.exists());
    device.outcome().expect_err("a refusal")
}

#[test]
fn a_device_refuses_what_it_cannot_run_with_both_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    for (arena, more, reason) in [
        (
            ARENA,
            "60",
            "counts on 60 samples of the device, which holds 50",
        ),
        (100, "--epochs=1", "bytes of memory and the device has 800"),
    ] {
        let device = Served::start(&image, &record_with(lax()), arena);
        let outcome = is_refused(device, &["--batch", "10", "--limit", "1", more], reason);
        assert!(matches!(outcome, Stopped::Refused(_)), "{outcome:?}");
    }
}

#[test]
fn a_device_without_a_record_or_a_fresh_value_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let options = ["--batch", "10", "--limit", "1"];
    let mut damaged = record_with(lax());
    damaged[20] ^= 1;
    for (record, error, reason) in [
        (
            vec![0xFF; MAX_RECORD_LEN],
            RecordError::Missing,
            "has no secret of its own: none is programmed",
        ),
        (
            damaged,
            RecordError::Damaged,
            "has no secret of its own: its record is damaged",
        ),
    ] {
        let device = Served::start(&image, &record, ARENA);
        let outcome = is_refused(device, &options, reason);
        assert_eq!(outcome, Stopped::Refused(Status::NoSecret(error)));
    }
    let device = Served::with(&image, &record_with(lax()), ARENA, NoSource);
    let outcome = is_refused(device, &options, "neither a hardware generator nor");
    let status = Status::NotFresh(NotFresh::NoSource);
    assert_eq!(outcome, Stopped::Refused(status));
    let stuck = Random(|| Some(0));
    let device = Served::with(&image, &record_with(lax()), ARENA, stuck);
    let outcome = is_refused(device, &options, "hardware generator fails");
    let status = Status::NotFresh(NotFresh::Generator);
    assert_eq!(outcome, Stopped::Refused(status));
}

#[test]
fn a_device_refuses_what_its_policy_forbids() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let ten = ["--batch", "10", "--limit", "1"];
    let one = ["--batch", "1", "--limit", "1"];
    let audited = ["--batch", "10", "--limit", "1", "--audit", "1"];
    let convnet = Model::built_in("convnet2").expect("built in");
    let reveal = Policy {
        reveal_to: [false, true],
        ..Policy::default()
    };
    let models = [ModelId::of(&convnet)].into_iter().collect();
    let (role, least) = (Role::P1, 64);
    for (policy, options, breach, reason) in [
        (
            Policy::default(),
            &ten[..],
            Breach::Receiver(role),
            "no model may be revealed to p1",
        ),
        (
            reveal.clone(),
            &one,
            Breach::Batch { asked: 1, least: 8 },
            "a batch has 8 samples at least",
        ),
        (
            reveal.clone(),
            &audited,
            Breach::AuditedBatch { asked: 10, least },
            "64 samples at least in a session with audits",
        ),
        (
            Policy { models, ..reveal },
            &ten,
            Breach::Model,
            "does not name this model",
        ),
    ] {
        let device = Served::start(&image, &record_with(policy), ARENA);
        let outcome = is_refused(device, options, reason);
        assert_eq!(outcome, Stopped::Refused(Status::Policy(breach)));
    }
    let stranger = record(ROOT, (Role::P1, &host(Role::P0)), lax());
    let device = Served::start(&image, &stranger, ARENA);
    let outcome = is_refused(device, &ten, "does not name this other party");
    assert_eq!(outcome, Stopped::Refused(Status::Policy(Breach::Peer)));
}

#[test]
fn a_device_counts_its_sessions_across_resets() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let deployment = Deployment::new(dir.path(), ROOT);
    let model = dir.path().join("model.safetensors");
    let few = record_with(Policy {
        most_sessions: 1,
        ..lax()
    });
    let options = ["--batch", "10", "--limit", "1"];
    let counter = CounterMemory::default();
    let device = Served::with(&image, &few, ARENA, Counter::new(counter.clone()));
    let save = [&options[..], &["--save", text(&model)]].concat();
    for child in party_beside_device(&deployment, &device.address, "50,0", &save) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    assert_eq!(device.outcome(), Ok(()));
    let device = Served::with(&image, &few, ARENA, Counter::new(counter));
    let outcome = is_refused(device, &options, "there are 1 sessions at most");
    let status = Status::Policy(Breach::Sessions(1));
    assert_eq!(outcome, Stopped::Refused(status));
    let mut word = 0;
    let uncounted = Random(move || {
        word += 1;
        Some(word)
    });
    let device = Served::with(&image, &few, ARENA, uncounted);
    let outcome = is_refused(device, &options, "no counter of them");
    assert_eq!(outcome, Stopped::Refused(Status::Policy(Breach::Uncounted)));
}

#[test]
fn another_device_than_the_rosters_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let other = record([8; 32], (Role::P1, &host(Role::P1)), lax());
    let device = Served::start(&image, &other, ARENA);
    let deployment = Deployment::new(dir.path(), ROOT);
    let more = ["--batch", "10", "--limit", "1"];
    let unwritten = dir.path().join("unwritten");
    let more = [&more[..], &["--save", text(&unwritten)]].concat();
    let [p1, dealer] = party_beside_device(&deployment, &device.address, "50,0", &more);
    let line = complaint(p1);
    assert!(line.contains("not the identity that the roster"), "{line}");
    stop(dealer);
}

/// The device could not authenticate its dealer, and so met nobody else.
const UNAUTHENTIC: Stopped = Stopped::Meeting(
    Actor::Dealer,
    HandshakeError::Link(LinkError::Unauthentic(Remote::Dealer)),
);

/// With a dealer's old answers, a device would use every mask again. With `fraction` 12 in one session and 11 in the
/// other, each pixel could be read off the difference of what it sends.
#[test]
fn a_dealers_answers_do_not_serve_a_device_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let deployment = Deployment::new(dir.path(), ROOT);
    let model = dir.path().join("model.safetensors");
    let options = ["--batch", "10", "--limit", "1", "--wait", "5"];
    let save = [&options[..], &["--save", text(&model)]].concat();
    let counter = CounterMemory::default();
    let before = counter.copy();
    let device = Served::with(
        &image,
        &record_with(lax()),
        ARENA,
        Counter::new(counter.clone()),
    );
    let at = address();
    let dealer = start_dealer(&deployment, &at);
    let middle = Middle::before(&at, Attack::Listen);
    let p1 = start_party(&deployment, &device.address, &middle.address, "50,0", &save);
    for child in [p1, dealer] {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    assert_eq!(device.outcome(), Ok(()));
    let [_, answers] = middle.said();
    assert!(answers.len() > 100, "{}", answers.len());

    // The session key, played back to a device that has been reset.
    let replay = |counter, fraction, patience| {
        let counter = Counter::new(counter);
        let device = Served::with(&image, &record_with(lax()), ARENA, counter);
        let at = address();
        let dealer = start_dealer(&deployment, &at);
        let middle = Middle::before(&at, Attack::Replay(answers.clone()));
        let fraction = ["--fraction-bits", fraction, "--wait", patience];
        let unwritten = dir.path().join("unwritten");
        let more = ["--batch", "10", "--limit", "1", "--save", text(&unwritten)];
        let p1 = start_party(
            &deployment,
            &device.address,
            &middle.address,
            "50,0",
            &[&more[..], &fraction].concat(),
        );
        let line = complaint(p1);
        stop(dealer);
        (line, device.outcome())
    };
    for fraction in ["11", "12"] {
        let (line, outcome) = replay(counter.clone(), fraction, "5");
        assert!(line.contains("could not prove its identity"), "{line}");
        assert_eq!(outcome, Err(UNAUTHENTIC));
    }
    // Only with its fresh value set back would a device take them, in the very same session.
    let (_, outcome) = replay(before.copy(), "11", "5");
    assert_eq!(outcome, Err(UNAUTHENTIC));
    let (_, outcome) = replay(before, "12", "2");
    assert_ne!(outcome, Err(UNAUTHENTIC));
}

#[test]
fn a_changed_bit_between_a_device_and_its_dealer_ends_the_session_everywhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let deployment = Deployment::new(dir.path(), ROOT);
    // From the dealer: a welcome of 8 bytes, a handshake of 48, a frame with the key, the end of the session. From the
    // device: a greeting of about 100 bytes, a handshake of 48. (Who has its own end confirmed and confirms the other one cannot
    // know whether that arrives; the dealer would still see it.)
    for attack in [
        Attack::FlipDown(7),
        Attack::FlipDown(20),
        Attack::FlipDown(70),
        Attack::FlipDown(125),
        Attack::FlipUp(60),
        Attack::FlipUp(130),
    ] {
        let device = Served::start(&image, &record_with(lax()), ARENA);
        let at = address();
        let dealer = ["dealer", "--listen", &at, "--wait", "4", "--idle", "4"];
        let dealer = start(&[&dealer[..], &deployment.dealer()].concat());
        let middle = Middle::before(&at, attack);
        let unwritten = dir.path().join("unwritten");
        let more = ["--batch", "10", "--limit", "1", "--wait", "4"];
        let more = [&more[..], &["--save", text(&unwritten)]].concat();
        let p1 = start_party(&deployment, &device.address, &middle.address, "50,0", &more);
        let line = complaint(p1);
        println!("{line}");
        let (well, _, err) = end(dealer);
        assert!(!well, "{err}");
        device.outcome().expect_err("a broken session");
        assert!(!unwritten.exists());
    }
}

#[test]
fn addresses_that_hold_no_device_are_told() {
    let away = "serial:/nowhere/ttyACM0";
    let arguments = [
        "party",
        "--role",
        "p1",
        "--insecure",
        "--dealer",
        "127.0.0.1:9",
        "--samples",
        "9,0",
        "--batch",
        "3",
        "--peer",
    ];
    let line = failure(&[&arguments[..], &[away]].concat());
    assert!(line.contains("/nowhere/ttyACM0 cannot be opened"), "{line}");
    let line = failure(&[&arguments[..], &["serial:/dev/null?baud=x"]].concat());
    assert!(line.contains("x is no speed"), "{line}");
    let gone = format!("tcp:{}", address());
    let line = failure(&[&arguments[..], &[gone.as_str(), "--wait", "1"]].concat());
    assert!(line.contains("cannot reach the device at 127"), "{line}");
}

/// Faults among 100,000 bytes of a line that carries nothing longer than an acknowledgement any more.
const DEAD: u64 = 30_000;

#[test]
fn a_line_that_damages_a_third_of_all_bytes_does_not_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 50);
    let deployment = Deployment::new(dir.path(), ROOT);
    let device = Served::start(&image, &record_with(lax()), ARENA);
    let line = FaultyLine::start(&device.address, DEAD, 1);
    let unwritten = dir.path().join("unwritten");
    let more = ["--batch", "10", "--wait", "5", "--save", text(&unwritten)];
    let (at, begun) = (address(), Instant::now());
    let p1 = start_party(&deployment, &line.address, &at, "50,0", &more);
    let said = complaint(p1);
    assert!(said.contains("does not answer"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{said}");
}

#[test]
fn a_line_that_dies_ends_the_session_on_both_sides() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), 0, 200);
    let deployment = Deployment::new(dir.path(), ROOT);
    let device = Served::start(&image, &record_with(lax()), ARENA);
    let line = FaultyLine::start(&device.address, 0, 1);
    let unwritten = dir.path().join("unwritten");
    let more = ["--batch", "20", "--idle", "10", "--save", text(&unwritten)];
    let [p1, dealer] = party_beside_device(&deployment, &line.address, "200,0", &more);
    wait_until("the first bytes", Duration::from_secs(60), || {
        line.carried()[1] > 50_000
    });
    line.set_share(DEAD);
    let begun = Instant::now();
    let said = complaint(p1);
    println!("{said} after {:.1?}", begun.elapsed());
    assert!(said.contains("silent for too long"), "{said}");
    assert!(said.contains("the line to the device damaged"), "{said}");
    let silent = LinkError::Silent(Remote::Peer);
    assert_eq!(device.outcome(), Err(Stopped::Run(RunError::Link(silent))));
    println!("the device after {:.1?}", begun.elapsed());
    assert!(!unwritten.exists());
    let (well, _, err) = end(dealer);
    assert!(!well && err.contains("error: "), "{err}");
}
