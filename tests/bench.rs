//! What a machine reaches, and predictions from it. The figures themselves are no matter here: they are any above zero.

use std::{fs, path::Path};

use ringlet_tests::{failure, ringlet, success};
use serde_json::Value;

/// Keeps figures of digits8, and returns the path of their file.
fn kept(dir: &Path) -> String {
    let path = dir.join("here.toml").to_str().expect("UTF-8").to_owned();
    let bench = ["bench", "--seconds", "0.3", "--model", "digits8"];
    let out = success(&[&bench[..], &["--batch", "8", "--save", &path]].concat());
    assert!(out.contains("digits8       exact"), "{out}");
    path
}

const PLAN: [&str; 5] = ["plan", "--model", "digits8", "--batch", "20"];

#[test]
fn bench_prints_kernels_and_all_built_in_models() {
    let out = success(&["bench", "--seconds", "0.2", "--batch", "4"]);
    for kernel in ["stream, 4 kB", "copy of", "dense", "convolution", "windows"] {
        assert!(out.contains(kernel), "{kernel}: {out}");
    }
    assert!(out.contains("100 %"), "the limit itself: {out}");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (_, gains) = out.split_once("times as fast").unwrap_or_default();
    for model in ["convnet1", "convnet2", "digits8", "securenn-a"] {
        for protocol in ["exact", "securenn"] {
            let row = format!("{model:<14}{protocol:<10}");
            let row = gains.lines().find(|line| line.starts_with(&row));
            let cells = row.map(|row| row.split_whitespace().skip(2));
            let cells: Option<Vec<f64>> =
                cells.map(|cells| cells.map(|cell| cell.parse().expect("a number")).collect());
            assert_eq!(cells.is_some(), cores > 1, "{out}");
            // Threads, and what each role gains.
            let are_all =
                |cells: Vec<f64>| cells.len() == 4 && cells.iter().all(|&cell| cell > 0.0);
            assert!(cells.is_none_or(are_all), "{out}");
        }
    }
    for model in [
        "convnet1",
        "convnet2",
        "digits8",
        "securenn-a",
        "securenn-d",
    ] {
        for protocol in ["exact", "securenn"] {
            let row = format!("{model:<14}{protocol:<10}");
            let row = out.lines().find(|line| line.starts_with(&row));
            let cells = row.expect("a row").split_whitespace().skip(2);
            let cells: Vec<f64> = cells.map(|cell| cell.parse().expect("a number")).collect();
            assert_eq!(cells.len(), 6);
            assert!(cells.iter().all(|cell| *cell >= 0.0), "{cells:?}");
        }
    }
}

#[test]
fn plan_predicts_from_a_kept_file_and_without_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = kept(dir.path());
    for file in [Some(&path[..]), None] {
        let seconds: Vec<&str> = ["--seconds"].into_iter().chain(file).collect();
        let out = success(&[&PLAN[..], &seconds, &["--json"]].concat());
        let plan: Value = serde_json::from_str(&out).expect("JSON");
        let seconds = &plan["seconds"];
        for role in ["p0", "p1", "helper"] {
            let number = |key: &str| seconds[role][key].as_f64().expect("a number");
            assert!(number("computing") > 0.0 && number("links") > 0.0, "{out}");
            // 12 epochs of one batch.
            assert!(number("run") > 11.0 * number("computing"), "{out}");
        }
        for how in ["apart", "whole"] {
            let number = |key: &str| seconds[how][key].as_f64().expect("a number");
            assert!(number("iteration") > 0.0 && number("run") > number("iteration"));
        }
    }
    let out = success(&[&PLAN[..], &["--seconds", &path]].concat());
    assert!(
        out.contains("core-seconds") && out.contains("12 iterations"),
        "{out}"
    );
    let plain = success(&[&PLAN[..], &["--json"]].concat());
    assert!(!plain.contains("\"seconds\""), "{plain}");
}

#[test]
fn plan_predicts_classification() {
    const PLAN: [&str; 6] = ["plan", "--infer", "--model", "digits8", "--batch", "20"];
    let dir = tempfile::tempdir().expect("a directory");
    let trained = kept(dir.path());
    let path = dir.path().join("infer.toml");
    let path = path.to_str().expect("UTF-8");
    let bench = ["bench", "--infer", "--seconds", "0.3", "--model", "digits8"];
    let out = success(&[&bench[..], &["--batch", "8", "--save", path]].concat());
    assert!(out.contains("what `predict` takes"), "{out}");
    for options in [
        &["--seconds", path][..],
        &["--seconds", "--protocol", "securenn"],
    ] {
        let samples = ["--samples", "50,0"];
        let out = success(&[&PLAN[..], options, &samples, &["--json"]].concat());
        let plan: Value = serde_json::from_str(&out).expect("JSON");
        let seconds = &plan["seconds"];
        for role in ["p0", "p1", "helper"] {
            assert!(seconds[role]["computing"].as_f64() > Some(0.0), "{out}");
        }
        for how in ["apart", "whole"] {
            let number = |key: &str| seconds[how][key].as_f64().expect("a number");
            // Two batches of 20 and one of 10.
            let batches = number("run") / number("iteration");
            assert!((2.0..3.0).contains(&batches), "{how}: {out}");
        }
    }
    let out = success(&[&PLAN[..], &["--seconds", path]].concat());
    assert!(out.contains("`predict` on this machine"), "{out}");
    assert!(out.contains("1 batch"), "{out}");
    // A training is other work.
    let line = failure(&[&PLAN[..], &["--seconds", &trained]].concat());
    assert!(line.contains("as it is to classify"), "{line}");
    assert!(line.contains("bench --infer --save"), "{line}");
    let line = failure(&["plan", "--model", "digits8", "--seconds", path]);
    assert!(line.contains("as it is to be trained"), "{line}");
}

#[test]
fn slow_links_make_a_prediction_longer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = kept(dir.path());
    let apart = |links: &[&str]| -> f64 {
        let out = success(&[&PLAN[..], &["--seconds", &path, "--json"], links].concat());
        let plan: Value = serde_json::from_str(&out).expect("JSON");
        plan["seconds"]["apart"]["iteration"]
            .as_f64()
            .expect("a number")
    };
    // More than 10 rounds of a second each.
    assert!(apart(&["--delay", "1000"]) > apart(&[]) + 10.0);
    let line = failure(&[&PLAN[..], &["--profile", "wan"]].concat());
    assert!(line.contains("--seconds"), "{line}");
}

#[test]
fn files_that_do_not_serve_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = kept(dir.path());
    let line = failure(&["plan", "--model", "convnet2", "--seconds", &path]);
    assert!(line.contains("no figures of model convnet2"), "{line}");
    let line = failure(&[&PLAN[..], &["--seconds", &path, "--ring", "u64"]].concat());
    assert!(line.contains("no figures of model digits8"), "{line}");
    let text = fs::read_to_string(&path).expect("a file");
    fs::write(&path, text.replace("digits8", "digits9")).expect("written");
    let line = failure(&[&PLAN[..], &["--seconds", &path]].concat());
    assert!(line.contains("here.toml is damaged"), "{line}");
    let line = failure(&[&PLAN[..], &["--seconds", "absent.toml"]].concat());
    assert!(line.contains("absent.toml cannot be read"), "{line}");
    let refused = ringlet(&["bench", "--seconds", "-1"]);
    assert_eq!(refused.status.code(), Some(2));
}
