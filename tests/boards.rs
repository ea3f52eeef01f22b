//! Boards in QEMU, with the firmware that `tests/run` builds.

use std::{
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use ringlet::board::{Board, Emulated};
use ringlet_tests::{address, end, start, success, wait_until};

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
    std::fs::write(&secret, [5; 32]).expect("a file");
    let board = board.start(&firmware, &image, &secret);
    (board.expect("a board"), number.parse().expect("a number"))
}

/// Starts P1 beside the device at a plug, and the dealer.
fn beside(plug: &str, samples: usize, more: &[&str]) -> [Child; 2] {
    let (at, samples) = (address(), format!("{samples},0"));
    let dealer = start(&["dealer", "--listen", &at, "--wait", "30"]);
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
