//! Reports of commands that run all roles on this machine.

use std::{fs, path::Path, time::Duration};

use ringlet_tests::{TrainedOnce, end, failure, metrics, start, success, trained, wait_until};

use super::page::Page;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The right column of a confusion matrix's rows, the heads left out, as numbers.
fn counts(rows: &[Vec<String>]) -> Vec<Vec<u32>> {
    let numbers = |row: &Vec<String>| {
        let cells = &row[1..row.len() - 1];
        cells
            .iter()
            .map(|cell| cell.parse().expect("a count"))
            .collect()
    };
    rows[1..].iter().map(numbers).collect()
}

#[test]
fn a_training_is_told_as_its_metrics_have_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let [report, records] = ["report.html", "metrics"].map(|name| dir.path().join(name));
    let options = [
        "train",
        "--twin",
        "--epochs",
        "2",
        "--batch",
        "64",
        "--share-of-p0",
        "0.4",
        "--seed",
        "3",
        "--audit",
        "20",
    ];
    let files = ["--report", text(&report), "--metrics", text(&records)];
    let out = success(&[&options[..], &files].concat());
    let page = Page::open(&report);
    page.check_dark(&report);
    assert!(page.state().starts_with("finished"), "{}", page.state());
    assert!(!page.html.contains("http-equiv=\"refresh\""));
    assert_eq!(
        page.figures(),
        [
            "figure-accuracy",
            "figure-loss",
            "figure-bytes",
            "figure-time",
            "figure-layer-time",
            "figure-range"
        ]
    );
    page.check_costs();
    page.check_time();

    let (epochs, iterations) = (metrics(&records, "epoch"), metrics(&records, "iteration"));
    let last = epochs.last().expect("an epoch");
    let percent =
        |value: &serde_json::Value| format!("{:.2} %", 100.0 * value.as_f64().expect("a part"));
    let [value, twin] = page.tile("held-out images right");
    assert_eq!(value, percent(&last["accuracy"]));
    assert_eq!(
        twin,
        format!("plaintext twin {}", percent(&last["twin_accuracy"]))
    );
    let loss = iterations.last().expect("an iteration")["loss"].as_f64();
    let [value, twin] = page.tile("last batch's loss");
    assert_eq!(value, format!("{:.4}", loss.expect("a loss")));
    // The twin's loss is of the same samples, so it is about the same.
    let twin: f64 = twin
        .trim_start_matches("plaintext twin ")
        .parse()
        .expect("a loss");
    assert!(
        (twin - loss.expect("a loss")).abs() < 0.1,
        "{twin} {loss:?}"
    );
    assert_eq!(page.tile("iterations")[0], iterations.len().to_string());

    let sum = |name: &str| {
        let all = iterations
            .iter()
            .map(|record| record[name].as_u64().expect("a count"));
        all.sum::<u64>()
    };
    let costs = page.table("table-costs").expect("a table");
    let total = costs.last().expect("a row");
    assert_eq!(total[2], sum("online_bytes_p0").to_string());
    assert_eq!(total[3], sum("online_bytes_p1").to_string());
    assert_eq!(total[4], sum("dealer_bytes_p1").to_string());
    assert_eq!(total[5], sum("rounds").to_string());
    assert_eq!(total[6], sum("opened_values").to_string());

    let counts = counts(&page.table("table-confusion").expect("a matrix"));
    let all: u32 = counts.iter().flatten().sum();
    let right: u32 = (0..10).map(|label| counts[label][label]).sum();
    assert_eq!(
        percent(&(f64::from(right) / f64::from(all)).into()),
        percent(&last["accuracy"])
    );
    let pictures = page.seen["pictures"].as_array().expect("pictures");
    assert_eq!(pictures.len() as u32, (all - right).min(48));
    assert_eq!((&pictures[0][0], &pictures[0][1]), (&8.into(), &8.into()));

    // Seconds by role, and how much of its range each layer used, as they are printed.
    for row in &page.table("table-time").expect("a table")[1..] {
        let line = out
            .lines()
            .find(|line| line.starts_with(&row[0]))
            .expect("a line");
        for seconds in &row[1..] {
            assert!(line.contains(seconds), "{line} {seconds}");
        }
    }
    let used = out
        .lines()
        .find(|line| line.starts_with("every value kept"))
        .expect("a line");
    let largest = page.figure("figure-range");
    let largest = largest
        .iter()
        .filter_map(|text| text.strip_suffix(" %")?.parse::<u32>().ok());
    let largest = largest.max().expect("a part");
    assert!(
        used.contains(&format!("used {largest} %")),
        "{used} {largest}"
    );

    let command =
        "ringlet train --twin --epochs 2 --batch 64 --share-of-p0 0.4 --seed 3 --audit 20 --report";
    assert!(page.html.replace("&#x2f;", "/").contains(command));
    assert!(page.html.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn securenn_and_spdz_keep_their_plans_too() {
    let dir = tempfile::tempdir().expect("a directory");
    for protocol in ["securenn", "spdz"] {
        let report = dir.path().join(protocol);
        success(&[
            "train",
            "--protocol",
            protocol,
            "--limit",
            "3",
            "--audit",
            "2",
            "--report",
            text(&report),
        ]);
        let page = Page::open(&report);
        page.check_costs();
        page.check_time();
        assert!(page.figures().contains(&"figure-loss"));
    }
}

#[test]
fn names_of_the_user_are_text_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let [report, model] = ["<b>&report\".html", "model.json"].map(|name| dir.path().join(name));
    let layers = r#"{"name": "<i>m</i>", "input": [8, 8, 1], "layers": ["flatten", {"dense": {"units": 16}}, "relu", {"dense": {"units": 10}}]}"#;
    fs::write(&model, layers).expect("a file");
    let classes = "<script>alert(1)</script>,\"two\",it's,&amp;,4,5,6,7,8,{{ page }}";
    success(&[
        "train",
        "--classes",
        classes,
        "--model",
        text(&model),
        "--limit",
        "3",
        "--report",
        text(&report),
    ]);
    let page = Page::open(&report);
    let rows = page.table("table-confusion").expect("a matrix");
    let names: Vec<&str> = rows[0][1..11].iter().map(String::as_str).collect();
    assert_eq!(names.join(","), classes);
    assert!(page.html.contains("&lt;i&gt;m"));
}

#[test]
fn a_file_that_cannot_be_written_is_refused_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let nowhere = dir.path().join("none/report.html");
    let line = failure(&["train", "--limit", "1", "--report", text(&nowhere)]);
    assert!(line.contains("its directory does not exist"), "{line}");
    let line = failure(&[
        "compare",
        "--out",
        text(dir.path()),
        "--report",
        text(dir.path()),
    ]);
    assert!(line.contains("it is not a plain file"), "{line}");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}

#[test]
fn a_run_under_way_is_told_as_such_and_a_killed_one_does_not_look_finished() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.html");
    let mut run = start(&[
        "train",
        "--epochs",
        "100000",
        "--report",
        text(&report),
        "--report-every",
        "1",
    ]);
    let iteration = || {
        let html = fs::read_to_string(&report).unwrap_or_default();
        // Every page is whole.
        assert!(html.is_empty() || html.trim_end().ends_with("</html>"));
        let place = html.split("under way: iteration ").nth(1)?;
        place.split(' ').next()?.parse::<u32>().ok()
    };
    wait_until("a page", Duration::from_secs(60), || iteration() > Some(0));
    let first = iteration();
    wait_until("the next page", Duration::from_secs(60), || {
        iteration() > first
    });
    run.kill().expect("a process");
    assert!(!end(run).0);
    let page = Page::open(&report);
    assert!(
        page.state().contains("under way") && !page.html.contains("Finished"),
        "{}",
        page.state()
    );
    assert!(
        page.html
            .contains("<meta http-equiv=\"refresh\" content=\"1\">")
    );
    assert!(page.html.contains("<title>Under way: "));
    assert!(page.figures().contains(&"figure-loss"));
}

#[test]
fn a_run_that_fails_says_so_and_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.html");
    // A learning rate that drives values out of their range.
    let line = failure(&[
        "train",
        "--lr",
        "4",
        "--range-bits",
        "2",
        "--report",
        text(&report),
    ]);
    let page = Page::open(&report);
    assert!(page.state().starts_with("failed"), "{}", page.state());
    assert!(
        page.state().contains(line.trim_start_matches("error: ")),
        "{} {line}",
        page.state()
    );
    assert!(page.html.contains("<title>Failed: ") && !page.html.contains("http-equiv=\"refresh\""));
    assert!(page.html.contains("values left their range"));
    // One that fails before it begins does not leave the page of another run.
    let line = failure(&["train", "--batch", "0", "--report", text(&report)]);
    let page = Page::open(&report);
    assert!(
        page.state().contains(line.trim_start_matches("error: ")),
        "{}",
        page.state()
    );
}

#[test]
fn classifications_are_told_with_what_was_mistaken() {
    static MODEL: TrainedOnce = TrainedOnce::new();
    let model = trained(&MODEL, &["--limit", "20"]);
    let dir = tempfile::tempdir().expect("a directory");
    for (command, protocol) in [
        ("evaluate", "exact"),
        ("predict", "exact"),
        ("evaluate", "securenn"),
    ] {
        let report = dir.path().join(format!("{command}-{protocol}"));
        let out = success(&[
            command,
            "--model-file",
            text(model),
            "--count",
            "100",
            "--batch",
            "64",
            "--protocol",
            protocol,
            "--audit",
            "1",
            "--report",
            text(&report),
        ]);
        let page = Page::open(&report);
        page.check_costs();
        page.check_time();
        let [right, of] = page.tile("images right");
        assert!(out.contains(&right) && of == "of 100", "{out} {right} {of}");
        let counts = counts(&page.table("table-confusion").expect("a matrix"));
        assert_eq!(counts.iter().flatten().sum::<u32>(), 100);
        assert_eq!(
            page.tile("batches"),
            ["2".to_owned(), "of 2, 64 images each".to_owned()]
        );
    }
}

#[test]
fn a_comparison_is_told_as_it_is_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.html");
    let out = success(&[
        "compare",
        "--model",
        "digits8",
        "--batch",
        "8",
        "--out",
        text(dir.path()),
        "--report",
        text(&report),
    ]);
    let page = Page::open(&report);
    page.check_dark(&report);
    assert_eq!(page.figures(), ["figure-comparison"]);
    let rows = page.table("table-comparison").expect("a table");
    let printed: Vec<&str> = out
        .lines()
        .skip_while(|line| !line.starts_with("layer"))
        .skip(1)
        .collect();
    for (row, line) in rows[1..].iter().zip(printed) {
        let cells: Vec<&str> = row[3..].iter().map(String::as_str).collect();
        let words: Vec<&str> = line.split_whitespace().collect();
        let words = words[words.len() - cells.len()..].iter();
        let words: Vec<&str> = words
            .map(|&word| if word == "-" { "–" } else { word })
            .collect();
        assert_eq!(cells, words);
    }
}
