//! SecureNN from the command line: threads, processes, and refused options.

use std::process::Child;

use ringlet_tests::{address, complaint, end, failure, metrics as records, start, success};

const SECURENN: [&str; 2] = ["--protocol", "securenn"];

fn party(role: &str, peer: [&str; 2], helper: [&str; 2], more: &[&str]) -> Child {
    let mut arguments = vec!["party", "--role", role, "--limit", "2", "--wait", "20"];
    arguments.extend(peer);
    arguments.extend(helper);
    arguments.extend(more);
    start(&arguments)
}

#[test]
fn threads_and_processes_make_the_same_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let triples = ["--triples", "seed"];
    for more in [vec![], triples.to_vec(), vec!["--loss", "normalised"]] {
        let made = ["memory", "tcp"].map(|link| {
            let [model, metrics] = ["model", "metrics"].map(|name| {
                let path = dir.path().join(format!("{name}-{link}"));
                path.to_str().expect("UTF-8").to_owned()
            });
            let mut arguments = vec!["train", "--link", link, "--limit", "3", "--seed", "4"];
            arguments.extend(["--share-of-p0", "0.5", "--twin", "--batch", "8"]);
            arguments.extend(["--save", &model, "--metrics", &metrics]);
            arguments.extend(SECURENN);
            arguments.extend(&more);
            success(&arguments);
            let first = &records(metrics.as_ref(), "iteration")[0];
            let bytes = ["online_bytes_p0", "online_bytes_p1", "dealer_bytes_p1"]
                .map(|key| first[key].as_u64().expect("a number"));
            (std::fs::read(model).expect("a model"), bytes)
        });
        assert!(made[0] == made[1], "{more:?}");
    }
}

#[test]
fn what_is_counted_is_what_the_plan_says() {
    let audit = ["--audit", "1", "--micro-batch", "3"];
    let dir = tempfile::tempdir().expect("a directory");
    let metrics = dir.path().join("metrics");
    let metrics = metrics.to_str().expect("UTF-8");
    for more in [
        vec![],
        vec!["--triples", "seed", "--micro-batch", "3"],
        vec!["--loss", "normalised"],
        audit.to_vec(),
    ] {
        let shared = [&["--batch", "8"], &SECURENN[..], &more].concat();
        let plan = success(&[&["plan", "--json"], &shared[..]].concat());
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
        let train = ["train", "--limit", "2", "--metrics", metrics];
        success(&[&train, &shared[..]].concat());
        // The first iteration also counts the keys.
        let second = &records(metrics.as_ref(), "iteration")[1];
        let counted: u64 = [
            "online_bytes_p0",
            "online_bytes_p1",
            "dealer_bytes_p0",
            "dealer_bytes_p1",
        ]
        .map(|key| second[key].as_u64().expect("a number"))
        .iter()
        .sum();
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let [mut bytes, mut rounds] = ["all_parties_bytes", "rounds"].map(|key| number(&plan[key]));
        let added = &plan["audit"];
        assert_eq!(added.is_null(), more != audit);
        if more == audit {
            // Each party sends the same, and the assistant to P1 alone.
            bytes += 2 * number(&added["online_bytes"]) + number(&added["dealer_bytes_p1"]);
            rounds += number(&added["rounds"]);
        }
        assert_eq!(bytes, counted, "{more:?}");
        assert_eq!(rounds, number(&second["rounds"]), "{more:?}");
        let table = success(&[&["plan"], &shared[..]].concat());
        assert!(table.contains("all three roles"), "{table}");
        assert_eq!(
            table.contains("An audited iteration, one in 1,"),
            more == audit
        );
    }
}

#[test]
fn three_processes_train_and_reveal_to_the_receiver_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.safetensors");
    let path = path.to_str().expect("UTF-8");
    let (a, p) = (address(), address());
    let share = [
        &SECURENN[..],
        &["--batch", "8", "--share-of-p0", "0.5", "--reveal-to", "p1"],
    ]
    .concat();
    let children = [
        start(&["assistant", "--listen", &a, "--wait", "20"]),
        party("p0", ["--listen", &p], ["--assistant", &a], &share),
        party(
            "p1",
            ["--peer", &p],
            ["--assistant", &a],
            &[&share[..], &["--save", path]].concat(),
        ),
    ];
    for child in children {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        assert!(out.contains("done"), "{out}");
    }
    assert!(std::fs::metadata(path).expect("a model").len() > 1000);
}

#[test]
fn a_dealer_and_an_assistant_are_not_taken_for_each_other() {
    for (host, option, more, what) in [
        ("dealer", "--assistant", &SECURENN[..], "the dealer listens"),
        ("assistant", "--dealer", &[], "the assistant listens"),
    ] {
        let (h, p) = (address(), address());
        let children = [
            start(&[host, "--listen", &h, "--wait", "8"]),
            party("p0", ["--listen", &p], [option, &h], more),
            party("p1", ["--peer", &p], [option, &h], more),
        ];
        let [helper, p0, p1] = children;
        for line in [p0, p1].map(complaint) {
            assert!(line.contains(what), "{line}");
        }
        // The helper tells its user too, and waits on for parties that want it.
        let (well, _, err) = end(helper);
        assert!(!well && err.contains(what), "{err}");
    }
}

#[test]
fn protocols_that_differ_are_refused() {
    let (a, p) = (address(), address());
    let other = [&SECURENN[..], &["--loss", "normalised"]].concat();
    let assistant = start(&["assistant", "--listen", &a, "--wait", "8"]);
    let p0 = party("p0", ["--listen", &p], ["--assistant", &a], &SECURENN);
    // P0 comes first.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let line = complaint(party("p1", ["--peer", &p], ["--assistant", &a], &other));
    assert!(line.contains("different protocols"), "{line}");
    let (well, _, err) = end(assistant);
    assert!(!well && err.contains("different protocols"), "{err}");
    complaint(p0);
}

#[test]
fn what_does_not_belong_to_securenn_is_refused_with_the_reason() {
    for (more, what) in [
        (&["--ring", "u32"][..], "64 bits"),
        (&["--triples", "fused"], "anew"),
        (&["--activation", "relu:3"], "--activation belongs"),
    ] {
        let line = failure(&[&["train"], &SECURENN[..], more].concat());
        assert!(line.contains(what), "{line}");
    }
    let line = failure(&["train", "--loss", "normalised"]);
    assert!(line.contains("--loss belongs"), "{line}");
    let line = failure(&[&["deal", "--out", "nowhere"], &SECURENN[..]].concat());
    assert!(line.contains("securenn"), "{line}");
}
