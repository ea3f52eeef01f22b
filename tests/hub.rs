//! Two devices that train with each other over the hub: the firmware's code behind pseudo-terminals on this machine, and
//! boards in QEMU.

use std::{
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use ringlet::{
    board::{Board, Emulated},
    data::{Images, Part, load},
    links::sealed_bytes::to_peer,
    run::{dry_run, secrets::Secrets},
};
use ringlet_core::{
    Role,
    data::Normalisation,
    model::Model,
    net::secure::Suite,
    num::Format,
    prg::{Key, device_key::session_secret},
    session::{ClassList, KnownBackbone, Protocol, Session, Task},
};
use ringlet_device::Stopped;
use ringlet_tests::{
    address, complaint,
    deployment::{Deployment, device, hello_len, lax, record, unsealed},
    end, failure, record_with,
    served::{Served, fresh, pack},
    start, stop, usual_headroom, wait_until,
};

/// The root secrets of the devices that are P0 and P1.
const ROOTS: [[u8; 32]; 2] = [[5; 32], [6; 32]];
/// Images in a batch, and iterations.
const BATCH: u32 = 6;
const LIMIT: u32 = 2;

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The digits of each device. One without samples gets an image too, which it must not read.
fn pack_own(dir: &Path, samples: [u32; 2]) -> [PathBuf; 2] {
    let [p0, p1] = samples;
    [pack(dir, 0, p0), pack(dir, p0, p1.max(1))]
}

/// The record of the device in this role, which may meet the other one.
fn own_record(role: Role) -> Vec<u8> {
    let peer = device(ROOTS[role.other().index()]);
    record(ROOTS[role.index()], (role.other(), &peer), lax())
}

/// Both devices on this machine.
fn serve_two(images: &[PathBuf; 2], arena: usize) -> [Served; 2] {
    Role::BOTH.map(|role| Served::start(&images[role.index()], &own_record(role), arena))
}

/// Starts the hub between the devices at these addresses, and the dealer.
fn start_hub(dir: &Path, addresses: [&str; 2], [p0, p1]: [u32; 2], more: &[&str]) -> [Child; 2] {
    let (at, samples) = (address(), format!("{p0},{p1}"));
    let deployment = Deployment::with(dir, ROOTS.map(device));
    // Emulated devices take long to answer where others compute.
    let wait = ["--wait", "120"];
    let dealer = ["dealer", "--listen", &at, "--secret-seed", "7"];
    let dealer = start(&[&dealer[..], &wait, &deployment.dealer()].concat());
    let mut hub = vec![
        "hub",
        "--p0",
        addresses[0],
        "--p1",
        addresses[1],
        "--dealer",
        &at,
    ];
    hub.extend(["--model", "digits8", "--samples", &samples, "--idle", "100"]);
    hub.extend(more);
    [start(&hub), dealer]
}

/// Waits until P1 has sent enough to be in training.
fn wait_for_bytes(kept: &Path) {
    wait_until("the first bytes", Duration::from_secs(180), || {
        std::fs::metadata(kept.join("p1.sent")).is_ok_and(|file| file.len() > 10_000)
    });
}

/// Trains with two devices in their session of this number. Under their seals they send, with the same keys, what hosts would
/// send, byte for byte.
fn send_what_hosts_would(
    dir: &Path,
    addresses: [&str; 2],
    samples: [u32; 2],
    number: u64,
) -> String {
    let kept = dir.join("kept");
    let (batch, limit) = (BATCH.to_string(), LIMIT.to_string());
    let mut more = vec!["--batch", &batch, "--micro-batch", "3", "--limit", &limit];
    more.extend(["--seed", "3", "--transcript", name(&kept)]);
    let [hub, dealer] = start_hub(dir, addresses, samples, &more).map(end);
    assert!(hub.0 && dealer.0, "{hub:?}{dealer:?}");
    let sent = ["p0.sent", "p1.sent"].map(|file| std::fs::read(kept.join(file)).expect("kept"));
    let session = session(samples);
    is_as_long_as_planned(&session, &sent);
    let sent = unsealed(&sent, ROOTS, &session, number);
    let expected = hosts_send(&session, number);
    for (role, (sent, expected)) in Role::BOTH.into_iter().zip(sent.iter().zip(&expected)) {
        let expected = &expected[hello_len(role, &session)..];
        assert!(sent.len() > 20_000, "{}", sent.len());
        let differs = sent.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{role} of {} bytes", sent.len());
        assert_eq!(sent.len(), expected.len(), "{role}");
    }
    hub.1
}

/// What passes between the devices is as long as it can be known beforehand: the greeting or its answer, the handshake, the
/// frames and the end.
fn is_as_long_as_planned(session: &Session, sent: &[Vec<u8>; 2]) {
    let network = ringlet_core::dealt::check::<u32>(session).expect("a session that runs");
    // A greeting also names the wanted role, the identity and the suite. The answer is a welcome without checkpoints.
    let greetings = [hello_len(Role::P0, session) + 2 + 32 + 1, 6 + 3];
    for (role, greeting) in Role::BOTH.into_iter().zip(greetings) {
        let planned = dry_run::sent::<u32>(session, &network, role, 0).expect("a dry run");
        let planned = greeting as u64 + to_peer(planned, role, Suite::Device, role == Role::P0);
        assert_eq!(sent[role.index()].len() as u64, planned, "{role}");
    }
}

fn session(samples: [u32; 2]) -> Session {
    let model = Model::built_in("digits8").expect("built in");
    let format = Format::new::<u32>(12).expect("widths that fit");
    Session {
        headroom: usual_headroom(&model, format),
        model,
        format,
        normalisation: Normalisation::NONE,
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples,
        batch: BATCH,
        micro_batch: 3,
        epochs: 12,
        limit: LIMIT,
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
        backbone: KnownBackbone::Unknown,
    }
}

/// The bytes that both parties send to each other in the same session on this machine.
fn hosts_send(session: &Session, number: u64) -> [Vec<u8>; 2] {
    let secrets = Secrets::Seed(7);
    let weights = ROOTS.map(|root| session_secret(&Key::new(root), &fresh(number)));
    let images: Images = load(None, Part::Train).expect("built-in digits");
    let images = images.slice(0..session.total_samples() as usize);
    let keys = secrets.dealer_keys().expect("keys");
    record_with(session, &images, keys, weights).peer
}

#[test]
fn two_devices_send_what_hosts_would() {
    for samples in [[40, 0], [25, 30]] {
        let dir = tempfile::tempdir().expect("a directory");
        let images = pack_own(dir.path(), samples);
        let [p0, p1] = serve_two(&images, 1 << 17);
        let said = send_what_hosts_would(dir.path(), [&p0.address, &p1.address], samples, 1);
        assert!(said.contains("done; 2 iterations"), "{said}");
        assert_eq!(said.matches("of its memory").count(), 2, "{said}");
        assert_eq!([p0.outcome(), p1.outcome()], [Ok(()), Ok(())]);
    }
}

#[test]
fn a_device_that_lacks_memory_for_the_others_samples_is_named_with_both_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    let images = pack_own(dir.path(), [900, 0]);
    // The opened samples take 900 times 64 words of 4 bytes.
    let [p0, p1] = serve_two(&images, 25_000);
    let [hub, dealer] = start_hub(
        dir.path(),
        [&p0.address, &p1.address],
        [900, 0],
        &["--batch", "6"],
    );
    let line = complaint(hub);
    assert!(line.contains("p1: the session takes"), "{line}");
    assert!(line.contains("the device has 200000"), "{line}");
    stop(dealer);
    assert!(matches!(p1.outcome(), Err(Stopped::Refused(_))));
}

#[test]
fn a_dealer_that_is_gone_ends_the_hub() {
    let dir = tempfile::tempdir().expect("a directory");
    let images = pack_own(dir.path(), [400, 0]);
    let [p0, p1] = serve_two(&images, 1 << 17);
    let kept = dir.path().join("kept");
    let more = ["--transcript", name(&kept)];
    let [hub, dealer] = start_hub(dir.path(), [&p0.address, &p1.address], [400, 0], &more);
    wait_for_bytes(&kept);
    stop(dealer);
    let line = complaint(hub);
    assert!(line.contains("the dealer closed the link"), "{line}");
}

#[test]
fn wrong_addresses_are_refused() {
    let hub = |p0, p1| {
        let more = ["--samples", "9,0", "--batch", "3", "--wait", "1"];
        let arguments = ["hub", "--p0", p0, "--p1", p1, "--dealer", "127.0.0.1:9"];
        failure(&[&arguments[..], &more].concat())
    };
    let line = hub("192.168.1.7:7001", "pty:/nowhere");
    assert!(line.contains("names no line to a device"), "{line}");
    let line = hub("pty:/nowhere", "serial:/nowhere");
    assert!(line.contains("both devices are to be at"), "{line}");
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
        "--audit",
        "2",
    ]);
    assert!(line.contains("leave out --audit"), "{line}");
    let line = hub("pty:/nowhere", "pty:/neither");
    assert!(line.contains("p0: /nowhere cannot be opened"), "{line}");
}

/// A board in QEMU with this image.
fn emulate(board: &str, dir: &Path, image: &Path, role: Role) -> Emulated {
    let board = Board::named(board).expect("a board");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let firmware = board.firmware(&folder);
    let missing = || format!("{} is missing: tests/run builds it", firmware.display());
    assert!(firmware.is_file(), "{}", missing());
    // Each board counts its sessions beside its record.
    let own = tempfile::tempdir_in(dir).expect("a directory").keep();
    let record = own.join("record.bin");
    std::fs::write(&record, own_record(role)).expect("a file");
    let board = board.start(&firmware, image, &record);
    board.expect("a board")
}

/// Two boards with samples of their own.
fn emulate_two(boards: [&str; 2], dir: &Path, samples: [u32; 2]) -> [Emulated; 2] {
    let images = pack_own(dir, samples);
    Role::BOTH.map(|role| emulate(boards[role.index()], dir, &images[role.index()], role))
}

#[test]
fn two_riscv_boards_send_what_hosts_would() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = [30, 20];
    let [p0, p1] = emulate_two(["riscv-virt", "riscv-virt"], dir.path(), samples);
    let addresses = [p0.address.as_str(), &p1.address];
    send_what_hosts_would(dir.path(), addresses, samples, 1);
    // The boards can do another session.
    send_what_hosts_would(dir.path(), addresses, samples, 2);
}

#[test]
fn a_cortex_m4_and_a_riscv_board_send_what_hosts_would() {
    let dir = tempfile::tempdir().expect("a directory");
    let samples = [40, 0];
    let [p0, p1] = emulate_two(["mps2-an386", "riscv-virt"], dir.path(), samples);
    let said = send_what_hosts_would(dir.path(), [&p0.address, &p1.address], samples, 1);
    println!("{said}");
}

#[test]
fn a_board_that_is_switched_off_is_named() {
    for gone in [0, 1] {
        let dir = tempfile::tempdir().expect("a directory");
        let samples = [60, 0];
        let mut boards = emulate_two(["riscv-virt", "riscv-virt"], dir.path(), samples);
        let kept = dir.path().join("kept");
        let more = ["--batch", "20", "--transcript", name(&kept)];
        let addresses = boards.each_ref().map(|board| board.address.as_str());
        let [hub, dealer] = start_hub(dir.path(), addresses, samples, &more);
        wait_for_bytes(&kept);
        boards[gone].process().kill().expect("a process");
        let line = complaint(hub);
        let told = format!("p{gone}: the device at");
        assert!(line.contains(&told), "{line}");
        assert!(line.contains("it was unplugged or switched off"), "{line}");
        stop(dealer);
    }
}
