//! What roles tell on standard error while they run, without a terminal: how far they have got, in words or as JSON. Standard
//! output carries their results alone.

use std::process::Child;

use ringlet_tests::{address, end, failure, is_notice, ringlet, start, success, text};
use serde_json::Value;

/// Two epochs of 1,437 digits and part of a third, told of iteration by iteration or not.
fn train(more: &[&str]) -> [(String, String); 3] {
    let (d, p) = (address(), address());
    let dealer = start(&[&["dealer", "--listen", &d], more].concat());
    let party = |name, place: [&str; 2]| -> Child {
        let party = ["party", "--role", name, place[0], place[1], "--dealer", &d];
        let session = ["--batch", "500", "--epochs", "3", "--limit", "8"];
        start(&[&party, &session[..], more].concat())
    };
    let roles = [
        dealer,
        party("p0", ["--listen", &p]),
        party("p1", ["--peer", &p]),
    ];
    roles.map(|child| {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        (out, err)
    })
}

#[test]
fn roles_tell_of_iterations_and_of_whole_epochs() {
    let told = train(&["--verbose"]);
    for (role, (out, err)) in ["dealer", "p0", "p1"].into_iter().zip(told) {
        for wanted in [
            "iteration 1 of 8, ",
            "iteration 8 of 8, ",
            "epoch 1 is over",
            "epoch 2 is over",
        ] {
            assert!(err.contains(&format!("{role}: {wanted}")), "{role}: {err}");
        }
        assert!(!err.contains("epoch 3 is over"), "{err}");
        assert!(err.lines().all(is_notice), "{err}");
        for told in [
            "waiting for p1",
            "waiting for both",
            "serving",
            "iteration ",
            "epoch",
            "nobody",
        ] {
            assert!(!out.contains(told), "{role}: {out}");
        }
        assert!(out.contains("done"), "{out}");
    }
}

#[test]
fn json_has_a_line_for_each_thing_that_is_told() {
    let told = train(&["-v", "--log-format", "json"]);
    for (role, (_, err)) in ["dealer", "p0", "p1"].into_iter().zip(told) {
        let lines: Vec<Value> = err
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        assert!(
            lines
                .iter()
                .all(|line| line["level"] == "info" && line["time"].is_f64())
        );
        let last = lines.iter().rfind(|line| line["role"] == role);
        let last = last.unwrap_or_else(|| panic!("{err}"));
        assert_eq!(
            (&last["done"], &last["total"]),
            (&8.into(), &8.into()),
            "{last}"
        );
    }
    let output = ringlet(&["train", "--batch", "0", "--log-format", "json"]);
    let failed: Value = serde_json::from_str(&text(&output.stderr)).expect("one line of JSON");
    assert_eq!(failed["level"], "error");
    assert!(
        failed["message"]
            .as_str()
            .is_some_and(|message| message.contains("batch size"))
    );
}

#[test]
fn what_the_parser_refuses_is_one_line_or_one_record() {
    let misspelt = ["train", "--epoch", "3"];
    let output = ringlet(&misspelt);
    assert_eq!(output.status.code(), Some(2));
    let wanted =
        "error: unexpected argument '--epoch' found: a similar argument exists: '--epochs'\n";
    assert_eq!(text(&output.stderr), wanted);
    let dir = tempfile::tempdir().expect("a directory");
    let session = dir.path().join("session.toml");
    std::fs::write(&session, "fly = true\n").expect("a file");
    let file = session.to_str().expect("UTF-8");
    let from_file = ["dealer", "--listen", "127.0.0.1:9", "--session", file];
    for (arguments, code, wanted) in [(&misspelt[..], 2, "'--epochs'"), (&from_file, 1, "`fly`")] {
        let output = ringlet(&[arguments, &["--log-format", "json"]].concat());
        assert_eq!(output.status.code(), Some(code));
        let told: Value = serde_json::from_str(&text(&output.stderr)).expect("one line of JSON");
        assert_eq!(told["level"], "error");
        let message = told["message"].as_str().expect("a message");
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn measurements_and_images_are_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().to_str().expect("UTF-8");
    let compare = [
        "compare",
        "--model",
        "digits8",
        "--batch",
        "4",
        "--measure",
        "2",
        "--out",
        out,
    ];
    let told = |arguments: &[&str], more: &[&str]| {
        let output = ringlet(&[arguments, more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (_, err) = told(&compare, &["--verbose"]);
    for wanted in [
        "compare: iteration 1 of 8, seed baseline (",
        "iteration 8 of 8, exact (",
    ] {
        assert!(err.contains(wanted), "no `{wanted}`: {err}");
    }
    let bench = ["bench", "--model", "digits8", "--seconds", "0.2"];
    let (_, err) = told(&bench, &["--verbose", "--log-format", "json"]);
    let lines: Vec<Value> = err
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    assert!(lines.iter().any(|line| line["role"] == "bench"), "{err}");
    for (arguments, wanted) in [(&compare[..], "exact"), (&bench, "digits8")] {
        let (out, err) = told(arguments, &["--quiet"]);
        assert_eq!(err, "");
        assert!(out.contains(wanted), "{out}");
    }
    let (out, err) = told(&["data", "inspect"], &["--quiet"]);
    assert_eq!(err, "");
    assert!(out.contains("classes"), "{out}");
}

#[test]
fn quiet_roles_tell_nothing_but_results() {
    for (out, err) in train(&["--quiet"]) {
        assert_eq!(err, "");
        assert!(out.contains("done"), "{out}");
    }
    let line = failure(&["train", "--batch", "0", "--quiet"]);
    assert!(line.contains("batch size"), "{line}");
    let processes = ringlet(&["train", "--limit", "2", "--link", "tcp", "-q"]);
    assert_eq!(text(&processes.stderr), "");
}

#[test]
fn a_part_of_an_epoch_is_not_called_one() {
    let train = |limit| success(&["train", "--batch", "500", "--epochs", "2", "--limit", limit]);
    let whole = train("3");
    assert!(
        whole.contains("\nepoch 1: ") || whole.starts_with("epoch 1: "),
        "{whole}"
    );
    let part = train("2");
    assert!(
        part.contains("the end, within epoch 1: ") && !part.contains("\nepoch"),
        "{part}"
    );
    assert!(!part.starts_with("epoch"), "{part}");
}
