//! Boards in QEMU, with the firmware that `tests/run` builds.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use ringlet::{
    board::Emulated,
    data::{
        Images, Part,
        backbone::{Backbone, cut},
        load, model_file,
    },
    run::secrets::Secrets,
};
use ringlet_core::{
    Role,
    data::Normalisation,
    model::Model,
    num::Format,
    prg::{Key, device_key::session_secret},
    session::{ClassList, KnownBackbone, Protocol, Session, Task},
};
use ringlet_tests::{
    address, complaint,
    deployment::{Deployment, hello_len},
    emulated::{self, ROOT, keeps_to_its_budget, start_board},
    end, end_within,
    faulty_line::FaultyLine,
    mnist, record_with,
    served::fresh,
    start, stop, success, usual_headroom, wait_until,
};

/// The identities of all roles.
fn deployment() -> &'static Deployment {
    emulated::deployment(concat!(env!("CARGO_TARGET_TMPDIR"), "/boards"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A board in QEMU with the first built-in digits, or all of them, and their number.
fn emulate(name: &str, dir: &Path, count: Option<&str>) -> (Emulated, usize) {
    emulate_with(name, dir, count, None, (&[], &[]))
}

/// The same with the first images of a directory of IDX files, and further options of `data pack` and of QEMU.
fn emulate_with(
    name: &str,
    dir: &Path,
    count: Option<&str>,
    data: Option<&Path>,
    (packing, qemu): (&[&str], &[&str]),
) -> (Emulated, usize) {
    let image = dir.join("samples.bin");
    let mut pack = vec!["data", "pack", "--out", text(&image)];
    pack.extend(count.iter().flat_map(|count| ["--count", count]));
    pack.extend(data.iter().flat_map(|data| ["--data", text(data)]));
    pack.extend(packing);
    let packed = success(&pack);
    let number = packed.split_whitespace().next().expect("a number");
    let board = start_board(name, &image, dir, qemu);
    (board, number.parse().expect("a number"))
}

/// Starts P1 with the device at an address as P0, and the dealer.
fn party_beside_device(device: &str, samples: usize, more: &[&str]) -> [Child; 2] {
    let (at, samples) = (address(), format!("{samples},0"));
    let mut dealer = vec!["dealer", "--listen", &at, "--wait", "60"];
    dealer.extend(deployment().dealer());
    if more.contains(&"--secret-seed") {
        dealer.extend(["--secret-seed", "7"]);
    }
    let dealer = start(&dealer);
    let mut arguments = vec!["party", "--role", "p1", "--peer", device, "--dealer", &at];
    arguments.extend(["--idle", "120", "--samples", &samples]);
    if !more.contains(&"--model") {
        arguments.extend(["--model", "digits8"]);
    }
    arguments.extend(["--reveal-to", "p1"]);
    arguments.extend(deployment().p1());
    arguments.extend(more);
    [start(&arguments), dealer]
}

/// Trains with a board in several sessions of one iteration, with these batch and micro-batch sizes, some with a range
/// audit. The stack stays within the board's budget, in audits too.
fn train_with(name: &str, sessions: &[([&str; 2], bool)]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate(name, dir.path(), Some("64"));
    for ([batch, micro_batch], audited) in sessions {
        let model = dir.path().join("model.safetensors");
        let mut more = vec!["--batch", batch, "--micro-batch", micro_batch];
        more.extend(["--limit", "1", "--save", text(&model)]);
        if *audited {
            more.extend(["--audit", "1"]);
        }
        let ends = party_beside_device(&board.address, samples, &more).map(end);
        for (well, out, err) in &ends {
            assert!(well, "{out}{err}");
        }
        let said = &ends[0].1;
        let audit = "the audit found every value in its range";
        assert_eq!(said.contains(audit), *audited, "{said}");
        keeps_to_its_budget(name, said);
        assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
        std::fs::remove_file(&model).expect("a file");
    }
}

/// A session whose bytes are all known beforehand.
struct Known<'a> {
    board: &'static str,
    model: &'static str,
    /// IDX files, or the built-in digits.
    data: Option<&'a Path>,
    samples: &'static str,
    batch: u32,
    micro_batch: u32,
    limit: u32,
    /// Faults of the line among 100,000 bytes, or a line without a program in between.
    faults: Option<u64>,
    /// The layer up to which the board computes a public model in the clear.
    freeze: Option<&'static str>,
}

impl Known<'_> {
    const fn digits(board: &'static str, batch: u32) -> Self {
        Known {
            board,
            model: "digits8",
            data: None,
            samples: "64",
            batch,
            micro_batch: 2,
            limit: 3,
            faults: None,
            freeze: None,
        }
    }
}

/// With the same keys, the board sends the bytes that P0 sends on this machine. They contain no image and no label. The
/// stack stays within the board's budget. Returns what P1 said, how long it took, and the bytes that a faulty line
/// carried in each direction.
fn sends_what_a_host_would(known: Known<'_>) -> (String, Duration, [u64; 2]) {
    let dir = tempfile::tempdir().expect("a directory");
    let count = Some(known.samples);
    let public = known
        .freeze
        .map(|freeze| Public::new(dir.path(), known.model, freeze));
    let options = public.as_ref().map_or(Vec::new(), Public::options);
    let packing = match options.is_empty() {
        true => Vec::new(),
        false => [&options[..], &["--with-backbone"]].concat(),
    };
    let (board, samples) =
        emulate_with(known.board, dir.path(), count, known.data, (&packing, &[]));
    let model = dir.path().join("model.safetensors");
    let transcript = dir.path().join("transcript");
    let numbers = [known.batch, known.micro_batch, known.limit].map(|n| n.to_string());
    let mut more = vec!["--batch", &numbers[0], "--micro-batch", &numbers[1]];
    more.extend(["--limit", &numbers[2], "--model", known.model]);
    more.extend(known.data.iter().flat_map(|data| ["--data", text(data)]));
    more.extend([
        "--epochs",
        "1",
        "--lr",
        "0.0625",
        "--seed",
        "3",
        "--secret-seed",
        "7",
    ]);
    more.extend(&options);
    more.extend(["--save", text(&model), "--transcript", text(&transcript)]);
    let line = (known.faults).map(|share| FaultyLine::start(&board.address, share, 1));
    let address = line.as_ref().map_or(&board.address, |line| &line.address);
    let start = Instant::now();
    // A line with more faults than it has to carry takes minutes.
    let limit = Duration::from_secs(if known.faults > Some(1000) { 900 } else { 180 });
    let ends = party_beside_device(address, samples, &more);
    let [p1, dealer] = ends.map(|child| end_within(child, limit));
    assert!(p1.0 && dealer.0, "{p1:?}{dealer:?}");
    let time = start.elapsed();
    keeps_to_its_budget(known.board, &p1.1);
    let sent = std::fs::read(&transcript).expect("a transcript");

    let images = load(known.data, Part::Train).expect("images");
    let images = images.slice(0..samples);
    let model = Model::built_in(known.model).expect("built in");
    // The images as the board owns them, and the samples that it makes of them.
    let (own, front) = (images.clone(), public.map(Public::backbone));
    let (model, images) = match &front {
        Some((backbone, freeze)) => {
            let cut = cut(&model, freeze).expect("a layer");
            (cut.head, features(backbone, images))
        }
        None => (model, images),
    };
    let format = Format::new::<u32>(12).expect("widths that fit");
    let session = Session {
        headroom: usual_headroom(&model, format),
        model,
        format,
        normalisation: front.as_ref().map_or(Normalisation::NONE, |(backbone, _)| {
            let range = backbone.range().expect("a range");
            range.normalise().normalisation()
        }),
        task: Task::Train,
        protocol: Protocol::DEALT,
        samples: [samples as u32, 0],
        batch: known.batch,
        micro_batch: known.micro_batch,
        epochs: 1,
        limit: known.limit,
        learning_rate: 1 << 20,
        momentum: 7 << 21,
        training: Default::default(),
        class_weights: Default::default(),
        shuffle_seed: 3,
        receiver: Some(Role::P1),
        contributions: None,
        reveal_loss: false,
        initial_model: None,
        audit: 0,
        classes: ClassList::Unknown,
        backbone: match &front {
            Some((backbone, _)) => backbone.known(),
            None => KnownBackbone::Absent,
        },
    };
    let secrets = Secrets::Seed(7);
    let keys = secrets.dealer_keys().expect("keys");
    let weights = [
        session_secret(&Key::new(ROOT), &fresh(1)),
        secrets.initial_weights(Role::P1).expect("a secret"),
    ];
    let host = record_with(&session, &images, keys, weights);
    assert!(sent.len() > 50_000, "{}", sent.len());
    let expected = &host.peer[0][hello_len(Role::P0, &session)..];
    let differs = sent.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{:?}", (sent.len(), expected.len()));
    assert_eq!(sent.len(), expected.len());

    let sent: HashSet<&[u8]> = sent.windows(8).collect();
    for own in [&own.pixels, &images.pixels, &images.labels] {
        // Zeros occur everywhere. Windows of varied bytes must occur nowhere.
        let varied = |window: &&[u8]| window.iter().collect::<HashSet<_>>().len() >= 5;
        let mut windows = own.windows(8).filter(varied);
        assert!(windows.all(|window| !sent.contains(window)));
    }
    (
        p1.2 + &p1.1,
        time,
        line.map_or([0; 2], |line| line.carried()),
    )
}

/// A public model, of which a board computes the first layers in the clear.
struct Public {
    path: PathBuf,
    freeze: &'static str,
}

impl Public {
    /// The range of the features.
    const RANGE: &str = "0:3.5";

    /// Trains the model for a few iterations.
    fn new(dir: &Path, model: &str, freeze: &'static str) -> Self {
        let path = dir.join("public.safetensors");
        success(&[
            "train",
            "--model",
            model,
            "--limit",
            "20",
            "--seed",
            "1",
            "--save",
            text(&path),
        ]);
        Public { path, freeze }
    }

    /// The options that freeze its layers.
    fn options(&self) -> Vec<&str> {
        let path = text(&self.path);
        vec![
            "--freeze",
            self.freeze,
            "--backbone",
            path,
            "--feature-range",
            Public::RANGE,
        ]
    }

    /// Its layers as a host has them.
    fn backbone(self) -> (Backbone, &'static str) {
        let trained = model_file::load(&self.path, None).expect("a model");
        let normalise = trained.marks.normalise.clone().unwrap_or_default();
        let backbone = Backbone::of_model(&self.path, &trained, self.freeze, normalise);
        let range = Public::RANGE.parse().expect("a range");
        let backbone = backbone.and_then(|backbone| backbone.with_range(range));
        (backbone.expect("a backbone"), self.freeze)
    }
}

/// The features of images.
fn features(backbone: &Backbone, images: Images) -> Images {
    let mut pixels = Vec::new();
    let outside = backbone
        .features(&images.pixels, &mut pixels)
        .expect("features");
    assert!(outside < pixels.len() as u64 / 100);
    let distinct: HashSet<u8> = pixels.iter().copied().collect();
    assert!(distinct.len() > 100, "{}", distinct.len());
    Images {
        shape: backbone.output(),
        pixels,
        ..images
    }
}

/// On every board: its own first layers in integers, and only the features enter the protocol.
#[test]
fn boards_compute_frozen_layers_as_a_host_does() {
    for (board, batch) in [
        ("mps2-an386-fifo", 20),
        ("stm32f405", 6),
        ("riscv-virt", 20),
    ] {
        sends_what_a_host_would(Known {
            freeze: Some("conv1"),
            limit: 2,
            ..Known::digits(board, batch)
        });
    }
}

#[test]
fn a_cortex_m4_sends_what_a_host_would() {
    sends_what_a_host_would(Known::digits("mps2-an386", 6));
}

#[test]
fn a_cortex_m4_sends_what_a_host_would_over_fifos() {
    sends_what_a_host_would(Known::digits("mps2-an386-fifo", 20));
}

#[test]
fn an_stm32f405_sends_what_a_host_would() {
    sends_what_a_host_would(Known::digits("stm32f405", 6));
}

#[test]
fn a_riscv_board_sends_what_a_host_would() {
    sends_what_a_host_would(Known::digits("riscv-virt", 20));
}

#[test]
fn an_stm32f405_trains_over_a_line_that_faults_one_byte_in_a_hundred() {
    let (said, time, carried) = sends_what_a_host_would(Known {
        batch: 4,
        limit: 1,
        faults: Some(1000),
        ..Known::digits("stm32f405", 4)
    });
    println!("{time:.1?}, {carried:?} bytes");
    let told = said.lines().any(|line| {
        line.starts_with("the line to the device damaged ") && line.contains(" % of frames")
    });
    assert!(told, "{said}");
}

/// Prints the table of docs/src/devices.md.
#[test]
#[ignore = "measures for minutes"]
fn what_a_bad_line_costs() {
    println!("| bytes with a fault | time | bytes to the board | from it | frames damaged |");
    for faults in [0, 100, 300, 1000, 3000] {
        let (said, time, [there, back]) = sends_what_a_host_would(Known {
            faults: Some(faults),
            ..Known::digits("stm32f405", 6)
        });
        let told = said.lines().find_map(|line| {
            let rest = line.strip_prefix("the line to the device damaged ")?;
            rest.split_once(" of").map(|(share, _)| share)
        });
        println!(
            "| {} % | {:.0} s | {:.0} kB | {:.0} kB | {} |",
            faults as f64 / 1000.0,
            time.as_secs_f64(),
            there as f64 / 1000.0,
            back as f64 / 1000.0,
            told.unwrap_or("at most 1 %")
        );
    }
}

#[test]
fn securenns_networks_train_on_a_riscv_board() {
    let Some(data) = mnist() else {
        return;
    };
    for model in ["securenn-a", "securenn-d"] {
        sends_what_a_host_would(Known {
            board: "riscv-virt",
            model,
            data: Some(&data),
            samples: "4",
            batch: 4,
            micro_batch: 1,
            limit: 1,
            faults: None,
            freeze: None,
        });
    }
}

#[test]
fn convnet2_trains_on_a_cortex_m4() {
    let Some(data) = mnist() else {
        return;
    };
    // As much memory as a batch of 128 with micro-batches of one.
    sends_what_a_host_would(Known {
        board: "mps2-an386-fifo",
        model: "convnet2",
        data: Some(&data),
        samples: "6",
        batch: 3,
        micro_batch: 1,
        limit: 2,
        faults: None,
        freeze: None,
    });
}

/// Sends a debugger's command to QEMU, and waits for the answer.
fn debug(stub: &mut TcpStream, command: &str) {
    let sum = command.bytes().fold(0u8, u8::wrapping_add);
    write!(stub, "${command}#{sum:02x}").expect("a debugger's line");
    // A prompt, an acknowledgement, and the answer.
    let mut said = Vec::new();
    let whole = |said: &[u8]| {
        let acknowledged = said.iter().position(|&byte| byte == b'+');
        acknowledged.is_some_and(|at| said[at..].iter().rev().nth(2) == Some(&b'#'))
    };
    while !whole(&said) {
        let mut bytes = [0; 64];
        let count = stub.read(&mut bytes).expect("an answer");
        said.extend(&bytes[..count]);
    }
    write!(stub, "+").expect("a debugger's line");
}

/// Writes a register of a board, as a debugger does, in the middle of a session. The host must report a fault.
fn crash_by(board: &str, write: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let (at, transcript) = (address(), dir.path().join("transcript"));
    let qemu = ["-gdb", &format!("tcp:{at}")];
    let (board, samples) = emulate_with(board, dir.path(), Some("64"), None, (&[], &qemu));
    let model = dir.path().join("model.safetensors");
    let mut more = vec!["--batch", "8", "--micro-batch", "1", "--save", text(&model)];
    more.extend(["--transcript", text(&transcript)]);
    let [p1, dealer] = party_beside_device(&board.address, samples, &more);
    wait_until("the first bytes", Duration::from_secs(60), || {
        std::fs::metadata(&transcript).is_ok_and(|file| file.len() > 10_000)
    });
    let mut stub = TcpStream::connect(&at).expect("QEMU's debugger");
    let limit = Some(Duration::from_secs(10));
    stub.set_read_timeout(limit).expect("a time");
    debug(&mut stub, "?");
    // QEMU lets one register be written once the description of all has been read.
    debug(&mut stub, "qXfer:features:read:target.xml:0,200");
    debug(&mut stub, write);
    debug(&mut stub, "D");
    let line = complaint(p1);
    assert!(
        line.contains("has started anew: its processor met a fault"),
        "{line}"
    );
    stop(dealer);
}

#[test]
fn a_board_that_crashes_reports_it_after_its_restart() {
    // The processor continues at an address without memory.
    crash_by("mps2-an386", "Pf=000000f0");
}

#[test]
fn a_board_without_stack_left_reports_it_too() {
    // The stack pointer is past the end of the memory.
    crash_by("stm32f405", "Pd=00ffff1f");
}

#[test]
fn a_board_without_polynomials_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate("stm32f405", dir.path(), Some("16"));
    let model = dir.path().join("model.safetensors");
    let mut more = vec!["--batch", "4", "--save", text(&model)];
    more.extend(["--protocol", "spdz", "--ring", "u32"]);
    let [p1, dealer] = party_beside_device(&board.address, samples, &more);
    let line = complaint(p1);
    assert!(line.contains("leaves polynomials out"), "{line}");
    stop(dealer);
}

#[test]
fn a_board_that_is_switched_off_ends_the_host_with_a_clear_message() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut board, samples) = emulate("riscv-virt", dir.path(), None);
    let metrics = dir.path().join("metrics.jsonl");
    let model = dir.path().join("model.safetensors");
    let more = [
        "--batch",
        "20",
        "--metrics",
        text(&metrics),
        "--save",
        text(&model),
    ];
    let [p1, dealer] = party_beside_device(&board.address, samples, &more);
    wait_until("the first iterations", Duration::from_secs(60), || {
        std::fs::read_to_string(&metrics).is_ok_and(|lines| lines.lines().count() > 2)
    });
    board.process().kill().expect("a process");
    let line = complaint(p1);
    assert!(line.contains("it was unplugged or switched off"), "{line}");
    stop(dealer);
}

#[test]
fn a_cortex_m4_trains_with_a_host() {
    train_with("mps2-an386", &[(["8", "8"], true), (["8", "1"], false)]);
}

#[test]
fn an_stm32f405_trains_with_a_host() {
    train_with("stm32f405", &[(["4", "4"], false), (["4", "1"], true)]);
}

#[test]
fn a_riscv_board_trains_over_its_uart() {
    train_with("riscv-virt-uart", &[(["8", "8"], true)]);
}

#[test]
fn a_riscv_board_trains_over_tcp_for_an_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate("riscv-virt", dir.path(), None);
    let model = dir.path().join("model.safetensors");
    let metrics = dir.path().join("metrics.jsonl");
    let mut more = vec!["--batch", "20", "--epochs", "1", "--save", text(&model)];
    more.extend(["--metrics", text(&metrics)]);
    let lines = || std::fs::read_to_string(&metrics).map_or(0, |lines| lines.lines().count());
    // A host that leaves in the middle ends only its own session.
    let mut gone = party_beside_device(&board.address, samples, &more);
    wait_until("the first iterations", Duration::from_secs(60), || {
        lines() > 2
    });
    for process in &mut gone {
        process.kill().expect("a process");
        process.wait().expect("a process");
    }
    std::fs::remove_file(&metrics).expect("the metrics of the first");
    let start = Instant::now();
    for child in party_beside_device(&board.address, samples, &more) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    // A line for each iteration, and one each for the run, its epoch and its end.
    assert_eq!(lines(), samples.div_ceil(20) + 3);
    assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
    println!("an epoch of {samples} digits in {:.1?}", start.elapsed());
}
