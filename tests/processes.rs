//! Roles as processes over TCP: they train together, and each reports what goes wrong.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::Child,
    time::Duration,
};

use ringlet_tests::{
    Saying, address, complaint, end, failure, is_notice, start, success, wait_until,
};

/// More than any machine does during a test.
const ENDLESS: [&str; 4] = ["--limit", "10000000", "--epochs", "1000000"];

fn name(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Waits for the first iterations.
fn wait_for_lines(metrics: &Path) {
    wait_until("the first iterations", Duration::from_secs(60), || {
        std::fs::read_to_string(metrics).is_ok_and(|lines| lines.lines().count() > 2)
    });
}

fn dealer(at: &str) -> Child {
    start(&["dealer", "--listen", at, "--wait", "8"])
}

fn party<'a>(role: &'a str, peer: [&'a str; 2], dealer: &'a str, more: &[&'a str]) -> Child {
    let mut arguments = vec![
        "party", "--role", role, peer[0], peer[1], "--dealer", dealer, "--wait", "20",
    ];
    if !more.contains(&"--limit") {
        arguments.extend(["--limit", "3"]);
    }
    arguments.extend(more);
    start(&arguments)
}

#[test]
fn threads_and_processes_make_the_same_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let spdz = |triples| {
        vec![
            "--protocol",
            "spdz",
            "--activation",
            "pond-relu",
            "--triples",
            triples,
        ]
    };
    let private = vec!["--dp-noise", "1.5", "--dp-clip", "0.5"];
    for protocol in [
        vec![],
        spdz("baseline"),
        spdz("seed"),
        spdz("fused"),
        private,
    ] {
        let mut models = Vec::new();
        for link in ["memory", "tcp"] {
            let path = dir.path().join(link);
            let path = path.to_str().expect("UTF-8");
            let mut arguments = vec!["train", "--link", link, "--limit", "5", "--seed", "4"];
            arguments.extend(["--share-of-p0", "0.5", "--twin", "--save", path]);
            arguments.extend(&protocol);
            success(&arguments);
            models.push(std::fs::read(path).expect("a model"));
        }
        assert!(models[0] == models[1], "{protocol:?}");
    }
}

#[test]
fn roles_on_their_own_train_and_reveal_to_the_receiver_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.safetensors");
    let path = path.to_str().expect("UTF-8");
    let (d, p) = (address(), address());
    let share = ["--share-of-p0", "0.5", "--reveal-to", "p1"];
    let p1 = party(
        "p1",
        ["--peer", &p],
        &d,
        &[&share[..], &["--save", path]].concat(),
    );
    let p0 = party("p0", ["--listen", &p], &d, &share);
    let dealer = dealer(&d);
    for child in [p0, p1, dealer] {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        assert!(out.contains("done"), "{out}");
    }
    assert!(std::fs::metadata(path).expect("a model").len() > 1000);
    // A party that does not receive the model cannot save it.
    let sender = ["--save", path, "--reveal-to", "p1"];
    let line = complaint(party("p0", ["--listen", &p], &d, &sender));
    assert!(line.contains("--reveal-to p0"), "{line}");
}

/// A party that waits for its peer, and whose dealer waits for that peer too.
fn half_a_session() -> ([Child; 2], [String; 2]) {
    let (d, p) = (address(), address());
    let children = [dealer(&d), party("p0", ["--listen", &p], &d, &[])];
    (children, [d, p])
}

#[test]
fn differing_sessions_are_refused_by_name_and_the_others_wait_on() {
    let cases = [
        (&["--batch", "16"][..], "batch sizes"),
        (&["--lr", "0.5"], "learning rates"),
        (&["--momentum", "0.5"], "momenta"),
        (&["--protocol", "spdz"], "models"),
        (&["--fraction-bits", "11"], "fraction bits"),
        (&["--ring", "u64"], "rings"),
        (&["--epochs", "3"], "numbers of epochs"),
        (&["--share-of-p0", "0.25"], "numbers of samples"),
        (&["--seed", "9"], "seeds"),
        (&["--limit", "2"], "limits"),
        (&["--audit", "2"], "audits"),
        (&["--reveal-loss"], "wishes to learn the loss"),
        (&["--nesterov"], "momenta"),
        (&["--clip-value", "2"], "bounds of gradients"),
        (&["--dp-noise", "2"], "private gradients"),
        (
            &["--class-weights", "1,1,1,1,1,1,1,1,1,2"],
            "learning rates",
        ),
    ];
    let halves = cases.map(|_| half_a_session());
    // Each P0 reaches its dealer.
    std::thread::sleep(Duration::from_secs(2));
    let strangers: Vec<Child> = cases
        .iter()
        .zip(&halves)
        .map(|((extra, _), (_, [d, p]))| party("p1", ["--peer", p], d, extra))
        .collect();
    for ((stranger, (_, what)), ([dealer, p0], [d, p])) in
        strangers.into_iter().zip(cases).zip(halves)
    {
        let line = complaint(stranger);
        assert!(line.contains("refused") && line.contains(what), "{line}");
        // The right party comes a moment later, and the session runs.
        let p1 = party("p1", ["--peer", &p], &d, &[]);
        for (name, child) in [("p1", p1), ("p0", p0), ("dealer", dealer)] {
            let (well, out, err) = end(child);
            assert!(well, "{what}, {name}: {out}{err}");
            assert_eq!(name == "dealer", err.contains(what), "{name}: {err}");
        }
    }
}

#[test]
fn private_gradients_tell_what_they_guarantee() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.safetensors");
    let (d, p) = (address(), address());
    let share = [
        "--share-of-p0",
        "0.5",
        "--reveal-to",
        "p1",
        "--dp-epsilon",
        "5",
        "--dp-delta",
        "1e-4",
        "--batch",
        "64",
        "--validate",
        "50,0",
    ];
    let saved = ["--save", name(&path)];
    let p1 = party("p1", ["--peer", &p], &d, &[&share[..], &saved].concat());
    let p0 = party("p0", ["--listen", &p], &d, &share);
    let dealer = dealer(&d);
    for (name, child) in [("p0", p0), ("p1", p1), ("dealer", dealer)] {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        let told = err.contains("private gradients") && err.contains("at delta 1e-4");
        assert_eq!(told, name != "dealer", "{name}: {err}");
    }
    let bytes = std::fs::read(&path).expect("a model");
    let header = String::from_utf8_lossy(&bytes);
    let (_, privacy) = header
        .split_once("epsilon")
        .expect("an epsilon in the file");
    let number = |text: &str| -> f64 {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let text = text.trim_start_matches(|c| !digits(c));
        let end = text.find(|c| !digits(c)).unwrap_or(text.len());
        text[..end].parse().expect("a number")
    };
    let epsilon = number(privacy);
    assert!((4.9..=5.0).contains(&epsilon), "{epsilon}");
}

#[test]
fn what_private_gradients_cannot_do_is_refused_in_one_line() {
    for (arguments, part) in [
        (&["--dp-clip", "1"][..], "do nothing alone"),
        (&["--dp-epsilon", "0"], "epsilon is 0"),
        (&["--dp-epsilon", "-1"], "epsilon is -1"),
        (&["--dp-noise", "-1"], "noise"),
        (&["--dp-noise", "nan"], "noise"),
        (&["--dp-noise", "1", "--dp-delta", "0"], "--dp-delta 0"),
        (&["--dp-noise", "1", "--dp-clip", "0"], "--dp-clip 0"),
        (&["--dp-noise", "1", "--dp-clip", "300"], "--dp-clip 300"),
        (
            &["--dp-noise", "1", "--reveal-loss"],
            "losses that are revealed",
        ),
        (
            &["--dp-noise", "1", "--clip-value", "1"],
            "clipping of the values",
        ),
        (
            &["--dp-noise", "1", "--protocol", "securenn"],
            "private gradients",
        ),
        (
            &["--dp-noise", "1", "--protocol", "spdz"],
            "private gradients",
        ),
    ] {
        let line = failure(&[&["train", "--epochs", "1"], arguments].concat());
        assert!(line.contains(part), "{arguments:?}: {line}");
    }
}

#[test]
fn a_delta_that_allows_to_publish_an_image_is_told() {
    for (delta, told) in [("0.01", true), ("1e-4", false)] {
        let arguments = [
            "train",
            "--dp-noise",
            "2",
            "--dp-delta",
            delta,
            "--limit",
            "1",
        ];
        let (well, _, err) = end(start(&arguments));
        assert!(well, "{err}");
        assert_eq!(err.contains("not below 1 / images"), told, "{err}");
    }
}

#[test]
fn the_guide_shows_choices_with_the_same_epsilon() {
    let arguments = [
        "plan",
        "--dp",
        "--samples",
        "6000,4000",
        "--model",
        "convnet1",
        "--batch",
        "256",
        "--epochs",
        "4",
        "--dp-epsilon",
        "3",
        "--json",
    ];
    let choices: serde_json::Value = serde_json::from_str(&success(&arguments)).expect("JSON");
    let choices = choices.as_array().expect("choices");
    assert!(choices.len() >= 6, "{choices:?}");
    let number = |choice: &serde_json::Value, name: &str| choice[name].as_f64().expect("a number");
    for choice in choices {
        assert!(
            (2.99..=3.0).contains(&number(choice, "epsilon")),
            "{choice}"
        );
    }
    // Larger batches take more noise, and have less of it in the mean.
    for pair in choices.windows(2) {
        if pair[0]["epochs"] == pair[1]["epochs"] {
            assert!(number(&pair[0], "noise") < number(&pair[1], "noise"));
            let [one, other] = [&pair[0], &pair[1]].map(|choice| number(choice, "noise_of_mean"));
            assert!(one > other);
        }
    }
    let line = failure(&["plan", "--dp", "--model", "convnet1"]);
    assert!(line.contains("--dp-epsilon"), "{line}");
}

#[test]
fn two_parties_of_one_role_are_refused() {
    let ([dealer, p0], [d, p]) = half_a_session();
    std::thread::sleep(Duration::from_secs(1));
    let line = complaint(party("p0", ["--peer", &p], &d, &[]));
    assert!(line.contains("two parties p0"), "{line}");
    let (_, _, err) = end(dealer);
    assert!(err.contains("two parties p0"), "{err}");
    complaint(p0);
}

#[test]
fn strangers_are_turned_away_and_the_run_continues() {
    let (d, p) = (address(), address());
    let (mut dealer, mut p0) = (dealer(&d), party("p0", ["--listen", &p], &d, &[]));
    let told = [Saying::of(&mut dealer), Saying::of(&mut p0)];
    for (at, greeting) in [
        (&d, "GET / HTTP/1.1"),
        (&d, ""),
        (&p, "hello, is anyone there?"),
        (&p, ""),
    ] {
        let mut stream = None;
        wait_until("listening", Duration::from_secs(20), || {
            stream = TcpStream::connect(at).ok();
            stream.is_some()
        });
        let mut stream = stream.expect("a connection");
        stream.write_all(greeting.as_bytes()).expect("to send");
    }
    // A role that has met its partners says no more of strangers.
    for role in &told {
        role.wait_for("turned away", 2);
    }
    let p1 = party("p1", ["--peer", &p], &d, &[]);
    for (name, child) in [("dealer", dealer), ("p0", p0), ("p1", p1)] {
        let (well, out, err) = end(child);
        assert!(well, "{name}: {out}{err}");
        assert!(!err.contains("turned away"), "{name}: {err}");
    }
    for role in told {
        let err = role.all();
        assert!(err.lines().all(is_notice), "{err}");
    }
}

#[test]
fn a_role_that_freezes_is_told_by_name() {
    let (d, p) = (address(), address());
    let dir = tempfile::tempdir().expect("a directory");
    let metrics = dir.path().join("metrics");
    let long = [&ENDLESS[..], &["--idle", "4", "--metrics", name(&metrics)]].concat();
    let long_p1 = [&ENDLESS[..], &["--idle", "60"]].concat();
    let children = [
        dealer(&d),
        party("p0", ["--listen", &p], &d, &long),
        party("p1", ["--peer", &p], &d, &long_p1),
    ];
    wait_for_lines(&metrics);
    let [dealer, p0, p1] = children;
    let stop = |signal: &str, id: u32| {
        let status = std::process::Command::new("kill")
            .args([signal, &id.to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    };
    stop("-STOP", p1.id());
    let line = complaint(p0);
    assert!(
        line.contains("the peer has been silent for too long"),
        "{line}"
    );
    stop("-CONT", p1.id());
    complaint(p1);
    complaint(dealer);
}

#[test]
fn processes_whose_output_nobody_reads_end() {
    let mut child = start(&[&["train", "--link", "tcp"], &ENDLESS[..]].concat());
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    drop(output);
    let (well, _, err) = end(child);
    assert!(!well);
    assert!(err.lines().all(is_notice), "{err}");
}

#[test]
fn roles_that_nobody_joins_give_up_with_the_remedy() {
    let d = address();
    let line = complaint(start(&["dealer", "--listen", &d, "--wait", "1"]));
    assert!(line.contains("--wait"), "{line}");
    let line = complaint(start(&[
        "party", "--role", "p1", "--peer", &d, "--dealer", &d, "--wait", "1",
    ]));
    assert!(line.contains("cannot reach the dealer"), "{line}");
}

#[test]
fn when_one_role_is_killed_all_end_and_say_so() {
    for victim in 0..3 {
        let (d, p) = (address(), address());
        let dir = tempfile::tempdir().expect("a directory");
        let metrics = dir.path().join("metrics");
        let seen = [&ENDLESS[..], &["--metrics", name(&metrics)]].concat();
        let mut children = [
            dealer(&d),
            party("p0", ["--listen", &p], &d, &ENDLESS),
            party("p1", ["--peer", &p], &d, &seen),
        ];
        wait_for_lines(&metrics);
        children[victim].kill().expect("to kill");
        let names = ["dealer", "p0", "p1"];
        for (name, child) in names.into_iter().zip(children) {
            if name == names[victim] {
                continue;
            }
            let line = complaint(child);
            assert!(
                line.contains("closed the link"),
                "{name} after {victim}: {line}"
            );
        }
    }
}
