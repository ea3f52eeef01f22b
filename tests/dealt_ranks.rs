//! Dealt files with roles on several threads: the same files for any number of threads, and the model the same to the bit.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use ringlet_tests::{address, complaint, end, failure, start, success};

/// Batches of 100 in micro-batches of 30, 30, 30 and 10. The last batch of an epoch is smaller, and so is its last micro-batch.
const SESSION: [&str; 8] = [
    "--batch",
    "100",
    "--micro-batch",
    "30",
    "--share-of-p0",
    "0.6",
    "--seed",
    "6",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Deals a session into `out`, the same each time.
fn deal(out: &Path, session: &[&str]) {
    let known = ["deal", "--out", text(out), "--secret-seed", "8"];
    let receiver = ["--reveal-to", "p1"];
    success(&[&known[..], &receiver, &SESSION, session].concat());
}

/// Starts both parties with the dealt files in `dir`, where they leave the model.
fn parties(dir: &Path, threads: [&str; 2], session: &[&str]) -> [Child; 2] {
    let meeting = address();
    let (files, model) = (dir.join("files"), dir.join("model"));
    let party = |role, meet: [&str; 2], threads, more: &[&str]| {
        let known = ["party", "--role", role, meet[0], meet[1]];
        let files = ["--dealt", text(&files), "--secret-seed", "8"];
        let rest = ["--threads", threads, "--reveal-to", "p1", "--wait", "60"];
        start(&[&known[..], &files, &rest, &SESSION, session, more].concat())
    };
    let [p0, p1] = threads;
    [
        party("p0", ["--listen", &meeting], p0, &[]),
        party("p1", ["--peer", &meeting], p1, &["--save", text(&model)]),
    ]
}

/// Waits for both parties, which succeed. Returns the model, and what they say of audits.
fn ended(dir: &Path, parties: [Child; 2]) -> (Vec<u8>, Vec<String>) {
    let said = parties.map(|party| {
        let (well, out, err) = end(party);
        assert!(well, "{out}{err}");
        let audits = out.lines().filter(|line| line.contains("audit"));
        audits.collect::<Vec<_>>().join("\n")
    });
    (fs::read(dir.join("model")).expect("a model"), said.into())
}

/// Trains with files dealt for this session alone.
fn train(threads: [&str; 2], session: &[&str]) -> (Vec<u8>, Vec<String>) {
    let dir = tempfile::tempdir().expect("a directory");
    deal(&dir.path().join("files"), session);
    ended(dir.path(), parties(dir.path(), threads, session))
}

/// The model of the same session with a dealer that is there.
fn train_online(session: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let model = dir.path().join("model");
    let (d, p) = (address(), address());
    let known = ["--secret-seed", "8", "--reveal-to", "p1", "--dealer", &d];
    let party = |more: &[&str]| start(&[&["party"], &known[..], &SESSION, session, more].concat());
    let roles = [
        start(&["dealer", "--listen", &d, "--secret-seed", "8"]),
        party(&["--role", "p0", "--listen", &p]),
        party(&["--role", "p1", "--peer", &p, "--save", text(&model)]),
    ];
    for role in roles {
        let (well, out, err) = end(role);
        assert!(well, "{out}{err}");
    }
    fs::read(model).expect("a model")
}

#[test]
fn any_number_of_threads_takes_the_same_files_to_the_same_model() {
    let one = ["1", "1"];
    let settings: [(&[&str], &[[&str; 2]]); 3] = [
        // To the end of an epoch and beyond.
        (
            &["--limit", "20", "--epochs", "2", "--audit", "5"],
            &[["2", "2"], ["3", "3"], ["4", "4"], ["4", "2"]],
        ),
        (&["--limit", "3", "--ring", "u64"], &[["3", "3"]]),
        (&["--limit", "3", "--protocol", "spdz"], &[["4", "4"]]),
    ];
    for (session, many) in settings {
        let (model, said) = train(one, session);
        assert!(model == train_online(session), "{session:?}");
        for &threads in many {
            let (other, heard) = train(threads, session);
            assert!(other == model, "{session:?}, {threads:?}");
            assert_eq!(heard, said, "{session:?}, {threads:?}");
        }
    }
}

#[test]
fn sessions_for_one_thread_read_micro_batch_by_micro_batch_too() {
    let baseline = ["--protocol", "spdz", "--triples", "baseline"];
    let private = ["--dp-noise", "1"];
    for more in [&baseline[..], &private] {
        let session = [&["--limit", "2", "--epochs", "1"], more].concat();
        train(["4", "4"], &session);
    }
}

/// How many iterations of a party's file have begun.
fn begun(dir: &Path) -> u32 {
    let file = fs::read(dir.join("files/p1.dealt")).unwrap_or_default();
    let mark = file.get(8..12).and_then(|mark| mark.try_into().ok());
    mark.map_or(0, u32::from_le_bytes)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("a file");
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}

#[test]
fn a_run_goes_on_with_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    let dirs: Vec<PathBuf> = ["cut", "one", "three", "four"]
        .map(|name| dir.path().join(name))
        .into();
    let session = ["--limit", "120", "--epochs", "8"];
    deal(
        &dirs[0].join("files"),
        &[&session[..], &["--spare", "40"]].concat(),
    );
    let run = |dir: &Path, threads| {
        let checkpoints = dir.join("checkpoints");
        let durable = ["--resume", text(&checkpoints), "--every", "10"];
        parties(dir, threads, &[&session[..], &durable].concat())
    };
    let cut = run(&dirs[0], ["4", "3"]);
    ringlet_tests::wait_until("iterations", Duration::from_secs(60), || {
        begun(&dirs[0]) >= 15
    });
    for mut party in cut {
        party.kill().expect("to kill");
        party.wait().expect("its end");
    }
    for to in &dirs[1..] {
        copy(&dirs[0], to);
    }
    let models = [("1", &dirs[1]), ("3", &dirs[2]), ("4", &dirs[3])].map(|(threads, dir)| {
        let before = begun(dir);
        let (model, _) = ended(dir, run(dir, [threads; 2]));
        // What had begun was not begun again.
        let lost = begun(dir) - 120;
        assert!(before >= 15 && lost <= 40, "{before} {lost}");
        model
    });
    assert!(models[0] == models[1] && models[0] == models[2]);
}

/// The checksum of a dealt file, CRC-32, of a file that has not been used.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (0xEDB8_8320 * carry);
        }
    }
    (!crc).to_le_bytes()
}

#[test]
fn files_of_another_length_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let session = ["--limit", "2", "--epochs", "1"];
    let files = dir.path().join("files");
    deal(&files, &session);
    let path = files.join("p1.dealt");
    let whole = fs::read(&path).expect("a file");
    let (body, mark) = whole.split_at(whole.len() - 4);
    assert_eq!(mark, checksum(body));
    // The length of the body stands behind the description of the session, whose length is in two bytes.
    let described = usize::from(u16::from_le_bytes([whole[69], whole[70]]));
    let at = 71 + described;
    let len = u64::from_le_bytes(whole[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(at + 8 + len as usize, body.len());
    for change in [-1000i64, -1, 1, 64] {
        let mut other = body.to_vec();
        other.resize((body.len() as i64 + change) as usize, 7);
        other[at..at + 8].copy_from_slice(&len.wrapping_add_signed(change).to_le_bytes());
        let checksum = checksum(&other);
        other.extend(checksum);
        fs::write(&path, &other).expect("a file");
        let nowhere = address();
        let party = ["party", "--role", "p1", "--peer", &nowhere, "--wait", "1"];
        let model = dir.path().join("model");
        let given = ["--dealt", text(&files), "--save", text(&model)];
        let given = [&given[..], &["--reveal-to", "p1"]].concat();
        let line = failure(&[&party[..], &given, &SESSION, &session].concat());
        assert!(line.contains("bytes of corrections"), "{change}: {line}");
    }
    // Cut short without a word, it is refused too.
    fs::write(&path, &whole[..whole.len() - 1000]).expect("a file");
    let [mut p0, p1] = parties(dir.path(), ["2", "2"], &session);
    assert!(complaint(p1).contains("cut short or damaged"));
    p0.kill().expect("to kill");
    p0.wait().expect("its end");
    assert!(!dir.path().join("model").exists());
}
