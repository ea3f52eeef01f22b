//! The instructions of training on small processors, compared with `snapshots/instructions.jsonl`.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

#[path = "../firmware/instruction-count/src/contribution.rs"]
mod contribution;
#[path = "../firmware/instruction-count/src/handshake.rs"]
mod handshake;
#[path = "../firmware/instruction-count/src/noise.rs"]
mod noise;
#[path = "../firmware/instruction-count/src/scripted.rs"]
mod scripted;
#[path = "../firmware/instruction-count/src/streams.rs"]
mod streams;

use handshake::{Handshaker, Handshakes};

/// Models and batches that are counted, one iteration with micro-batch 1 each.
const RUNS: [(&str, u32); 3] = [("digits8", 1), ("convnet2", 1), ("convnet2", 2)];
/// What stands in the place of a model to count the handshake of a secure link at either end, and in that of a batch.
const HANDSHAKE: (&str, u32) = ("handshake", 0);
/// What stands in the place of a model to draw discrete Gaussian noise, and the number of samples in that of a batch.
const NOISE: (&str, u32) = ("noise", 2000);
/// What stands in the place of a model to draw from streams, and the number of draws in that of a batch.
const STREAMS: (&str, u32) = ("streams", 4000);
/// Kinds of work.
const SECTIONS: [&str; 6] = ["kernels", "prg", "packing", "gates", "link", "sealing"];
/// The relative change of a cell that is allowed.
const TOLERANCE: f64 = 0.05;
/// Cells below this share of their run are not compared.
const SMALL: f64 = 0.01;
/// The most instructions of convnet2 on a Cortex-M4 for each sample, and for each iteration besides, without those that seal and
/// open frames.
const MOST: [f64; 2] = [18e6, 18e6];
/// The most that seal and open the frames of an iteration of one sample.
const MOST_SEALING: f64 = 32e6;

const RENEW: &str = "if the change is meant, renew the snapshot with RINGLET_RENEW=1 cargo test --release -p ringlet-tests --test instructions";

/// Counts of a run by cost row, pass and section.
type Counts = BTreeMap<String, f64>;

/// A board in QEMU.
struct Board {
    name: &'static str,
    target: &'static str,
    qemu: &'static str,
    options: &'static str,
}

/// An instruction takes 32 ns of the emulated time.
const CORTEX_M4: Board = Board {
    name: "cortex-m4",
    target: "thumbv7em-none-eabihf",
    qemu: "qemu-system-arm",
    options: "-M mps2-an386 -icount shift=5",
};

/// The processor's own counter is read.
const RISC_V: Board = Board {
    name: "rv32imac",
    target: "riscv32imac-unknown-none-elf",
    qemu: "qemu-system-riscv32",
    options: "-M virt -bios none -m 32M -icount shift=0",
};

/// Where the counting firmware that makes uploads is built.
const WITH_UPLOADS: &str = "../firmware/target/contribution";
/// The most instructions of the masks and the rest of a sample of 28 x 28 values on a Cortex-M4, and of an upload's seals.
const MOST_OF_SAMPLE: f64 = 0.3e6;
const MOST_OF_SEALS: f64 = 16e6;
/// The most of its signature.
const MOST_OF_SIGNATURE: f64 = 4e6;
/// The most bytes of a signed upload of one such sample, and of what a board holds of it beside its stack.
const MOST_BYTES: u64 = 3600;
const MOST_STATE: u64 = 8 << 10;

/// Runs the counting firmware in QEMU.
fn count(board: &Board, model: &str, batch: u32) -> String {
    count_in(board, "../firmware/target", model, batch)
}

/// The same of the firmware that was built in a directory.
fn count_in(board: &Board, dir: &str, model: &str, batch: u32) -> String {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(dir)
        .join(board.target)
        .join("release/ringlet-instruction-count");
    assert!(
        program.is_file(),
        "{} is missing: tests/run builds it",
        program.display()
    );
    let mut qemu = Command::new(board.qemu)
        .args(board.options.split(' '))
        .args(["-display", "none", "-monitor", "none", "-serial", "null"])
        .arg("-semihosting-config")
        .arg(format!("enable=on,target=native,arg={model},arg={batch}"))
        .arg("-kernel")
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("QEMU: tests/run installs it");
    let mut output = qemu.stdout.take().expect("its output");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let end = Instant::now() + Duration::from_secs(120);
    let status = loop {
        if let Some(status) = qemu.try_wait().expect("a process") {
            break status;
        }
        if Instant::now() > end {
            let _ = qemu.kill();
            let _ = qemu.wait();
            panic!("{model} takes longer than two minutes");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let text = reader.join().expect("no panic").expect("UTF-8");
    assert!(status.success(), "{text}");
    text
}

/// A run's output with the board's name in each line.
fn named(board: &Board, text: &str) -> String {
    let name = format!("{{\"board\":\"{}\",", board.name);
    let line = |line: &str| line.replacen('{', &name, 1) + "\n";
    text.lines().map(line).collect()
}

/// The counts of each run, by board, model and batch.
fn read(text: &str) -> BTreeMap<String, Counts> {
    let mut runs: BTreeMap<String, Counts> = BTreeMap::new();
    for line in text.lines() {
        let object: Value = serde_json::from_str(line).expect("JSON");
        let [board, model] = ["board", "model"].map(|key| object[key].as_str().expect("a name"));
        let run = format!("{board}, {model}, batch {}", object["batch"]);
        let counts = runs.entry(run).or_default();
        if object["line"].is_null() {
            continue;
        }
        for section in SECTIONS {
            let cell = format!("{} {} {section}", object["line"], object["way"]);
            // The lines of a handshake have sealing alone, those of noise have no more than two.
            counts.insert(cell, object[section].as_f64().unwrap_or(0.0));
        }
    }
    runs
}

#[test]
fn training_costs_the_instructions_of_the_snapshot() {
    let text: String = [CORTEX_M4, RISC_V]
        .iter()
        .flat_map(|board| {
            let runs = RUNS.iter().chain([&HANDSHAKE, &NOISE]);
            runs.map(|&(model, batch)| named(board, &count(board, model, batch)))
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/instructions.jsonl");
    if std::env::var_os("RINGLET_RENEW").is_some() {
        fs::write(&path, &text).expect("a file");
    }
    let (got, want) = (
        read(&text),
        read(&fs::read_to_string(&path).expect("a file")),
    );
    let mut changed = Vec::new();
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        want.keys().collect::<Vec<_>>(),
        "other runs than in the snapshot; {RENEW}"
    );
    for (run, got) in &got {
        let want = &want[run];
        let total: f64 = got.values().sum();
        println!("{run}: {:.2} M instructions", total / 1e6);
        for section in SECTIONS {
            let cells = got.iter().filter(|(cell, _)| cell.ends_with(section));
            let sum: f64 = cells.map(|(_, count)| count).sum();
            println!("  {section:8} {:8.2} M", sum / 1e6);
        }
        for cell in got
            .keys()
            .chain(want.keys().filter(|key| !got.contains_key(*key)))
        {
            let [now, before] = [got, want].map(|counts| counts.get(cell).copied().unwrap_or(0.0));
            if now.max(before) >= SMALL * total && (now - before).abs() > TOLERANCE * before {
                changed.push(format!("{run}, {cell}: {before} before, {now} now"));
            }
        }
    }
    assert!(changed.is_empty(), "{}\n{RENEW}", changed.join("\n"));
    let [one, two] = [1, 2].map(|batch| {
        let counts = &got[&format!("cortex-m4, convnet2, batch {batch}")];
        let (sealing, rest): (Vec<_>, Vec<_>) = counts
            .iter()
            .partition(|(cell, _)| cell.ends_with("sealing"));
        [rest, sealing].map(|cells| cells.iter().map(|(_, count)| **count).sum::<f64>())
    });
    let [sample, iteration] = [two[0] - one[0], 2.0 * one[0] - two[0]];
    println!("a sample {sample}, an iteration {iteration} besides");
    assert!(sample <= MOST[0], "{sample} instructions are too many");
    assert!(iteration <= MOST[1], "{iteration} are too many");
    assert!(one[1] <= MOST_SEALING, "{} instructions seal", one[1]);
}

/// The kernels, streams and packing of the small processors give the results of the host: they send the same bytes.
#[test]
fn small_processors_send_the_bytes_that_the_host_would_send() {
    for (model, batch) in RUNS {
        let session = scripted::session(model, batch).expect("a session");
        let network = ringlet_core::dealt::check::<scripted::Ring>(&session).expect("sound");
        let mut arena = vec![0; 1 << 18];
        let sent = scripted::train(&session, &network, &mut arena, || ()).expect("an iteration");
        for board in [CORTEX_M4, RISC_V] {
            let text = count(&board, model, batch);
            let last = text.lines().last().expect("a line");
            let last: Value = serde_json::from_str(last).expect("JSON");
            assert_eq!(last["sent"], sent, "{}, {model}, batch {batch}", board.name);
        }
    }
}

/// The streams' generators of the small processors, one of which is in assembly, draw what the host's does.
#[test]
fn small_processors_draw_what_the_host_draws() {
    let drawn = streams::digest(STREAMS.1);
    for board in [CORTEX_M4, RISC_V] {
        let text = count(&board, STREAMS.0, STREAMS.1);
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["drawn"], drawn, "{}", board.name);
    }
}

/// So do the samples of noise, whose products small processors make by halves.
#[test]
fn small_processors_draw_the_noise_of_the_host() {
    let drawn = noise::digest(NOISE.1, || ()).expect("samples");
    for board in [CORTEX_M4, RISC_V] {
        let text = count(&board, NOISE.0, NOISE.1);
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["drawn"], drawn, "{}", board.name);
        let [prg, rest] = ["prg", "gates"].map(|kind| line[kind].as_f64().expect("a number"));
        let [prg, rest] = [prg, rest].map(|sum| sum / f64::from(NOISE.1));
        println!(
            "{}: {prg:.0} instructions a sample for streams, {rest:.0} besides",
            board.name
        );
    }
}

#[test]
fn small_processors_shake_hands_as_the_host_would() {
    let handshakes = Handshakes::new().expect("a handshake");
    let sent = [Handshaker::Connects, Handshaker::Accepts].map(|end| handshakes.run(end));
    for board in [CORTEX_M4, RISC_V] {
        let text = count(&board, HANDSHAKE.0, HANDSHAKE.1);
        for (line, sent) in text.lines().zip(sent) {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["sent"], sent.expect("a handshake"), "{}", board.name);
        }
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn a_board_uploads_the_bytes_that_a_host_uploads() {
    let (bytes, sent) = contribution::upload(|| (), |_| ()).expect("an upload");
    let text = count_in(&CORTEX_M4, WITH_UPLOADS, "contribution", 0);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [begin, sample, seals, signature, all] = &lines[..] else {
        panic!("{text}");
    };
    let sum = |part: &Value| {
        let [masks, rest] = ["prg", "rest"].map(|kind| part[kind].as_f64().expect("a number"));
        println!("{}: {masks} for streams, {rest} besides", part["part"]);
        masks + rest
    };
    let parts = [begin, sample, seals, signature].map(sum);
    assert!(parts[0] + parts[1] <= MOST_OF_SAMPLE, "{text}");
    assert!(parts[2] <= MOST_OF_SEALS, "{text}");
    assert!(parts[3] <= MOST_OF_SIGNATURE, "{text}");
    assert_eq!((&all["bytes"], &all["sent"]), (&bytes.into(), &sent.into()));
    assert!(u64::from(bytes) <= MOST_BYTES, "{bytes}");
    let state = all["state"].as_u64().expect("a number");
    println!("{bytes} bytes, {state} of state");
    assert!(state <= MOST_STATE, "{state}");
}
