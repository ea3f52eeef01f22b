//! `ringlet watch` over files that grow and a pipe, on a terminal and without one.

#![cfg(target_os = "linux")]

mod screen;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use ringlet_tests::{
    failure, metrics, one_error, program, ringlet, start, stop, success, terminate, text,
};
use screen::OnTerminal;

const RUN: &str = r#"{"kind":"run","version":"1.2.3","role":"p1","task":"train","model":"convnet2","iterations":900,"iterations_per_epoch":469,"batch":128,"samples":[60000,0],"done":0}"#;

fn iteration(number: u32) -> String {
    format!(
        r#"{{"kind":"iteration","iteration":{number},"seconds":0.25,"online_bytes_p0":null,"online_bytes_p1":14480000,"dealer_bytes_p0":null,"dealer_bytes_p1":44870000,"loss":null,"rounds":24,"opened_values":9,"layers":[]}}"#
    )
}

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.expect("a file")
        .write_all(text.as_bytes())
        .expect("written");
}

/// Checks that no line is wider than the terminal.
fn assert_fits(screen: &OnTerminal) {
    let lines = screen.lines();
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{}", lines.join("\n"));
}

#[test]
fn two_live_files_and_a_pipe_are_shown_in_80_columns() {
    let dir = tempfile::tempdir().expect("a directory");
    let [live, late] = ["live.jsonl", "late.jsonl"].map(|name| dir.path().join(name));
    let endless = ["train", "--epochs", "5000", "--seed", "1", "--metrics"];
    let mut training = start(&[&endless[..], &[name(&live)]].concat());
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let watch = ["watch", name(&live), name(&late), "-"];
    let mut screen = OnTerminal::start(&watch, [80, 24], Some(Stdio::from(reader)));
    screen.wait_for(&[
        "3 runs",
        "live.jsonl",
        "runs",
        "iteration",
        "left",
        "training digits8",
    ]);
    screen.wait_for(&["late.jsonl", "no file yet", "standard input", "no line yet"]);
    // A line that comes in two parts, and one that is damaged.
    append(
        &late,
        &format!("{RUN}\n{}\n{{\"kind\":\"iter", iteration(1)),
    );
    screen.press("\t");
    screen.wait_for(&[
        "> ",
        "1/900",
        "training convnet2, batch 128",
        "p1 sends 14.48 MB",
    ]);
    append(&late, &format!("damaged\n{}\n", iteration(2)));
    screen.wait_for(&[
        "2/900",
        "1 damaged line; the last is line 3",
        "4.0 iterations a second",
    ]);
    // The run goes back to its beginning.
    fs::write(&late, format!("{RUN}\n{}\n", iteration(1))).expect("a file");
    screen.wait_for(&["1/900"]);
    writeln!(writer, "{RUN}\n{}", iteration(450)).expect("a pipe");
    screen.wait_for(&["450/900"]);
    drop(writer);
    screen.wait_for(&["cut off"]);
    assert_fits(&screen);
    // A run that is killed says nothing more.
    training.kill().expect("a process");
    training.wait().expect("a process");
    let file = File::options().write(true).open(&live).expect("a file");
    let before = SystemTime::now() - Duration::from_secs(40);
    file.set_modified(before).expect("a time");
    screen.press("\x1b[A");
    screen.wait_for(&["silent 4", "no line for 4", "it is stuck, or was killed"]);
    assert_fits(&screen);
    screen.press("q");
    assert!(screen.end().success());
}

#[test]
fn the_terminal_is_restored_however_the_dashboard_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("late.jsonl");
    let watch = ["watch", name(&path)];
    let mut screen = OnTerminal::start(&watch, [60, 15], None);
    screen.wait_for(&["60x15 is too small"]);
    screen.resize([80, 24]);
    screen.wait_for(&["1 run", "no file yet", "q leaves"]);
    screen.resize([100, 40]);
    append(&path, &format!("{RUN}\n{}\n", iteration(1)));
    screen.wait_for(&["1/900"]);
    screen.press("\x03");
    assert!(screen.end().success());
    let mut screen = OnTerminal::start(&watch, [80, 24], None);
    screen.wait_for(&["1/900"]);
    screen.press("\x1b");
    assert!(screen.end().success());
    let screen = OnTerminal::start(&watch, [80, 24], None);
    screen.wait_for(&["1/900"]);
    terminate(&screen.child);
    assert!(screen.end().success());
}

#[test]
fn a_screen_as_text_needs_no_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let [done, failed] = ["done.jsonl", "failed.jsonl"].map(|name| dir.path().join(name));
    success(&[
        "train",
        "--twin",
        "--epochs",
        "2",
        "--seed",
        "1",
        "--metrics",
        name(&done),
    ]);
    // A rate at which values leave their range.
    let wild = [
        "train",
        "--lr",
        "4",
        "--seed",
        "1",
        "--limit",
        "400",
        "--metrics",
        name(&failed),
    ];
    let why = text(&ringlet(&wild).stderr);
    let why = why.lines().last().expect("an error");
    let out = success(&["watch", "--once", name(&done), name(&failed)]);
    for wanted in [
        "done.jsonl",
        "epoch 2",
        "done after",
        "FAILED: ",
        "OUT OF RANGE",
    ] {
        assert!(out.contains(wanted), "no `{wanted}`:\n{out}");
    }
    let cause = why.trim_start_matches("error: ");
    let begin: String = cause.chars().take(40).collect();
    assert!(out.contains(&begin), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let runs = metrics(&done, "run");
    assert_eq!(runs.len(), 1);
    let facts = (&runs[0]["role"], &runs[0]["model"], &runs[0]["done"]);
    assert_eq!(facts, (&"train".into(), &"digits8".into(), &0.into()));
    let total = metrics(&done, "iteration").len();
    assert_eq!(runs[0]["iterations"], total);
    assert_eq!(metrics(&done, "end")[0]["well"], true);
    let end = &metrics(&failed, "end")[0];
    assert_eq!(
        (&end["well"], &end["message"]),
        (&false.into(), &cause.into())
    );
}

#[test]
fn named_pipes_are_read_until_they_are_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    let written = path.clone();
    let writer = thread::spawn(move || {
        let mut pipe = File::options().write(true).open(&written).expect("a pipe");
        writeln!(pipe, "{RUN}\n{}", iteration(7)).expect("a reader");
        write!(pipe, "{{\"kind\":").expect("a reader");
    });
    let out = success(&["watch", "--once", name(&path)]);
    writer.join().expect("no panic");
    for wanted in ["7/900", "cut off", "1 damaged line; the last is line 3"] {
        assert!(out.contains(wanted), "no `{wanted}`:\n{out}");
    }
}

#[test]
fn what_cannot_be_watched_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let absent = dir.path().join("absent");
    let other = dir.path().join("other");
    fs::write(&other, "epoch 1\nepoch 2\n").expect("written");
    for (arguments, wanted) in [
        (
            &["watch", "--once", name(&other)][..],
            "other cannot be read: no line is a record of a run; line 2: ",
        ),
        (
            &["watch", "x"],
            "standard output is no terminal: start it in a terminal, or give --once",
        ),
        (&["watch", "-", "-"], "standard input is named twice"),
        (&["watch", name(dir.path())], "is a directory"),
        (
            &["watch", "--once", name(&absent)],
            "absent cannot be read: there is no such file",
        ),
    ] {
        let line = failure(arguments);
        assert!(line.contains(wanted), "{line}");
    }
    let mut screen = OnTerminal::start(&["watch", "-"], [80, 24], None);
    let ended = screen.child.wait().expect("a child");
    assert_eq!(ended.code(), Some(1));
    screen.wait_for(&["error: standard input is a terminal"]);
    // Without a reader of its output the program ends quietly.
    let output = Command::new(program())
        .args(["watch", "--once", "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        one_error(&text(&output.stderr))
    );
    let child = start(&["watch", "--once", "-"]);
    stop(child);
}
