//! Boards that contribute the samples in their flash, and gateways between them and the leader.

use std::{path::Path, thread, time::Duration};

use ringlet::{
    board::Emulated,
    data::{Images, Part, load},
    links::device_address::DeviceAddress,
    run::device::{open_device, wake},
};
use ringlet_core::{
    contribution::{Header, Received},
    device::{Contributed, GatewayHello, NotFresh, Status, UploadAnswer, channel},
    net::{Link, Remote, serial::mux::Channel},
};
use ringlet_device::Stopped;
use ringlet_tests::{
    complaint,
    deployment::Deployment,
    emulated::start_contributor,
    failure,
    faulty_line::FaultyLine,
    ringlet,
    served::{Contributing, Served, pack},
    start, success, text,
};

use crate::{
    https::post,
    servers::Servers,
    uploads::{opened, plain},
};

const OPEN: [&str; 6] = [
    "--input",
    "8x8x1",
    "--class-count",
    "10",
    "--open",
    "--normalise=0.3:0.4",
];

/// The boards, the number of their first digit, and how many they have.
const BOARDS: [(&str, usize, usize); 3] = [
    ("mps2-an386", 0, 3),
    ("stm32f405", 10, 2),
    ("riscv-virt", 20, 4),
];

/// Draws the secret of a device that contributes, in a file of a directory. Returns the file, and the line of its public key.
fn drawn(dir: &Path) -> (String, String) {
    let record = dir.join("record.bin").display().to_string();
    let public = success(&["data", "secret", "--contribute", "--out", &record]);
    (record, public)
}

/// Packs digits for a device that contributes, in a file of a directory. Two of them go in an upload.
fn packed(dir: &Path, task: &str, first: usize, count: usize) -> String {
    let samples = dir.join("samples.bin").display().to_string();
    let [first, count] = [first, count].map(|number| number.to_string());
    let pack = ["data", "pack", "--task", task, "--per-upload", "2"];
    success(
        &[
            &pack[..],
            &["--first", &first, "--count", &count, "--out", &samples],
        ]
        .concat(),
    );
    samples
}

/// Both for a device.
fn prepare(dir: &Path, task: &str, first: usize, count: usize) -> [String; 2] {
    [packed(dir, task, first, count), drawn(dir).0]
}

/// What samples of the digits are without masks.
fn wanted(servers: &Servers, digits: &Images, first: usize, count: usize) -> Vec<Vec<u16>> {
    let sample = |at: usize| plain(&servers.task, digits.image(at), digits.labels[at]);
    (first..first + count).map(sample).collect()
}

/// Contributes from a board in QEMU with this record, three times: to another task, from the beginning, and after a loss of power.
fn contributes(
    servers: &Servers,
    other: &Servers,
    ((name, first, count), record): ((&str, usize, usize), &str),
) {
    let dir = Path::new(record).parent().expect("a directory");
    let (task, other) = (servers.file("task.toml"), other.file("task.toml"));
    let samples = packed(dir, &task, first, count);
    let switched_on = || start_contributor(name, samples.as_ref(), record.as_ref());
    let passed_on = |board: &Emulated, task: &str| {
        ringlet(&["contribute", "--device", &board.address, "--task", task])
    };
    let board = switched_on();
    let refused = text(&passed_on(&board, &other).stderr);
    assert!(
        refused.contains("error: the device contributes to another task"),
        "{refused}"
    );
    let said = passed_on(&board, &task);
    let (names, notes) = (text(&said.stdout), text(&said.stderr));
    assert!(said.status.success(), "{name}: {notes}");
    println!("{name}: {notes}");
    let uploads = count.div_ceil(2);
    assert!(
        notes.contains(&format!("{count} samples, in {uploads} uploads; ")),
        "{notes}"
    );
    // The stack is the board's own measure, and the most that firmware of a party has too.
    let stack = notes.split("It took ").nth(1).expect("the stack");
    let stack: f64 = stack
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number");
    assert!(stack < 24.0, "{notes}");
    assert_eq!(names.lines().count(), uploads);
    // It keeps nothing: what it sends after a loss of power is there already.
    drop(board);
    let board = switched_on();
    let again = passed_on(&board, &task);
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout), names);
    assert!(text(&again.stderr).contains(&format!("{uploads} uploads, {uploads} of them before")));
}

#[test]
fn boards_contribute_what_is_in_their_flash() {
    // Each board is an owner that the task names.
    let dirs = BOARDS.map(|_| tempfile::tempdir().expect("a directory"));
    let drawn = dirs.each_ref().map(|dir| drawn(dir.path()));
    let owners = dirs[0].path().join("owners.txt").display().to_string();
    let lines: String = drawn.iter().map(|(_, public)| public.as_str()).collect();
    std::fs::write(&owners, lines).expect("a file");
    let named = [
        &OPEN[..4],
        &[OPEN[5], "--owners", &owners, "--least-owners", "3"],
    ]
    .concat();
    let mut servers = Servers::new(&named);
    let other = Servers::new(&OPEN);
    servers.start_all();
    thread::scope(|scope| {
        for (board, (record, _)) in BOARDS.into_iter().zip(&drawn) {
            let (servers, other) = (&servers, &other);
            scope.spawn(move || contributes(servers, other, (board, record)));
        }
    });
    assert_eq!(servers.command(0, &["status"])["owners"], 3);
    servers.command(0, &["list"]);
    let opened = opened(&servers, 1);
    servers.end_all();
    let digits = load(None, Part::Train).expect("the digits");
    let mut all: Vec<_> = BOARDS
        .iter()
        .flat_map(|&(_, first, count)| wanted(&servers, &digits, first, count))
        .collect();
    let mut opened = opened;
    // Which board is first is left to chance.
    all.sort();
    opened.sort();
    assert!(opened == all, "{} {}", opened.len(), all.len());
}

#[test]
fn one_command_contributes_from_a_board_in_qemu() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let task = servers.file("task.toml");
    let qemu = ["qemu", "--board", "riscv-virt", "--contribute", &task];
    let said = ringlet(&[&qemu[..], &["--count", "2"]].concat());
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(text(&said.stdout).lines().count(), 1);
    assert_eq!(servers.command(0, &["status"])["contributions"], 2);
    servers.command(0, &["list"]);
    let opened = opened(&servers, 1);
    servers.end_all();
    let digits = load(None, Part::Train).expect("the digits");
    assert!(opened == wanted(&servers, &digits, 0, 2));
    let line = failure(&[&qemu[..], &["--count", "2000"]].concat());
    assert!(line.contains("there are 1498 digits"), "{line}");
    let line = failure(&[&qemu[..], &["--epochs", "2"]].concat());
    assert!(line.contains("cannot be used with"), "{line}");
}

/// The firmware's code on this machine with prepared samples, and another record if there is one.
fn contributing([samples, record]: &[String; 2]) -> Contributing {
    let read = |path: &String| std::fs::read(path).expect("a file");
    Contributing::start(read(samples), read(record))
}

/// A gateway that changes a byte of what a device sends, passes it on to the leader, and tells the device what that says. Returns
/// what the device has heard.
fn damaging_gateway(servers: &Servers, address: &str, at: usize) -> (u16, Contributed) {
    let address = DeviceAddress::parse(address).expect("an address");
    let wait = Duration::from_secs(20);
    let mux = open_device(&address.expect("a device"), wait, wait).expect("a device");
    let link = |number| Link::new(Channel::new(&mux, number), Remote::Peer, 0);
    let (mut control, mut line) = (link(channel::CONTROL), link(channel::UPLOADS));
    let introduction = wake(&mux).expect("a device");
    assert_eq!(introduction.fresh, Err(NotFresh::Contributes));
    let task = servers.task.id;
    GatewayHello { task }.send(&mut control).expect("a device");
    let offer = Status::receive(&mut control);
    let (uploads, samples) = (1, 2);
    assert_eq!(offer, Ok(Status::Offers { uploads, samples }));
    let mut upload = vec![0; Header::LEN];
    line.receive(&mut upload).expect("a header");
    let header = Header::read(&upload).expect("a header");
    upload.resize(header.upload_len(&servers.task.task), 0);
    line.receive(&mut upload[Header::LEN..]).expect("an upload");
    assert!(Received::read(&servers.task.task, &upload).is_ok());
    upload[at] ^= 1;
    let (status, code) = post(&servers.task, &upload);
    let code = code.as_str().try_into().expect("a code");
    let answer = UploadAnswer::Refused(code);
    answer.send(&mut control).expect("a device");
    let Ok(Status::Contributed(contributed)) = Status::receive(&mut control) else {
        panic!("no end");
    };
    // The device ends its line as soon as it has everything.
    let _ = mux.borrow_mut().finish();
    (status, contributed)
}

#[test]
fn a_device_hears_that_a_gateway_has_changed_its_upload() {
    let mut servers = Servers::new(&OPEN);
    servers.start_all();
    let dir = tempfile::tempdir().expect("a directory");
    let files = prepare(dir.path(), &servers.file("task.toml"), 0, 2);
    // A masked value, and the seal to P1.
    let end = Header::LEN + 2 * servers.task.task.contribution_len();
    for at in [Header::LEN + 5, end + 100] {
        let device = contributing(&files);
        let (status, heard) = damaging_gateway(&servers, &device.address, at);
        assert_eq!((status, heard.taken, heard.repeated), (422, 0, 0), "{at}");
        let refused = UploadAnswer::Refused("seals-differ".try_into().expect("a code"));
        assert_eq!(device.outcome(), Err(Stopped::NotTaken(refused)));
    }
    assert_eq!(servers.command(0, &["status"])["uploads"], 0);
    // The same device, by an honest gateway.
    let device = contributing(&files);
    let task = servers.file("task.toml");
    let pass_on = |address: &str| ringlet(&["contribute", "--task", &task, "--device", address]);
    let line = FaultyLine::start(&device.address, 0, 1);
    let said = pass_on(&line.address);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert_eq!(device.outcome(), Ok(()));
    let (upload, carried) = (end + 272, line.carried());
    println!("an upload of {upload} bytes: {carried:?} bytes on the line");
    // Frames, acknowledgements and messages.
    assert!(carried.iter().sum::<u64>() < upload as u64 * 5 / 4 + 512);
    // Its owner takes the upload back, and the device hears that too.
    let name = text(&said.stdout).trim().to_owned();
    success(&["contribute", "--task", &task, "--withdraw", &name]);
    let device = contributing(&files);
    let said = text(&pass_on(&device.address).stderr);
    assert!(
        said.contains("error: the leader refuses: it was withdrawn"),
        "{said}"
    );
    let withdrawn = UploadAnswer::Refused("withdrawn".try_into().expect("a code"));
    assert_eq!(device.outcome(), Err(Stopped::NotTaken(withdrawn)));
    // While P1 is away the device is told to come later.
    servers.kill(1);
    let other = tempfile::tempdir().expect("a directory");
    let files = prepare(other.path(), &task, 2, 2);
    let device = contributing(&files);
    let address = device.address.clone();
    let line = failure(&[
        "contribute",
        "--task",
        &task,
        "--device",
        &address,
        "--wait",
        "1",
    ]);
    assert!(line.contains("try again later"), "{line}");
    assert_eq!(
        device.outcome(),
        Err(Stopped::NotTaken(UploadAnswer::Later))
    );
}

#[test]
fn devices_and_gateways_that_do_not_fit_say_so() {
    let servers = Servers::new(&OPEN);
    let dir = tempfile::tempdir().expect("a directory");
    let task = servers.file("task.toml");
    let files = prepare(dir.path(), &task, 0, 2);
    let refused = |image: Vec<u8>, record: Vec<u8>, line: &str| {
        let device = Contributing::start(image, record);
        let said = failure(&["contribute", "--task", &task, "--device", &device.address]);
        assert!(said.contains(line), "{said}");
        assert!(matches!(device.outcome(), Err(Stopped::Refused(_))));
    };
    let [samples, record] = files
        .each_ref()
        .map(|path| std::fs::read(path).expect("a file"));
    // Samples for a party have no task behind them.
    let plain = std::fs::read(pack(dir.path(), 0, 2)).expect("a file");
    refused(
        plain,
        record.clone(),
        "the device has no task: there is none behind its samples",
    );
    let mut damaged = samples.clone();
    damaged.pop();
    refused(
        damaged,
        record.clone(),
        "the device has no task: its image is damaged",
    );
    refused(vec![0xFF; 64], record.clone(), "the device has no samples");
    refused(
        samples.clone(),
        vec![0xFF; 512],
        "the device has no secret of its own",
    );
    // A device that is a party.
    let deployment = Deployment::new(dir.path(), [9; 32]);
    let party = Served::start(files[0].as_ref(), &record, 1 << 10);
    let said = failure(&["contribute", "--task", &task, "--device", &party.address]);
    assert!(
        said.contains("the device's firmware is a party's"),
        "{said}"
    );
    // A party that is to train with a device that contributes.
    let device = Contributing::start(samples, record);
    let party = [
        "party",
        "--role",
        "p1",
        "--peer",
        &device.address,
        "--dealer",
        "127.0.0.1:1",
        "--model",
        "digits8",
        "--samples",
        "2,0",
        "--batch",
        "2",
    ];
    let line = complaint(start(&[&party[..], &deployment.p1()].concat()));
    assert!(
        line.contains("contributes samples, and is no party"),
        "{line}"
    );
    let out = servers.file("unwritten");
    let line = failure(&[
        "data",
        "pack",
        "--task",
        &task,
        "--per-upload",
        "0",
        "--out",
        &out,
    ]);
    assert!(line.contains("--per-upload 0 is not from 1"), "{line}");
    let line = failure(&["contribute", "--task", &task, "--device", "here"]);
    assert!(line.contains("here is no address of a device"), "{line}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_device_that_the_task_does_not_name_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let (_, public) = drawn(other.path());
    let named = [
        "--input",
        "8x8x1",
        "--class-count",
        "10",
        "--owner",
        public.trim(),
    ];
    let mut servers = Servers::new(&named);
    servers.start_all();
    let task = servers.file("task.toml");
    let device = contributing(&prepare(dir.path(), &task, 0, 2));
    let line = failure(&["contribute", "--task", &task, "--device", &device.address]);
    assert!(
        line.contains("it is not signed by an owner of the task"),
        "{line}"
    );
    assert!(
        line.contains("name the key that `ringlet data secret` printed"),
        "{line}"
    );
    let unknown = UploadAnswer::Refused("unknown-owner".try_into().expect("a code"));
    assert_eq!(device.outcome(), Err(Stopped::NotTaken(unknown)));
    // The device that the task names.
    let record = other.path().join("record.bin").display().to_string();
    let device = contributing(&[packed(other.path(), &task, 0, 2), record]);
    success(&["contribute", "--task", &task, "--device", &device.address]);
    assert_eq!(device.outcome(), Ok(()));
    assert_eq!(servers.command(0, &["status"])["owners"], 1);
    let line = failure(&["qemu", "--board", "riscv-virt", "--contribute", &task]);
    assert!(line.contains("the task names its owners"), "{line}");
    servers.end_all();
}
