//! The dealer's work ahead of time: the files give the results of the online dealer bit for bit, work once, and are
//! refused by name if something is wrong with them.

use std::{fs, path::Path};

use ringlet_tests::{Role, address, complaint, end, failure, start, stop, success};
use serde_json::Value;

const COMMON: [&str; 8] = [
    "--limit",
    "4",
    "--seed",
    "6",
    "--share-of-p0",
    "0.5",
    "--batch",
    "20",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn deal(out: &Path, more: &[&str]) {
    let mut arguments = vec![
        "deal",
        "--out",
        text(out),
        "--secret-seed",
        "8",
        "--reveal-to",
        "p0",
    ];
    arguments.extend(COMMON);
    arguments.extend(more);
    success(&arguments);
}

/// Runs both parties, with their options for a dealer, to a saved model.
fn model(path: &Path, dealers: [[&str; 2]; 2], more: &[&str]) -> Vec<u8> {
    let meeting = address();
    let peers = [["--listen", &meeting], ["--peer", &meeting]];
    let parties = ["p0", "p1"].map(|role| {
        let index = usize::from(role == "p1");
        let mut arguments = vec![
            "party",
            "--role",
            role,
            "--secret-seed",
            "8",
            "--reveal-to",
            "p0",
        ];
        arguments.extend(peers[index]);
        arguments.extend(dealers[index]);
        arguments.extend(COMMON);
        arguments.extend(more);
        if role == "p0" {
            arguments.extend(["--save", text(path)]);
        }
        start(&arguments)
    });
    for party in parties {
        let (well, out, err) = end(party);
        assert!(well, "{out}{err}");
    }
    fs::read(path).expect("a model")
}

#[test]
fn files_give_what_the_online_dealer_gives() {
    let dir = tempfile::tempdir().expect("a directory");
    let spdz = ["--protocol", "spdz", "--triples", "seed"];
    for (name, more) in [("spdz", &spdz[..]), ("exact", &[])] {
        let out = dir.path().join(name);
        deal(&out, more);
        let dealt = ["--dealt", text(&out)];
        let from_files = model(&dir.path().join("files"), [dealt, dealt], more);
        let at = address();
        let dealer = start(&["dealer", "--listen", &at, "--secret-seed", "8"]);
        let online = ["--dealer", at.as_str()];
        let from_dealer = model(&dir.path().join("online"), [online, online], more);
        assert!(end(dealer).0);
        assert!(from_files == from_dealer, "{name}");
    }
    let out = dir.path().join("exact");
    let dealt = ["--dealt", text(&out)];

    // Now the files are used.
    for role in ["p0", "p1"] {
        let meeting = address();
        let mut arguments = vec![
            "party",
            "--role",
            role,
            "--peer",
            &meeting,
            "--wait",
            "1",
            "--reveal-to",
            "p0",
        ];
        arguments.extend(dealt);
        arguments.extend(COMMON);
        let unwritten = dir.path().join("unwritten");
        if role == "p0" {
            arguments.extend(["--save", text(&unwritten)]);
        }
        let line = failure(&arguments);
        assert!(line.contains("has been used"), "{line}");
        assert!(!unwritten.exists());
    }
}

#[test]
fn sizes_are_what_the_plan_says() {
    let dir = tempfile::tempdir().expect("a directory");
    deal(dir.path(), &[]);
    let plan: Value =
        serde_json::from_str(&success(&["plan", "--batch", "20", "--json"])).expect("JSON");
    let each = plan["dealer_bytes_p1"].as_u64().expect("a number");
    let key = fs::read(dir.path().join("p0.key")).expect("a file").len() as u64;
    let dealt = fs::metadata(dir.path().join("p1.dealt"))
        .expect("a file")
        .len();
    // Both have the same head and the same checksum around their keys.
    assert_eq!(dealt - key, 4 * each);
    assert!(key < 200, "{key}");
    // A second session does not overwrite the first.
    let mut again = vec!["deal", "--out", text(dir.path())];
    again.extend(COMMON);
    assert!(failure(&again).contains("exists already"));
}

/// The peak memory of a run of `deal` in kB, and the bytes that it wrote.
#[cfg(target_os = "linux")]
fn dealt_in(out: &Path, iterations: &str) -> [u64; 2] {
    let model = ["deal", "--model", "convnet2", "--batch", "128"];
    let more = ["--iterations", iterations, "--out", text(out)];
    let mut child = start(&[&model[..], &more].concat());
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().expect("a child").is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let held = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        most = held.unwrap_or(0).max(most);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(end(child).0);
    let made = fs::metadata(out.join("p1.dealt")).expect("a file");
    [most, made.len()]
}

#[test]
#[cfg(target_os = "linux")]
fn dealing_takes_no_more_memory_for_more_iterations() {
    let dir = tempfile::tempdir().expect("a directory");
    let [few, many] = ["1", "4"].map(|count| dealt_in(&dir.path().join(count), count));
    println!(
        "{} kB held for {} bytes, {} kB for {}",
        few[0], few[1], many[0], many[1]
    );
    assert!(many[1] > few[1] + 100_000_000);
    assert!(few[0] > 0 && many[0] < few[0] + 8_000, "{few:?} {many:?}");
}

#[test]
fn damaged_foreign_and_unequal_files_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let whole = dir.path().join("whole");
    deal(&whole, &[]);
    let bytes = fs::read(whole.join("p1.dealt")).expect("a file");
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("a directory");
    let refused = |file: &[u8], role: Role, more: &[&str], hint: &str| {
        fs::write(other.join("p1.dealt"), file).expect("a file");
        fs::write(other.join("p0.key"), file).expect("a file");
        let meeting = address();
        let role = role.to_string();
        let mut arguments = vec![
            "party",
            "--role",
            &role,
            "--peer",
            &meeting,
            "--wait",
            "1",
            "--reveal-to",
            "p0",
            "--dealt",
            text(&other),
        ];
        let unwritten = dir.path().join("unwritten");
        if role == "p0" {
            arguments.extend(["--save", text(&unwritten)]);
        }
        for pair in COMMON.chunks(2) {
            if !more.contains(&pair[0]) {
                arguments.extend(pair);
            }
        }
        arguments.extend(more);
        let line = failure(&arguments);
        assert!(line.contains(hint), "{hint}: {line}");
    };
    let cut = &bytes[..bytes.len() - 1];
    refused(cut, Role::P1, &[], "cut short or damaged");
    refused(&bytes[..20], Role::P1, &[], "cut short or damaged");
    let mut marked = bytes.clone();
    marked[12] ^= 1;
    refused(&marked, Role::P1, &[], "damaged mark");
    for place in [50, bytes.len() / 2, bytes.len() - 2] {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        refused(&changed, Role::P1, &[], "cut short or damaged");
    }
    refused(
        b"something else entirely, longer than a head",
        Role::P1,
        &[],
        "not a dealt file",
    );
    refused(&bytes, Role::P0, &[], "belongs to p1");
    refused(
        &bytes,
        Role::P1,
        &["--batch", "21"],
        "different batch sizes",
    );
    refused(
        &bytes,
        Role::P1,
        &["--lr", "0.5"],
        "different learning rates",
    );
    fs::remove_dir_all(&other).expect("to remove");
    let meeting = address();
    let line = failure(&[
        "party",
        "--role",
        "p1",
        "--peer",
        &meeting,
        "--dealt",
        text(&other),
    ]);
    assert!(line.contains("cannot be opened"), "{line}");
}

#[test]
fn files_of_two_sessions_do_not_meet() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for out in [&one, &two] {
        let mut arguments = vec!["deal", "--out", text(out)];
        arguments.extend(COMMON);
        success(&arguments);
    }
    let meeting = address();
    let party = |role: &str, option: &str, dir: &Path| {
        let mut arguments = vec![
            "party",
            "--role",
            role,
            option,
            &meeting,
            "--dealt",
            text(dir),
        ];
        arguments.extend(COMMON);
        start(&arguments)
    };
    let p0 = party("p0", "--listen", &one);
    let line = complaint(party("p1", "--peer", &two));
    assert!(line.contains("different dealt files"), "{line}");
    // P0 waits on for the right one.
    stop(p0);
    // Nothing was sent, so both are still fresh.
    let dealt = [&one, &two].map(|dir| fs::read(dir.join("p0.key")).expect("a file")[8]);
    assert_eq!(dealt, [0, 0]);
}

#[test]
fn a_file_serves_one_run_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    deal(dir.path(), &[]);
    let file = fs::File::open(dir.path().join("p1.dealt")).expect("a file");
    file.lock().expect("a lock");
    let mut arguments = vec![
        "party",
        "--role",
        "p1",
        "--peer",
        "127.0.0.1:9",
        "--wait",
        "1",
    ];
    arguments.extend(["--reveal-to", "p0", "--dealt", text(dir.path())]);
    arguments.extend(COMMON);
    let line = failure(&arguments);
    assert!(line.contains("is in use by another run"), "{line}");
}
