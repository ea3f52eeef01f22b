//! A party on a device: the firmware's code behind a pseudo-terminal, and on boards in QEMU.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use ringlet::links::serial::SerialLine;
use ringlet_core::{
    prg::Key,
    store::Store,
    wire::port::{Patience, Port},
};
use ringlet_device::{Memory, Stopped, serve};
use ringlet_tests::{address, complaint, end, failure, start, success};
use serialport::{SerialPort, TTYPort};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// An image of the first built-in digits.
fn pack(dir: &Path, count: &str) -> PathBuf {
    let out = dir.join("samples.bin");
    success(&["data", "pack", "--count", count, "--out", text(&out)]);
    out
}

/// Starts P1 beside the device at a plug, and the dealer if there is to be one.
fn beside(plug: &str, samples: &str, more: &[&str]) -> [Child; 2] {
    let at = address();
    let dealer = start(&["dealer", "--listen", &at, "--wait", "30"]);
    let mut arguments = vec![
        "party",
        "--role",
        "p1",
        "--peer",
        plug,
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
    arguments.extend(more);
    [start(&arguments), dealer]
}

/// Serves one session from the firmware's code on this machine; returns how it ended. `client` gets the
/// plug.
fn device(image: &Path, arena: usize, client: impl FnOnce(&str)) -> Result<(), Stopped> {
    let (mut line, plug) = TTYPort::pair().expect("a pseudo-terminal");
    line.set_timeout(std::time::Duration::from_millis(50))
        .expect("a timeout");
    let name = plug.name().expect("a pseudo-terminal has a name");
    let image = std::fs::read(image).expect("an image");
    let served = thread::spawn(move || {
        let reader = line.try_clone_native().expect("the same line");
        let line = SerialLine::new(reader, line);
        let clock = line.clock();
        let patience = Patience {
            resend: 100,
            silence: 20_000,
        };
        let port = RefCell::new(Port::new(line, clock, patience));
        let mut arena = vec![0; arena];
        let memory = Memory {
            arena: &mut arena,
            opened: &mut [],
        };
        let store = Store::new(&image).ok();
        serve(&port, store, &Key::new([9; 32]), memory)
    });
    client(&format!("pty:{name}"));
    let outcome = served.join().expect("no panic");
    drop(plug);
    outcome
}

#[test]
fn the_firmwares_code_trains_with_a_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "200");
    let model = dir.path().join("model.safetensors");
    let outcome = device(&image, 1 << 17, |plug| {
        let more = ["--batch", "20", "--limit", "12", "--save", text(&model)];
        for child in beside(plug, "200,0", &more) {
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
        let outcome = device(&image, arena, |plug| {
            let [p1, mut dealer] = beside(
                plug,
                samples,
                &["--batch", "10", "--limit", "1", "--save", text(&unwritten)],
            );
            let line = complaint(p1);
            assert!(line.contains(reason), "{line}");
            dealer.kill().expect("a process");
            dealer.wait().expect("a process");
        });
        assert!(matches!(outcome, Err(Stopped::Refused(_))), "{outcome:?}");
    }
}

#[test]
fn plugs_that_hold_no_device_are_told() {
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
}

/// A board as QEMU has it.
struct Board {
    machine: &'static str,
    firmware: &'static str,
    target: &'static str,
    /// Addresses of the samples' image and of the secret.
    samples: &'static str,
    secret: &'static str,
}

const MPS2_AN386: Board = Board {
    machine: "mps2-an386",
    firmware: "ringlet-mps2-an386",
    target: "thumbv7em-none-eabihf",
    samples: "0x100000",
    secret: "0x1f0000",
};

const STM32F405: Board = Board {
    machine: "netduinoplus2",
    firmware: "ringlet-stm32f405",
    target: "thumbv7em-none-eabihf",
    samples: "0x08080000",
    secret: "0x080e0000",
};

impl Board {
    /// The firmware, as `tests/run` builds it.
    fn program(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/target");
        let path = root.join(self.target).join("release").join(self.firmware);
        assert!(
            path.is_file(),
            "{} is missing: tests/run builds it",
            path.display()
        );
        path
    }

    /// Starts it with this image of samples and a secret of its own, and names its plug.
    fn start(&self, image: &Path) -> (Running, String) {
        let secret = image.with_extension("secret");
        std::fs::write(&secret, [5; 32]).expect("a file");
        let load =
            |file: &Path, at: &str| format!("loader,file={},addr={at},force-raw=on", text(file));
        let mut running = Command::new("qemu-system-arm")
            .args(["-M", self.machine, "-display", "none", "-monitor", "none"])
            .args(["-serial", "pty", "-kernel", text(&self.program())])
            .args(["-device", &load(image, self.samples)])
            .args(["-device", &load(&secret, self.secret)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Running)
            .expect("QEMU: tests/run installs it");
        let mut line = String::new();
        let output = running.0.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let plug = line
            .split_whitespace()
            .find(|word| word.starts_with("/dev/"))
            .map(|path| format!("pty:{path}"))
            .expect("a pseudo-terminal");
        (running, plug)
    }
}

/// A board in QEMU; it does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Trains with a board for one session after another, each of these batch and micro-batch sizes, one
/// iteration each.
fn train_with(board: &Board, sessions: &[[&str; 2]]) {
    let dir = tempfile::tempdir().expect("a directory");
    let image = pack(dir.path(), "64");
    let (_running, plug) = board.start(&image);
    for [batch, micro_batch] in sessions {
        let model = dir.path().join("model.safetensors");
        let more = [
            "--batch",
            batch,
            "--limit",
            "1",
            "--micro-batch",
            micro_batch,
            "--save",
            text(&model),
        ];
        for child in beside(&plug, "64,0", &more) {
            let (well, out, err) = end(child);
            assert!(well, "{out}{err}");
        }
        assert!(std::fs::metadata(&model).expect("a model").len() > 1000);
        std::fs::remove_file(&model).expect("a file");
    }
}

#[test]
fn a_cortex_m4_trains_with_a_host() {
    train_with(&MPS2_AN386, &[["8", "8"], ["8", "1"]]);
}

#[test]
fn an_stm32f405_trains_with_a_host() {
    train_with(&STM32F405, &[["4", "4"], ["4", "1"]]);
}
