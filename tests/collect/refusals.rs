//! What is refused, and by which name.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ringlet::{config::task_file::deadline_text, data::hexadecimal::digits};
use ringlet_tests::{failure, success, wait_until};

use crate::{
    https::{answer, post, request},
    servers::Servers,
    uploads::{made, samples, signed, upload, with_another_seed},
};

const SHAPE: [&str; 6] = [
    "--input",
    "8x8x1",
    "--class-count",
    "10",
    "--most-contributions",
    "4",
];

/// Two owners' keys in a directory, and their public halves.
fn owners(dir: &tempfile::TempDir) -> [(String, String); 2] {
    ["a", "b"].map(|name| {
        let path = dir.path().join(name).display().to_string();
        let public = success(&["task", "owner", "--out", &path]);
        (path, public.trim().to_owned())
    })
}

#[test]
fn each_refusal_has_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let [(a, public), (stranger, _)] = owners(&dir);
    let owner = format!("{public}:5");
    let mut servers = Servers::new(&[&SHAPE[..], &["--owner", &owner]].concat());
    servers.start_all();
    let task = servers.task.clone();
    let refused = |body: &[u8], status: u16, code: &str| {
        assert_eq!(post(&task, body), (status, code.to_owned()));
    };
    let good = signed(&task, 1, 2, &a);
    refused(b"", 400, "malformed");
    refused(&[7; 100], 400, "malformed");
    refused(&good[..good.len() - 1], 400, "malformed");
    refused(&signed(&task, 1, 5, &a), 413, "too-large");
    refused(&vec![0; 1 << 20], 413, "too-large");
    let other = Servers::new(&[&SHAPE[..], &["--open"]].concat());
    refused(&upload(&other.task, 1, 2), 404, "unknown-task");
    refused(&upload(&task, 1, 2), 403, "unknown-owner");
    refused(&signed(&task, 1, 2, &stranger), 403, "unknown-owner");
    let mut changed = good.clone();
    *changed.last_mut().expect("a signature") ^= 1;
    refused(&changed, 401, "bad-signature");
    // The signature of another upload.
    let second = signed(&task, 2, 2, &a);
    let swapped = [&good[..good.len() - 72], &second[second.len() - 72..]].concat();
    refused(&swapped, 401, "bad-signature");
    // One byte of each seal: P0's, P1's and the dealer's.
    for from_end in [72 + 272, 72 + 192, 72 + 100] {
        let mut changed = good.clone();
        let at = changed.len() - from_end;
        changed[at] ^= 1;
        refused(&changed, 422, "seals-differ");
    }
    assert_eq!(post(&task, &good).0, 201);
    // The same name for other samples.
    let (id, bytes, hash) = made(&task, 1, &samples(&task, 9, 2));
    let key = ringlet::data::owner_key::read(a.as_ref()).expect("a key");
    let signature = ringlet::collection::signature::sign(&key, task.id, &hash);
    refused(&[&bytes[..], &signature].concat(), 409, "other-bytes");
    assert_eq!(post(&task, &second).0, 201);
    refused(&signed(&task, 3, 2, &a), 403, "over-quota");
    // An upload that is withdrawn makes room, and does not come back.
    let path = format!("/uploads/{}", digits(&id.0));
    let delete = |path: &str| answer(request(&task, "DELETE", path, &[]).expect("an answer"));
    assert_eq!(delete(&path).0, 200);
    assert_eq!(delete(&path).0, 200);
    assert_eq!(delete("/uploads/00"), (404, "unknown-upload".to_owned()));
    assert_eq!(
        delete(&format!("/uploads/{}", "0".repeat(32))),
        (404, "unknown-upload".to_owned())
    );
    refused(&good, 410, "withdrawn");
    assert_eq!(post(&task, &signed(&task, 3, 2, &a)).0, 201);
    let status = servers.command(0, &["status"]);
    assert_eq!(
        (&status["contributions"], &status["owners"]),
        (&4.into(), &1.into())
    );
    servers.end_all();
}

#[test]
fn seeds_on_which_roles_do_not_agree_are_refused() {
    let mut servers = Servers::new(&[&SHAPE[..], &["--open"]].concat());
    servers.start_all();
    let task = servers.task.clone();
    let refused = (422, "seals-differ".to_owned());
    assert_eq!(post(&task, &with_another_seed(&task, 1)), refused);
    // Nothing of it is kept, so the right one is taken.
    assert_eq!(post(&task, &upload(&task, 1, 1)).0, 201);
    servers.end_all();
}

#[test]
fn after_the_deadline_only_what_was_taken_is_acknowledged() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    let deadline = now.as_secs() as i64 + 3;
    let text = deadline_text(deadline);
    let mut servers = Servers::new(&[&SHAPE[..], &["--open", "--deadline", &text]].concat());
    servers.start_all();
    let task = servers.task.clone();
    assert_eq!(post(&task, &upload(&task, 1, 1)).0, 201);
    while SystemTime::now() < UNIX_EPOCH + Duration::from_secs(deadline as u64 + 1) {
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(post(&task, &upload(&task, 1, 1)).0, 200);
    assert_eq!(
        post(&task, &upload(&task, 2, 1)),
        (403, "deadline-passed".to_owned())
    );
    servers.end_all();
}

#[test]
fn owners_are_told_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let [(a, public), (b, second)] = owners(&dir);
    let names = "zero,one,two,three,four,five,six,seven,eight,nine";
    let both = [
        "--owner",
        &public,
        "--owner",
        &second,
        "--least-owners",
        "2",
        "--classes",
        names,
    ];
    let mut servers = Servers::new(&[&SHAPE[..], &both].concat());
    let task = servers.file("task.toml");
    let contribute =
        |more: &[&str]| failure(&[&["contribute", "--task", &task, "--wait", "1"], more].concat());
    assert!(contribute(&[]).contains("--owner"));
    assert!(
        contribute(&["--owner", &a, "--per-upload", "9"])
            .contains("--per-upload 9 is not from 1 to 4")
    );
    assert!(contribute(&["--owner", &a]).contains("cannot be reached"));
    assert!(contribute(&["--owner", &a, "--per-upload", "3"]).contains("of other uploads"));
    assert!(contribute(&["--owner", &b]).contains("of other owners"));
    #[cfg(target_os = "linux")]
    assert!(contribute(&["--owner", &b, "--state", "/dev/zero"]).contains("no plain file"));
    assert!(contribute(&["--owner", &a, "--test-part", "0.5"]).contains("--test-part"));
    assert!(contribute(&["--owner", &a, "--resize", "9x9"]).contains("8x8x1"));
    servers.start_all();
    // A leader with another certificate.
    let impostor = std::fs::read_to_string(&task).expect("a task");
    assert!(impostor.contains(&digits(&servers.task.terms.certificate)));
    let line = failure(&[
        "collect",
        "--role",
        "p0",
        "--task",
        &task,
        "--roster",
        &servers.file("all/roster.toml"),
        "--identity",
        &servers.file("all/p0.identity"),
        "--store",
        &servers.file("p0.redb"),
        "--listen",
        "127.0.0.1:0",
        "--certificate",
        &servers.file("leader.pem"),
    ]);
    assert!(line.contains("another process uses the store"), "{line}");
    assert_eq!(post(&servers.task, &signed(&servers.task, 1, 1, &b)).0, 201);
    let store = servers.file("p0.redb");
    let line = failure(&["collect", "list", "--store", &store]);
    assert!(
        line.contains("1 owners have contributed, and the task asks for 2"),
        "{line}"
    );
    let line = failure(&["collect", "list", "--store", &servers.file("p1.redb")]);
    assert!(line.contains("at P0"), "{line}");
    // The list that was refused keeps nobody from going on.
    assert_eq!(post(&servers.task, &signed(&servers.task, 2, 1, &a)).0, 201);
    assert_eq!(servers.command(0, &["list"])["contributions"], 2);
    let export = |out: &str| {
        failure(&[
            "collect", "export", "--store", &store, "--list", "1", "--out", out,
        ])
    };
    for out in [&store, &task] {
        let before = std::fs::read(out).expect("a file");
        let line = export(out);
        assert!(line.contains("something else than contributions"), "{line}");
        assert!(std::fs::read(out).expect("a file") == before);
    }
    servers.end_all();
}

#[test]
fn tasks_that_nobody_could_use_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let [(_, public), _] = owners(&dir);
    success(&["init", &file("all")]);
    let new = |more: &[&str]| {
        let (roster, out) = (file("all/roster.toml"), file("task"));
        let certificate = "0".repeat(64);
        let usual = [
            "--roster",
            &roster,
            "--certificate",
            &certificate,
            "--out",
            &out,
        ];
        let mut all = [&["task", "new"], &SHAPE[..], &usual, more].concat();
        for (option, value) in [("--deadline", "2090-01-01T00:00:00Z"), ("--address", "a:1")] {
            if !more.contains(&option) {
                all.extend([option, value]);
            }
        }
        all.iter()
            .map(|argument| (*argument).to_owned())
            .collect::<Vec<_>>()
    };
    let refused = |more: &[&str]| {
        let all = new(more);
        failure(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let quota = format!("{public}:0");
    for (more, wanted) in [
        (
            &["--open", "--deadline", "2020-12-31T23:59:59Z"][..],
            "it is over already",
        ),
        (&["--open", "--address", "nonsense"], "nonsense has no port"),
        (&["--open", "--address", "host:0"], "host:0 has no port"),
        (
            &["--owner", &public, "--least-owners", "2"],
            "it names 1 owners",
        ),
        (&["--owner", &quota], "its quota is no number above 0"),
    ] {
        let line = refused(more);
        assert!(line.contains(wanted), "{line}");
    }
    let all = new(&["--open"]);
    success(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(refused(&["--open"]).contains("is there already"));
}

#[test]
fn another_leader_at_the_address_gets_nothing() {
    let options = [&SHAPE[..], &["--open"]].concat();
    let real = Servers::new(&options);
    let mut false_one = Servers::new(&options);
    false_one.start_with(0, &["--listen", &real.task.terms.address]);
    wait_until("a listener", Duration::from_secs(20), || {
        TcpStream::connect(&real.task.terms.address).is_ok()
    });
    let task = real.file("task.toml");
    let line = failure(&["contribute", "--task", &task, "--per-upload", "4"]);
    assert!(
        line.contains("is another") && line.contains("its certificate is not the task's"),
        "{line}"
    );
    false_one.end(0);
    // And a role does not begin with a certificate that owners would refuse.
    let mut other = Servers::new(&options);
    std::fs::copy(real.file("leader.pem"), other.file("leader.pem")).expect("a copy");
    other.start(0);
    let line = other.failed(0);
    assert!(line.contains("is not the task's"), "{line}");
}

#[test]
fn a_model_that_pools_its_samples_first_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name).display().to_string();
    let model = r#"{"name": "pooled", "input": [8, 8, 1], "layers": [
        {"avg_pool": {"window": 2}}, "flatten", {"dense": {"units": 10}}]}"#;
    std::fs::write(file("model.json"), model).expect("a file");
    success(&["init", &file("all")]);
    let line = failure(&[
        "task",
        "new",
        "--model",
        &file("model.json"),
        "--roster",
        &file("all/roster.toml"),
        "--address",
        "a:1",
        "--certificate",
        &"0".repeat(64),
        "--deadline",
        "2090-01-01T00:00:00Z",
        "--open",
        "--out",
        &file("task"),
    ]);
    assert!(line.contains("pools its samples first"), "{line}");
}
