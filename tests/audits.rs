//! Range audits from the command line: their results, and that they cost what the plan says.

use std::{fs, path::Path};

use ringlet::data::{
    model_file::{self, Marks},
    parameters::Parameters,
};
use ringlet_tests::{address, complaint, end, metrics, ringlet, start, success, text};
use serde_json::Value;

/// Values out of range by layer, forward and backward.
fn outside(record: &Value) -> Vec<(String, u64, u64)> {
    let layers = record["layers"].as_array().expect("layers").iter();
    layers
        .map(|layer| {
            let count = |key: &str| layer[key].as_u64().expect("a count");
            (
                layer["name"].as_str().expect("a name").to_owned(),
                count("outside_forward"),
                count("outside_backward"),
            )
        })
        .collect()
}

#[test]
fn audited_iterations_cost_what_the_plan_says_and_a_sound_run_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    let path = file.to_str().expect("UTF-8");
    for more in [&[][..], &["--ring", "u64", "--micro-batch", "5"]] {
        let arguments = ["train", "--limit", "6", "--audit", "4", "--metrics", path];
        let out = success(&[&arguments[..], more].concat());
        assert!(
            out.contains("all 2 audits found every value in its range"),
            "{out}"
        );
        let plan = success(&[&["plan", "--audit", "4", "--json"][..], more].concat());
        let plan: Value = serde_json::from_str(&plan).expect("a plan in JSON");
        for record in metrics(&file, "iteration") {
            let audited = record["iteration"].as_u64().expect("a number") % 4 == 1;
            for (key, measured) in [
                ("online_bytes", "online_bytes_p0"),
                ("dealer_bytes_p1", "dealer_bytes_p1"),
                ("rounds", "rounds"),
                ("opened_values", "opened_values"),
            ] {
                let audit = if audited {
                    plan["audit"][key].as_u64().expect("a cost")
                } else {
                    0
                };
                let plain = plan[key].as_u64().expect("a cost");
                assert_eq!(record[measured], plain + audit, "{key} {record}");
            }
        }
        let audits = metrics(&file, "audit");
        let iterations: Vec<_> = audits.iter().map(|a| a["iteration"].as_u64()).collect();
        assert_eq!(iterations, [Some(1), Some(5)]);
        for audit in &audits {
            assert!(
                outside(audit).iter().all(|&(_, f, b)| f + b == 0),
                "{audit}"
            );
        }
    }
    let plan = success(&["plan", "--json"]);
    let plan: Value = serde_json::from_str(&plan).expect("a plan in JSON");
    assert!(plan["audit"].is_null());
}

#[test]
fn what_leaves_its_range_is_told_by_layer_over_every_link() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut told = Vec::new();
    for link in ["memory", "tcp"] {
        let file = dir.path().join(link);
        let output = ringlet(&[
            "train",
            "--link",
            link,
            "--lr",
            "16",
            "--limit",
            "12",
            "--seed",
            "3",
            "--audit",
            "5",
            "--on-range",
            "warn",
            "--metrics",
            file.to_str().expect("UTF-8"),
        ]);
        let (out, warnings) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{warnings}");
        assert!(
            out.contains("2 of 3 audits found values outside their range"),
            "{out}"
        );
        let audits = metrics(&file, "audit");
        for audit in &audits {
            for (name, forward, backward) in outside(audit) {
                for (pass, count) in [("forward", forward), ("backward", backward)] {
                    let iteration = &audit["iteration"];
                    let place = format!("at {name} {pass} in iteration {iteration},");
                    let line =
                        format!("warning: {count} values outside the range contract {place}");
                    let named = warnings.contains(if count > 0 { &line } else { &place });
                    assert_eq!(named, count > 0, "{line}\n{warnings}");
                }
            }
        }
        told.push(audits);
    }
    assert_eq!(told[0], told[1]);
    assert!(outside(&told[0][0]).iter().all(|&(_, f, b)| f + b == 0));
    let (name, forward, backward) = &outside(&told[0][2])[0];
    assert!(
        name == "conv1" && *forward > 100 && *backward > 0,
        "{told:?}"
    );
}

#[test]
fn parties_whose_values_leave_the_range_keep_the_checkpoint_before_that() {
    keeps_the_checkpoint_before(&[]);
    keeps_the_checkpoint_before(&["--micro-batch", "16", "--threads", "2"]);
}

fn keeps_the_checkpoint_before(threads: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let model = path("model");
    let (at, meeting) = (address(), address());
    // It waits for parties that go on, and gives up.
    let dealer = [
        "dealer",
        "--listen",
        &at,
        "--wait",
        "8",
        "--secret-seed",
        "7",
    ];
    let dealer = start(&dealer);
    // With some weights no ReLU lets anything through after the first step, and all values stay small.
    let session = [
        "--secret-seed",
        "7",
        "--lr",
        "16",
        "--limit",
        "60",
        "--audit",
        "1",
        "--reveal-to",
        "p1",
    ];
    let parties = [
        ("p0", vec!["--listen", &meeting]),
        ("p1", vec!["--peer", &meeting, "--save", &model]),
    ];
    let parties = parties.map(|(role, more)| {
        let kept = path(role);
        let party = ["party", "--role", role, "--dealer", &at];
        let keep = ["--checkpoint", &kept, "--every", "1"];
        (
            role,
            start(&[&party[..], &keep, &session, threads, &more].concat()),
        )
    });
    let mut told = Vec::new();
    for (role, party) in parties {
        let (well, out, err) = end(party);
        assert!(!well && !out.contains("done"), "{role}: {out}{err}");
        let line = err.lines().last().expect("a line");
        let (_, rest) = line
            .split_once("error: values left the range contract in iteration ")
            .expect(line);
        let (iteration, rest) = rest.split_once(": ").expect(line);
        assert!(rest.contains("ward"), "{line}");
        told.push(iteration.parse::<u32>().expect("a number"));
        // Iterations count from 1, and a checkpoint has the number of those before it.
        let before = format!("{role}/{role}-{:010}.checkpoint", told[0] - 1);
        assert!(dir.path().join(&before).exists(), "{before}");
        let after = format!("{role}/{role}-{:010}.checkpoint", told[0]);
        assert!(!dir.path().join(&after).exists(), "{after}");
    }
    assert_eq!(told[0], told[1]);
    assert!(!Path::new(&model).exists());
    let (well, ..) = end(dealer);
    assert!(!well);
}

#[test]
fn parties_on_their_own_are_both_told_with_a_dealer_or_what_it_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("dealt");
    let out = out.to_str().expect("UTF-8");
    let common = ["--limit", "3", "--audit", "2", "--share-of-p0", "0.5"];
    success(&[&["deal", "--out", out][..], &common].concat());
    let at = address();
    let dealer = start(&["dealer", "--listen", &at]);
    for source in [["--dealer", &at], ["--dealt", out]] {
        let meeting = address();
        let peers = [["--listen", &meeting], ["--peer", &meeting]];
        let parties = ["p0", "p1"].into_iter().zip(peers).map(|(role, peer)| {
            start(&[&["party", "--role", role][..], &peer, &source, &common].concat())
        });
        for party in parties.collect::<Vec<_>>() {
            let (well, out, err) = end(party);
            assert!(well, "{out}{err}");
            assert!(
                out.contains(": all 2 audits found every value in its range"),
                "{out}"
            );
        }
    }
    let (well, out, err) = end(dealer);
    assert!(well, "{out}{err}");
}

/// Runs the three roles of SecureNN as processes, with these arguments of both parties and of each. Returns the ends of
/// the parties.
fn securenn_processes(both: &[&str], each: [&[&str]; 2]) -> [std::process::Child; 2] {
    let (at, meeting) = (address(), address());
    let shared = ["--protocol", "securenn", "--assistant", &at, "--wait", "30"];
    let peers = [["--listen", &meeting], ["--peer", &meeting]];
    let assistant = start(&["assistant", "--listen", &at, "--wait", "30"]);
    let parties = [0, 1].map(|index| {
        let role = ["party", "--role", ["p0", "p1"][index]];
        start(&[&role[..], &peers[index], &shared, both, each[index]].concat())
    });
    std::thread::spawn(move || end(assistant));
    parties
}

#[test]
fn parties_of_securenn_are_both_told_that_all_is_well() {
    let both = ["--limit", "3", "--audit", "2", "--share-of-p0", "0.5"];
    for party in securenn_processes(&both, [&[]; 2]) {
        let (well, out, err) = end(party);
        assert!(well, "{out}{err}");
        assert!(
            out.contains(": all 2 audits found every value in its range"),
            "{out}"
        );
    }
}

#[test]
fn parties_of_securenn_end_where_values_leave_their_range_and_name_the_layer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep.json");
    // Without activations nothing dies before it grows.
    let layers = r#""flatten", {"dense": {"units": 16}}, {"dense": {"units": 16}}, {"dense": {"units": 10}}"#;
    let text = format!(r#"{{"name": "deep", "input": [8, 8, 1], "layers": [{layers}]}}"#);
    fs::write(&path, text).expect("a file");
    let model = path.to_str().expect("UTF-8");
    let both = [
        "--model", model, "--limit", "12", "--audit", "1", "--lr", "200",
    ];
    let threads = ["--micro-batch", "16", "--threads", "2"];
    for both in [&both[..], &[&both[..], &threads].concat()] {
        for party in securenn_processes(both, [&[]; 2]) {
            let line = complaint(party);
            assert!(
                line.starts_with("error: values left the range contract in iteration ")
                    && (line.contains(" at dense2 forward")
                        || line.contains(" at dense2 backward"))
                    && line.contains(": use fewer --fraction-bits or a lower --lr, or go on"),
                "{line}"
            );
        }
    }
}

#[test]
fn classes_by_securenn_of_values_outside_their_range_are_not_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let layers = r#"["flatten", {"dense": {"units": 10}}]"#;
    let described = format!(r#"{{"name": "linear", "input": [8, 8, 1], "layers": {layers}}}"#);
    let path = dir.path().join("linear.json");
    fs::write(&path, &described).expect("a file");
    // The owner of the images knows the model's layers, but no parameter.
    let layers = ["--model", path.to_str().expect("UTF-8")];
    let described = serde_json::from_str(&described).expect("a model");
    let network = ringlet_core::network::Network::new(&described).expect("a network");
    // Logits have to stay below 2^36. The pixels of a digit add up to some 2^4.
    let save = |name: &str, weight: f32| {
        let path = dir.path().join(name);
        let parameters = Parameters {
            weights: (0..640).map(|at| weight * (10 + at % 10) as f32).collect(),
            biases: vec![0.0; 10],
        };
        let of = (&described, Marks::default());
        model_file::save(Path::new(&path), of, &network, &[parameters]).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    // A truncation fails the more often the larger its value is: those of the sound model are far from it.
    let (large, sound) = (save("large", 2f32.powi(29)), save("sound", 2f32.powi(8)));
    let both = [
        "--infer",
        "--samples",
        "9,0",
        "--batch",
        "4",
        "--audit",
        "1",
    ];
    for party in securenn_processes(&both, [&layers, &["--model-file", &large]]) {
        let line = complaint(party);
        assert!(
            line.starts_with("error: values left the range contract in batch 1: ")
                && line.contains(" at dense1 forward: use fewer --fraction-bits"),
            "{line}"
        );
    }
    for party in securenn_processes(&both, [&layers, &["--model-file", &sound]]) {
        let (well, out, err) = end(party);
        assert!(well, "{out}{err}");
        assert!(
            out.contains("audits found every value in its range"),
            "{out}"
        );
    }
}
