//! The firmware's code behind a pseudo-terminal on this machine.

use std::{
    path::{Path, PathBuf},
    process::Child,
};

use ringlet_core::device::Status;
use ringlet_device::Stopped;
use ringlet_tests::{
    address, complaint, dealer_key_file, end, failure, served::Served, start, stop, success,
};

/// The device's secret.
const ROOT: [u8; 32] = [9; 32];

/// Instead of an option: the dealer gets no key for the device.
const UNSEALED: &str = "unsealed";
/// Instead of an option: the dealer gets the key of another device.
const FOREIGN: &str = "foreign";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// An image of the first built-in digits.
fn pack(dir: &Path, count: &str) -> PathBuf {
    let out = dir.join("samples.bin");
    success(&["data", "pack", "--count", count, "--out", text(&out)]);
    out
}

/// Starts P1 with the device at an address as P0, and the dealer.
fn party_beside_device(device: &str, samples: &str, more: &[&str]) -> [Child; 2] {
    let at = address();
    let shared = dealer_key_file(if more.contains(&FOREIGN) {
        [8; 32]
    } else {
        ROOT
    });
    let mut dealer = vec!["dealer", "--listen", &at, "--wait", "30"];
    if !more.contains(&UNSEALED) {
        dealer.extend(["--p0-key", text(&shared)]);
    }
    let dealer = start(&dealer);
    let mut arguments = vec![
        "party",
        "--role",
        "p1",
        "--peer",
        device,
        "--dealer",
        &at,
        "--idle",
        "120",
        "--model",
        "digits8",
        "--samples",
        samples,
        "--reveal-to",
        "p1",
    ];
    let options = more
        .iter()
        .filter(|word| ![UNSEALED, FOREIGN].contains(word));
    arguments.extend(options);
    [start(&arguments), dealer]
}

/// Serves one session with the firmware's code. `client` gets the address. Returns how the session ended.
fn device(image: &Path, arena: usize, client: impl FnOnce(&str)) -> Result<(), Stopped> {
    device_of(image, ROOT, arena, client)
}

/// The same with another root secret of the device.
fn device_of(
    image: &Path,
    root: [u8; 32],
    arena: usize,
    client: impl FnOnce(&str),
) -> Result<(), Stopped> {
    let served = Served::start(image, root, arena);
    client(&served.address);
    served.outcome()
}

#[test]
fn the_firmwares_code_trains_with_a_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "200");
    let model = dir.path().join("model.safetensors");
    let outcome = device(&image, 1 << 17, |address| {
        let more = ["--batch", "20", "--limit", "12", "--save", text(&model)];
        for child in party_beside_device(address, "200,0", &more) {
            let (well, out, err) = end(child);
            assert!(well, "{out}{err}");
            assert!(out.contains("done"), "{out}");
        }
    });
    assert_eq!(outcome, Ok(()));
    assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
}

#[test]
fn a_device_refuses_what_it_cannot_run_with_both_figures() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "50");
    let unwritten = dir.path().join("unwritten");
    for (arena, samples, reason) in [
        (
            1 << 17,
            "60,0",
            "counts on 60 samples of the device, which holds 50",
        ),
        (100, "50,0", "bytes of memory and the device has 800"),
    ] {
        let outcome = device(&image, arena, |address| {
            let [p1, dealer] = party_beside_device(
                address,
                samples,
                &["--batch", "10", "--limit", "1", "--save", text(&unwritten)],
            );
            let line = complaint(p1);
            assert!(line.contains(reason), "{line}");
            stop(dealer);
        });
        assert!(matches!(outcome, Err(Stopped::Refused(_))), "{outcome:?}");
    }
}

#[test]
fn a_key_that_is_not_the_devices_and_a_secret_that_is_none_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "50");
    let unwritten = dir.path().join("unwritten");
    let options = ["--batch", "10", "--limit", "1", "--save", text(&unwritten)];
    for (root, more, reason, status) in [
        (
            ROOT,
            FOREIGN,
            "sealed the device's key for another device",
            Status::Seal,
        ),
        (
            [0xFF; 32],
            UNSEALED,
            "has no secret of its own",
            Status::NoSecret,
        ),
    ] {
        let outcome = device_of(&image, root, 1 << 17, |address| {
            let [p1, dealer] =
                party_beside_device(address, "50,0", &[&options[..], &[more]].concat());
            let line = complaint(p1);
            assert!(line.contains(reason), "{line}");
            stop(dealer);
        });
        assert_eq!(outcome, Err(Stopped::Refused(status)));
    }
}

#[test]
fn a_key_that_others_could_read_is_not_passed_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "50");
    let unwritten = dir.path().join("unwritten");
    let outcome = device(&image, 1 << 17, |address| {
        let more = [
            "--batch",
            "10",
            "--limit",
            "1",
            "--save",
            text(&unwritten),
            UNSEALED,
        ];
        let [p1, dealer] = party_beside_device(address, "50,0", &more);
        let line = complaint(p1);
        assert!(line.contains("does not seal the device's key"), "{line}");
        stop(dealer);
    });
    assert!(outcome.is_err());
}

#[test]
fn addresses_that_hold_no_device_are_told() {
    let away = "serial:/nowhere/ttyACM0";
    let arguments = [
        "party",
        "--role",
        "p1",
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
