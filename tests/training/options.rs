//! Losses, and the options of a training, beside the twin that has them too.

use std::path::Path;

use ringlet::data::{Part, load};
use ringlet_tests::{failure, metrics, success};
use serde_json::Value;

/// Trains with these options beside the twin, which must be as good, and writes the metrics.
fn train_beside_twin(file: &Path, options: &[&str]) {
    let path = file.to_str().expect("a path in UTF-8");
    let train = ["train", "--twin", "--seed", "3", "--epochs", "4"];
    success(&[&train[..], &["--metrics", path], options].concat());
    let epochs = metrics(file, "epoch");
    let last = epochs.last().expect("an epoch");
    let [accuracy, twin] =
        ["accuracy", "twin_accuracy"].map(|name| last[name].as_f64().expect("an accuracy"));
    println!("{options:?}: {accuracy:.4}, twin {twin:.4}");
    assert!(
        accuracy > 0.88 && (accuracy - twin).abs() <= 0.02,
        "{options:?}"
    );
}

#[test]
fn the_loss_begins_at_that_of_a_guess_and_falls() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    let path = file.to_str().expect("a path in UTF-8");
    let guess = ["--model", "dense:10", "--initial-weights", "zero"];
    for more in [
        &["--label-smoothing", "0.1"][..],
        &["--protocol", "securenn"],
        &["--micro-batch", "5", "--range-bits", "10"],
    ] {
        let train = ["train", "--seed", "1", "--limit", "60", "--metrics", path];
        success(&[&train[..], &guess, more].concat());
        let losses: Vec<f64> = metrics(&file, "iteration")
            .iter()
            .map(|record| record["loss"].as_f64().expect("a loss"))
            .collect();
        assert!(
            (losses[0] - 10f64.ln()).abs() < 1e-9,
            "{more:?}: {losses:?}"
        );
        assert_eq!(losses.len(), 60);
        let last = losses[50..].iter().sum::<f64>() / 10.0;
        assert!(last < 1.5, "{more:?}: {last}");
    }
    // Parties in processes of their own see no loss.
    let train = ["train", "--link", "tcp", "--limit", "2", "--metrics", path];
    success(&train);
    let records = metrics(&file, "iteration");
    assert!(records.iter().all(|record| record["loss"].is_null()));
}

/// The loss that parties reveal is the mean of what a simulation sees of each iteration.
#[test]
fn the_revealed_loss_is_that_of_the_iterations() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    let path = file.to_str().expect("a path in UTF-8");
    for more in [
        &[][..],
        &[
            "--micro-batch",
            "5",
            "--range-bits",
            "10",
            "--share-of-p0",
            "0.5",
        ],
        &["--protocol", "spdz"],
        &["--ring", "u64", "--micro-batch", "16"],
    ] {
        let train = ["train", "--seed", "1", "--epochs", "2", "--metrics", path];
        let told = success(&[&train[..], &["--reveal-loss", "--batch", "30"], more].concat());
        let number = |record: &Value, name: &str| record[name].as_f64().expect("a number");
        let iterations = metrics(&file, "iteration");
        let epochs = metrics(&file, "epoch");
        let images = load(None, Part::Train).expect("built-in digits").len();
        for (epoch, losses) in epochs.iter().zip(iterations.chunks(images.div_ceil(30))) {
            let sizes = (0..images).step_by(30).map(|first| 30.min(images - first));
            let sums = losses
                .iter()
                .zip(sizes)
                .map(|(record, size)| number(record, "loss") * size as f64);
            let mean = sums.sum::<f64>() / images as f64;
            let revealed = number(epoch, "loss");
            println!("{more:?}: {revealed:.5}, {mean:.5}");
            assert!(
                (revealed - mean).abs() < 1.0 / 1024.0,
                "{more:?}: {revealed} {mean}"
            );
            assert!(
                told.contains(&format!("revealed loss {revealed:.4}")),
                "{told}"
            );
        }
        assert_eq!(epochs.len(), 2);
    }
    success(&["train", "--limit", "3", "--reveal-loss", "--metrics", path]);
    let epochs = metrics(&file, "epoch");
    assert!(
        epochs.iter().all(|epoch| epoch["loss"].is_null()),
        "{epochs:?}"
    );
}

/// The twin has class weights and clipped gradients too.
#[test]
fn class_weights_and_clipping_are_the_twins() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    for options in [
        &["--class-weights", "1,1,1,2,1,1,1,1,1.5,1"][..],
        &["--clip-value", "0.05", "--nesterov", "--lr", "0.02"],
    ] {
        train_beside_twin(&file, options);
    }
    let line = failure(&["train", "--class-weights", "1,2"]);
    assert!(line.contains("--class-weights has 2 numbers"), "{line}");
    let line = failure(&["train", "--nesterov", "--momentum", "0"]);
    assert!(line.contains("needs a momentum"), "{line}");
}

/// Options of a training change nothing that is sent, and the twin does as they say.
#[test]
fn training_options_send_nothing_and_the_twin_has_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("metrics.jsonl");
    let mut sent = Vec::new();
    for options in [
        &[][..],
        &["--schedule", "cosine", "--warm-up", "9"],
        &["--schedule", "step:2:0.3", "--initial-weights", "xavier"],
        &["--weight-decay", "0.01", "--label-smoothing", "0.2"],
        &["--nesterov", "--lr", "0.02"],
    ] {
        train_beside_twin(&file, options);
        let total = |name: &str| -> u64 {
            let records = metrics(&file, "iteration");
            records
                .iter()
                .filter_map(|record| record[name].as_u64())
                .sum()
        };
        sent.push(["online_bytes_p0", "online_bytes_p1", "dealer_bytes_p1"].map(total));
    }
    assert!(sent.iter().all(|bytes| *bytes == sent[0]), "{sent:?}");
}
