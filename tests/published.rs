//! The published protocol: running it gives its published table, cell by cell, and it learns what its plaintext twin
//! learns.

use std::path::Path;

use ringlet_tests::{failure, mnist, success};
use serde_json::Value;

/// Values that one party opens in an iteration of convnet2 with a batch of 128, forward and backward, layer by layer. The
/// published protocol has no softmax: it reveals the logits.
const LAYERS: [&str; 5] = [
    "conv1+pool",
    "polynomial1",
    "conv2+pool",
    "polynomial2",
    "dense1",
];
const BASELINE: [[u64; 2]; 5] = [
    [903_456, 4_114_432],
    [3_211_264, 3_211_264],
    [7_234_560, 8_840_192],
    [802_816, 802_816],
    [216_384, 218_944],
];
const SEED: [[u64; 2]; 5] = [
    [100_640, 802_816],
    [1_605_632, 802_816],
    [812_032, 200_704],
    [401_408, 200_704],
    [216_384, 1_280],
];
const FUSED: [[u64; 2]; 5] = [
    [100_640, 802_816],
    [802_816, 802_816],
    [812_032, 200_704],
    [200_704, 200_704],
    [216_384, 1_280],
];

fn records(path: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a metrics file");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .filter(|record: &Value| record["kind"] == kind)
        .collect()
}

const ARGUMENTS: [&str; 8] = [
    "--model",
    "convnet2",
    "--batch",
    "128",
    "--protocol",
    "spdz",
    "--seed",
    "1",
];

#[test]
fn every_cell_of_the_published_table_comes_out_by_running() {
    let Some(mnist) = mnist() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for (triples, cells, total) in [
        ("baseline", BASELINE, 29_556_128),
        ("seed", SEED, 5_144_416),
        ("fused", FUSED, 4_140_896),
    ] {
        assert_eq!(cells.iter().flatten().sum::<u64>(), total);
        let file = dir.path().join(triples);
        let mut arguments = vec!["train", "--data", mnist.to_str().expect("UTF-8")];
        arguments.extend(ARGUMENTS);
        arguments.extend(["--triples", triples, "--epochs", "1", "--limit", "1"]);
        arguments.extend(["--metrics", file.to_str().expect("UTF-8")]);
        success(&arguments);
        let record = &records(&file, "iteration")[0];
        let layers = record["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), LAYERS.len() + 1);
        for ((layer, name), [forward, backward]) in layers.iter().zip(LAYERS).zip(cells) {
            assert_eq!(layer["name"], name);
            assert_eq!(layer["opened_values_forward"], forward, "{triples} {name}");
            assert_eq!(
                layer["opened_values_backward"], backward,
                "{triples} {name}"
            );
        }
        let softmax = &layers[LAYERS.len()];
        assert_eq!(softmax["name"], "softmax");
        let softmax = softmax["opened_values_forward"].as_u64().expect("a count");
        assert_eq!(record["opened_values"], total + softmax);
    }
}

#[test]
fn the_plan_has_the_same_cells() {
    for (triples, cells, later) in [
        ("baseline", BASELINE, 29_556_128),
        ("seed", SEED, 5_144_416),
        ("fused", FUSED, 4_040_544),
    ] {
        let mut arguments = vec!["plan", "--json", "--triples", triples];
        arguments.extend(ARGUMENTS);
        let plan: Value = serde_json::from_str(&success(&arguments)).expect("JSON");
        let layers = plan["layers"].as_array().expect("layers");
        for ((layer, name), [forward, backward]) in layers.iter().zip(LAYERS).zip(cells) {
            assert_eq!(layer["name"], name);
            assert_eq!(layer["forward"]["opened_values"], forward);
            assert_eq!(layer["backward"]["opened_values"], backward);
        }
        let softmax = layers[5]["forward"]["opened_values"]
            .as_u64()
            .expect("a count");
        assert_eq!(plan["opened_values_later_epochs"], later + softmax);
    }
}

#[test]
fn polynomials_learn_what_their_twins_learn() {
    let runs = [
        ("fused", "relu:3", "40", 0.6, 0.02),
        ("fused", "pond-relu", "30", 0.5, 0.02),
    ];
    learn_what_their_twins_learn("32", &runs);
}

#[test]
#[ignore = "takes minutes"]
fn polynomials_learn_for_longer() {
    let runs = [
        ("fused", "relu:3", "235", 0.9, 0.01),
        ("fused", "pond-relu", "30", 0.5, 0.02),
        ("seed", "relu:2:-2:2", "30", 0.6, 0.02),
    ];
    learn_what_their_twins_learn("128", &runs);
}

/// Trains convnet1 on MNIST with polynomials, in batches of so many images: triples, the polynomial, iterations, the least part of
/// held-out images that it gets right, and the most that its twin differs.
fn learn_what_their_twins_learn(batch: &str, runs: &[(&str, &str, &str, f64, f64)]) {
    let Some(mnist) = mnist() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for &(triples, activation, limit, least, apart) in runs {
        let file = dir.path().join(activation);
        let out = success(&[
            "train",
            "--data",
            mnist.to_str().expect("UTF-8"),
            "--model",
            "convnet1",
            "--batch",
            batch,
            "--protocol",
            "spdz",
            "--triples",
            triples,
            "--activation",
            activation,
            "--lr",
            "0.0625",
            "--epochs",
            "1",
            "--seed",
            "1",
            "--twin",
            "--metrics",
            file.to_str().expect("UTF-8"),
            "--limit",
            limit,
        ]);
        assert!(out.contains("every value kept the range contract"), "{out}");
        let epoch = &records(&file, "epoch")[0];
        let accuracy = epoch["accuracy"].as_f64().expect("an accuracy");
        let twin = epoch["twin_accuracy"].as_f64().expect("a twin");
        println!("{activation}: {accuracy:.4}, twin {twin:.4}");
        assert!(accuracy > least, "{activation} {accuracy}");
        assert!(
            (accuracy - twin).abs() <= apart,
            "{activation}: {accuracy} {twin}"
        );
    }
}

#[test]
fn what_does_not_go_together_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (&["--triples", "seed"][..], "belongs to --protocol spdz"),
        (&["--activation", "relu:3"], "belongs to --protocol spdz"),
        (
            &["--protocol", "spdz", "--activation", "relu:8:-1:1"],
            "wider than the 128 bits",
        ),
        (
            &["--protocol", "spdz", "--fraction-bits", "15"],
            "choose 8 to 14",
        ),
    ] {
        let mut all = vec!["plan", "--model", "convnet2"];
        all.extend(arguments);
        let line = failure(&all);
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn polynomials_are_configured_layer_by_layer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.json");
    let text = r#"{"name":"mixed","input":[8,8,1],"layers":[
        {"conv2d":{"channels":4,"kernel":3,"stride":1,"padding":1}},
        {"polynomial":{"relu":{"degree":4,"interval":[-2,2]}}},
        {"avg_pool":{"window":2}},"flatten",
        {"dense":{"units":12}},{"polynomial":"pond_sigmoid"},
        {"dense":{"units":12}},{"polynomial":{"coefficients":{"values":[0.1,0.5,0.3],"interval":[-4,4]}}},
        {"dense":{"units":12}},"relu",
        {"dense":{"units":10}}]}"#;
    std::fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("UTF-8");
    for protocol in ["exact", "spdz"] {
        let mut arguments = vec!["train", "--model", path, "--protocol", protocol];
        arguments.extend(["--limit", "20", "--seed", "2", "--twin", "--lr", "0.03"]);
        let out = success(&arguments);
        assert!(out.contains("every value kept the range contract"), "{out}");
        // The fourth activation is ReLU, or the polynomial that replaces it.
        assert_eq!(out.contains("relu1"), protocol == "exact", "{out}");
        assert!(out.contains("polynomial3"), "{out}");
    }
}
