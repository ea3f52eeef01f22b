//! Private inference from the command line, by every protocol and by lone parties: only the owner of the images gets the
//! classes.

use std::path::Path;

use ringlet::data::model_file::{self, Trained};
use ringlet_tests::{
    TrainedOnce, address, end, failure, metrics, ringlet, start, success, trained,
};
use serde_json::Value;

/// A model of the built-in digits, trained once for all tests.
fn model() -> &'static Path {
    static MODEL: TrainedOnce = TrainedOnce::new();
    trained(&MODEL, &["--epochs", "4"])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The classes that `predict` finds with these options.
fn predict(more: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("classes.csv");
    let mut arguments = vec![
        "predict",
        "--model-file",
        text(model()),
        "--out",
        text(&out),
    ];
    arguments.extend(more);
    let said = success(&arguments);
    assert!(said.contains("% of them right"), "{said}");
    rows(&std::fs::read_to_string(out).expect("classes"))
}

/// The rows of classes in an output.
fn rows(said: &str) -> Vec<String> {
    let row = |line: &&str| {
        let mut numbers = line.split(',').map(|number| number.parse::<u32>());
        matches!(numbers.next(), Some(Ok(_))) && matches!(numbers.next(), Some(Ok(_)))
    };
    said.lines().filter(row).map(str::to_owned).collect()
}

/// The share of equal elements of two lists.
fn agreement(one: &[String], other: &[String]) -> f64 {
    assert_eq!(one.len(), other.len());
    let equal = one.iter().zip(other).filter(|(a, b)| a == b).count();
    equal as f64 / one.len() as f64
}

#[test]
fn every_protocol_finds_the_same_classes_but_at_ties() {
    let exact = predict(&[]);
    assert_eq!(exact.len(), 299);
    for more in [
        &["--asking", "p1", "--batch", "50", "--micro-batch", "7"][..],
        &["--ring", "u64"],
        &["--protocol", "spdz"],
        &["--protocol", "securenn", "--count", "299"],
        &[
            "--protocol",
            "securenn",
            "--triples",
            "seed",
            "--asking",
            "p1",
        ],
    ] {
        let other = predict(more);
        assert!(agreement(&exact, &other) > 0.98, "{more:?}");
    }
    // Nearly all are right.
    let said = success(&["predict", "--model-file", text(model())]);
    let right = said
        .lines()
        .find_map(|line| line.split(" % of them").next()?.parse().ok());
    let right: f64 = right.expect("a figure");
    assert!(right > 92.0, "{said}");
    assert!(said.contains("a later batch"), "{said}");
}

#[test]
fn evaluate_counts_what_predict_finds() {
    let seed = ["--seed", "5"];
    let model = ["--model-file", text(model())];
    let said = success(&[&["predict"], &model[..], &seed].concat());
    let right = said
        .lines()
        .find_map(|line| line.strip_suffix(" % of them right"));
    let told = success(&[&["evaluate"], &model[..], &seed].concat());
    let line = format!(
        "{} % of 299 held-out images right",
        right.expect("a figure")
    );
    assert!(told.contains(&line), "{line} {told}");
    let rows: Vec<Vec<u32>> = told
        .lines()
        .skip_while(|line| !line.starts_with("label \\ class"))
        .skip(1)
        .take(10)
        .map(|line| {
            let words = line.split_whitespace().skip(1).take(10);
            words.map(|word| word.parse().expect("a count")).collect()
        })
        .collect();
    assert_eq!(rows.iter().flatten().sum::<u32>(), 299);
    let diagonal: u32 = (0..10).map(|label| rows[label][label]).sum();
    let accuracy = format!("{:.2}", 100.0 * f64::from(diagonal) / 299.0);
    assert!(line.starts_with(&accuracy), "{line} {told}");
    assert!(told.contains("first, with model"), "{told}");
    let few = ["--count", "20", "--asking", "p1"];
    let told = success(&[&["evaluate"], &model[..], &few].concat());
    assert!(told.contains("of 20 held-out images right"), "{told}");
    let line = failure(&[&["evaluate"], &model[..], &["--count", "300"]].concat());
    assert!(
        line.contains("--count is 300, but there are 299 held-out images"),
        "{line}"
    );
}

#[test]
fn one_image_is_classified_alone() {
    let all = predict(&[]);
    for protocol in ["exact", "securenn"] {
        let arguments = ["--image", "7", "--protocol", protocol];
        let said = success(&[&["predict", "--model-file", text(model())], &arguments[..]].concat());
        assert_eq!(rows(&said), all[7..8], "{said}");
        assert!(said.contains("rounds"), "{said}");
    }
}

/// The name of the last layer in each batch's record of the metrics.
fn last_layers(path: &Path) -> Vec<String> {
    let last = |record: &Value| {
        let layers = record["layers"].as_array().expect("layers");
        let name = layers.last().map(|layer| layer["name"].as_str());
        name.flatten().expect("a name").to_owned()
    };
    metrics(path, "iteration").iter().map(last).collect()
}

#[test]
fn parties_on_their_own_classify_and_the_owner_of_the_images_alone_is_told() {
    let all = predict(&["--count", "9"]);
    let dir = tempfile::tempdir().expect("a directory");
    let metrics = dir.path().join("metrics");
    let threads = ["--micro-batch", "1", "--threads", "3"];
    for (host, option, protocol, dealing, more) in [
        ("dealer", "--dealer", "exact", &[][..], &[][..]),
        ("dealer", "--dealer", "exact", &threads[2..], &threads),
        ("assistant", "--assistant", "securenn", &[], &[]),
        (
            "assistant",
            "--assistant",
            "securenn",
            &threads[2..],
            &threads,
        ),
    ] {
        let (h, p) = (address(), address());
        let shared = [
            "--infer",
            "--samples",
            "9,0",
            "--batch",
            "4",
            "--wait",
            "20",
            "--protocol",
        ];
        let party = |role, own: &[&str]| {
            let mut arguments = vec!["party", "--role", role, option, &h];
            arguments.extend(shared);
            arguments.push(protocol);
            arguments.extend(own);
            arguments.extend(more);
            start(&arguments)
        };
        let children = [
            start(&[&[host, "--listen", &h, "--wait", "20"], dealing].concat()),
            party("p0", &["--listen", &p, "--metrics", text(&metrics)]),
            party("p1", &["--peer", &p, "--model-file", text(model())]),
        ];
        let [_, asks, owns] = children.map(|child| {
            let (well, out, err) = end(child);
            assert!(well, "{out}{err}");
            assert!(out.contains("done"), "{out}");
            rows(&out)
        });
        assert_eq!(asks, all, "{protocol}");
        assert!(owns.is_empty(), "{owns:?}");
        assert_eq!(last_layers(&metrics), ["class"; 3], "{protocol}");
    }
}

#[test]
fn who_owns_the_model_gives_it_and_nobody_else() {
    let party = |role, samples, more: &[&str]| {
        let arguments = [
            "party",
            "--infer",
            "--role",
            role,
            "--samples",
            samples,
            "--batch",
            "3",
            "--wait",
            "1",
            "--dealer",
            "127.0.0.1:9",
            "--peer",
            "127.0.0.1:9",
        ];
        failure(&[&arguments[..], more].concat())
    };
    let line = party("p1", "3,0", &[]);
    assert!(line.contains("p1 is to classify by its model"), "{line}");
    let line = party("p1", "0,3", &["--model-file", text(model())]);
    assert!(line.contains("the images are p1's own"), "{line}");
}

#[test]
fn classes_of_values_outside_their_range_are_not_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let large = dir.path().join("large");
    let Trained {
        model: model_of_digits,
        network,
        mut parameters,
        ..
    } = model_file::load(model(), None).expect("a model");
    // Logits of some ten are a few hundred then, where the ring of 32 bits has 64.
    for stage in &mut parameters {
        let last = stage.biases.len() == 10;
        let values = stage.weights.iter_mut().chain(&mut stage.biases);
        values.filter(|_| last).for_each(|value| *value *= 40.0);
    }
    let described = (&model_of_digits, model_file::Marks::default());
    model_file::save(&large, described.clone(), &network, &parameters).expect("a file");
    let arguments = ["predict", "--model-file", text(&large), "--count", "20"];
    let narrow = [&arguments[..], &["--range-bits", "6"]].concat();
    let line = failure(&narrow);
    assert!(
        line.contains("values left the range contract in batch 1: ")
            && line.contains(": use --range-bits 10 or --ring u64, or"),
        "{line}"
    );
    let output = ringlet(&[&narrow[..], &["--on-range", "warn"]].concat());
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not to be trusted"));
    // A parameter that the ring takes for another number.
    let mut huge = parameters.clone();
    huge[1].biases[3] = 512.5;
    let path = dir.path().join("huge");
    model_file::save(&path, described, &network, &huge).expect("a file");
    let line = failure(&["predict", "--model-file", text(&path)]);
    assert!(line.contains("has a parameter of 512.5"), "{line}");
    // What the message advises works.
    for remedy in [["--ring", "u64"], ["--range-bits", "10"]] {
        let wide = rows(&success(&[&arguments[..], &remedy].concat()));
        assert_eq!(wide, predict(&["--count", "20"]));
    }
}

#[test]
fn a_file_of_images_needs_no_labels() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("images");
    let mut bytes = Vec::new();
    for number in [0x803u32, 2, 8, 8] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend((0..128).map(|place| place as u8));
    std::fs::write(&file, &bytes).expect("to write");
    let arguments = [
        "predict",
        "--model-file",
        text(model()),
        "--data",
        text(&file),
    ];
    let said = success(&arguments);
    assert_eq!(rows(&said).len(), 2, "{said}");
    assert!(!said.contains("right"), "{said}");
    bytes.pop();
    std::fs::write(&file, &bytes).expect("to write");
    assert!(failure(&arguments).contains("cut short"));
}

#[test]
fn what_is_no_model_or_no_image_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = std::fs::read(model()).expect("a model");
    for (name, bytes, what) in [
        ("short", &bytes[..bytes.len() - 4], "is not a model"),
        ("foreign", &b"PK\x03\x04 and so on"[..], "is not a model"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("to write");
        let line = failure(&["predict", "--model-file", text(&path)]);
        assert!(line.contains(name) && line.contains(what), "{line}");
    }
    let line = failure(&["predict", "--model-file", "nowhere"]);
    assert!(line.contains("nowhere cannot be read"), "{line}");
    for number in ["299", "18446744073709551615"] {
        let line = failure(&["predict", "--model-file", text(model()), "--image", number]);
        assert!(line.contains("there are 299 images"), "{line}");
    }
}
