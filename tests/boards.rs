//! Boards in QEMU, with the firmware that `tests/run` builds.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use ringlet::{
    board::{Board, Emulated},
    data::{Part, load},
    secrets::Secrets,
};
use ringlet_core::{
    Role, fixed::Format, model::Model, pairing::session_secret, prg::Key, session::Session,
    triples::Triples,
};
use ringlet_tests::{
    address, complaint, dealer_key_file, end, record_with, start, success, wait_until,
};

/// The secret that every board is given.
const ROOT: [u8; 32] = [5; 32];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A board in QEMU with the first built-in digits, or all of them, and how many they are.
fn emulate(name: &str, dir: &Path, count: Option<&str>) -> (Emulated, usize) {
    let board = Board::named(name).expect("a board");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let firmware: PathBuf = board.firmware(&folder);
    let missing = || format!("{} is missing: tests/run builds it", firmware.display());
    assert!(firmware.is_file(), "{}", missing());
    let (image, secret) = (dir.join("samples.bin"), dir.join("secret.bin"));
    let mut pack = vec!["data", "pack", "--out", text(&image)];
    pack.extend(count.iter().flat_map(|count| ["--count", count]));
    let packed = success(&pack);
    let number = packed.split_whitespace().next().expect("a number");
    std::fs::write(&secret, ROOT).expect("a file");
    let board = board.start(&firmware, &image, &secret);
    (board.expect("a board"), number.parse().expect("a number"))
}

/// Starts P1 beside the device at a plug, and the dealer.
fn beside(plug: &str, samples: usize, more: &[&str]) -> [Child; 2] {
    let (at, samples) = (address(), format!("{samples},0"));
    let shared = dealer_key_file(ROOT);
    let mut dealer = vec!["dealer", "--listen", &at, "--wait", "30"];
    dealer.extend(["--p0-key", text(&shared)]);
    if more.contains(&"--secret-seed") {
        dealer.extend(["--secret-seed", "7"]);
    }
    let dealer = start(&dealer);
    let mut arguments = vec!["party", "--role", "p1", "--peer", plug, "--dealer", &at];
    arguments.extend(["--idle", "120", "--model", "digits8", "--samples", &samples]);
    arguments.extend(["--reveal-to", "p1"]);
    arguments.extend(more);
    [start(&arguments), dealer]
}

/// Trains with a board for one session after another, each of these batch and micro-batch sizes, one
/// iteration each.
fn train_with(board: &str, sessions: &[[&str; 2]]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate(board, dir.path(), Some("64"));
    for [batch, micro_batch] in sessions {
        let model = dir.path().join("model.safetensors");
        let mut more = vec!["--batch", batch, "--micro-batch", micro_batch];
        more.extend(["--limit", "1", "--save", text(&model)]);
        for child in beside(&board.plug, samples, &more) {
            let (well, out, err) = end(child);
            assert!(well, "{out}{err}");
        }
        assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
        std::fs::remove_file(&model).expect("a file");
    }
}

/// With the same keys, everything that the board sends to the peer is what P0 sends on this machine, byte for
/// byte; and none of it is an image or a label.
fn sends_what_a_host_would(board: &str, batch: u32) {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate(board, dir.path(), Some("64"));
    let model = dir.path().join("model.safetensors");
    let transcript = dir.path().join("transcript");
    let rows = batch.to_string();
    let mut more = vec!["--batch", &rows, "--micro-batch", "2", "--limit", "3"];
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
    more.extend(["--save", text(&model), "--transcript", text(&transcript)]);
    for child in beside(&board.plug, samples, &more) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let sent = std::fs::read(&transcript).expect("a transcript");

    let images = load(None, Part::Train)
        .expect("built-in digits")
        .slice(0..samples);
    let session = Session {
        model: Model::built_in("digits8").expect("built in"),
        format: Format::new::<u32>(12).expect("widths that fit"),
        triples: Triples::Fused,
        samples: [samples as u32, 0],
        batch,
        micro_batch: 2,
        epochs: 1,
        limit: 3,
        learning_rate: 1 << 20,
        momentum: 7 << 21,
        order: 3,
        receiver: Some(Role::P1),
    };
    let secrets = Secrets::Seed(7);
    let keys = secrets.dealer_keys().expect("keys");
    let nonce = secrets.nonce().expect("a nonce");
    let weights = [
        session_secret(&Key::new(ROOT), nonce),
        secrets.first_weights(Role::P1).expect("a secret"),
    ];
    let host = record_with(&session, &images, keys, weights);
    assert!(sent.len() > 50_000, "{}", sent.len());
    let differs = sent.iter().zip(&host.peer[0]).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{:?}", (sent.len(), host.peer[0].len()));
    assert_eq!(sent.len(), host.peer[0].len());

    let sent: HashSet<&[u8]> = sent.windows(8).collect();
    for own in [&images.pixels, &images.labels] {
        // Runs of zeros stand everywhere; what varies must stand nowhere.
        let varied = |window: &&[u8]| window.iter().collect::<HashSet<_>>().len() >= 5;
        let mut windows = own.windows(8).filter(varied);
        assert!(windows.all(|window| !sent.contains(window)));
    }
}

#[test]
fn a_cortex_m4_sends_what_a_host_would() {
    sends_what_a_host_would("mps2-an386", 6);
}

#[test]
fn a_cortex_m4_sends_what_a_host_would_over_fifos() {
    sends_what_a_host_would("mps2-an386-fifo", 20);
}

#[test]
fn an_stm32f405_sends_what_a_host_would() {
    sends_what_a_host_would("stm32f405", 6);
}

#[test]
fn a_riscv_board_sends_what_a_host_would() {
    sends_what_a_host_would("riscv-virt", 20);
}

#[test]
fn a_board_that_is_switched_off_ends_the_host_with_a_clear_word() {
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
    let [p1, mut dealer] = beside(&board.plug, samples, &more);
    wait_until("the first iterations", Duration::from_secs(60), || {
        std::fs::read_to_string(&metrics).is_ok_and(|lines| lines.lines().count() > 1)
    });
    board.process().kill().expect("a process");
    let line = complaint(p1);
    assert!(line.contains("it was unplugged or switched off"), "{line}");
    dealer.kill().expect("a process");
    dealer.wait().expect("a process");
}

#[test]
fn a_cortex_m4_trains_with_a_host() {
    train_with("mps2-an386", &[["8", "8"], ["8", "1"]]);
}

#[test]
fn an_stm32f405_trains_with_a_host() {
    train_with("stm32f405", &[["4", "4"], ["4", "1"]]);
}

#[test]
fn a_riscv_board_trains_over_its_uart() {
    train_with("riscv-virt-uart", &[["8", "8"]]);
}

#[test]
fn a_riscv_board_trains_over_tcp_for_an_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let (board, samples) = emulate("riscv-virt", dir.path(), None);
    let model = dir.path().join("model.safetensors");
    let metrics = dir.path().join("metrics.jsonl");
    let mut more = vec!["--batch", "20", "--epochs", "1", "--save", text(&model)];
    more.extend(["--metrics", text(&metrics)]);
    let iterations = || std::fs::read_to_string(&metrics).map_or(0, |lines| lines.lines().count());
    // A host that leaves in the middle costs its own session alone.
    let mut gone = beside(&board.plug, samples, &more);
    wait_until("the first iterations", Duration::from_secs(60), || {
        iterations() > 1
    });
    for process in &mut gone {
        process.kill().expect("a process");
        process.wait().expect("a process");
    }
    std::fs::remove_file(&metrics).expect("the metrics of the first");
    let start = Instant::now();
    for child in beside(&board.plug, samples, &more) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    // A line for each iteration and one for the epoch.
    assert_eq!(iterations(), samples.div_ceil(20) + 1);
    assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
    println!("an epoch of {samples} digits in {:.1?}", start.elapsed());
}
