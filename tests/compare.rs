//! The comparison of the protocols: its figures are the published ones, and the table, the CSV and the chart agree.

use std::{collections::HashMap, fs, path::Path};

use ringlet_tests::{failure, ringlet, success};

const PROTOCOLS: [&str; 4] = ["seed baseline", "seed optimised", "fused", "exact"];

/// A row of the CSV, by the names of its columns.
type Row = HashMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("a file");
    reader
        .deserialize()
        .map(|row| row.expect("a row"))
        .collect()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column]
        .parse()
        .unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

/// Runs the comparison in a new directory. Returns its output, its CSV and its chart.
fn compare(file: &str, arguments: &[&str]) -> (String, Vec<Row>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().to_str().expect("UTF-8");
    let all: Vec<&str> = ["compare", "--out", out]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let table = success(&all);
    let rows = rows(&dir.path().join(format!("{file}.csv")));
    let svg = fs::read_to_string(dir.path().join(format!("{file}.svg"))).expect("a chart");
    (table, rows, svg)
}

#[test]
fn every_cell_is_the_published_one() {
    let (_, rows, _) = compare("compare-convnet2-128", &[]);
    let opened = |layer: &str, direction: &str, epoch: &str| {
        PROTOCOLS.map(|protocol| {
            let found: Vec<&Row> = rows
                .iter()
                .filter(|row| {
                    row["layer"] == layer
                        && row["direction"] == direction
                        && row["epoch"] == epoch
                        && row["protocol"] == protocol
                })
                .collect();
            let [row] = found[..] else {
                panic!("{layer} {direction} {epoch} {protocol}: {found:?}");
            };
            let opened = number(row, "opened_values");
            // 16 bytes a value, but not where bits are opened.
            if protocol == "exact" || layer == "total" || layer == "softmax" {
                assert_eq!(row["published_bytes"], "");
            } else {
                assert_eq!(number(row, "published_bytes"), 16.0 * opened);
            }
            opened as u64
        })
    };
    // The first two columns are published; the third opens a value once for all its powers.
    for (layer, direction, published) in [
        ("conv1+pool", "forward", [903_456, 100_640, 100_640]),
        ("conv1+pool", "backward", [4_114_432, 802_816, 802_816]),
        ("relu1", "forward", [3_211_264, 1_605_632, 802_816]),
        ("relu1", "backward", [3_211_264, 802_816, 802_816]),
        ("conv2+pool", "forward", [7_234_560, 812_032, 812_032]),
        ("conv2+pool", "backward", [8_840_192, 200_704, 200_704]),
        ("relu2", "forward", [802_816, 401_408, 200_704]),
        ("relu2", "backward", [802_816, 200_704, 200_704]),
        ("dense1", "forward", [216_384, 216_384, 216_384]),
        ("dense1", "backward", [218_944, 1_280, 1_280]),
        ("no softmax", "forward", [12_368_480, 3_136_096, 2_132_576]),
        ("no softmax", "backward", [17_187_648, 2_008_320, 2_008_320]),
        ("no softmax", "both", [29_556_128, 5_144_416, 4_140_896]),
    ] {
        let found = opened(layer, direction, "first");
        assert_eq!(found[..3], published, "{layer} {direction}");
    }
    let later = opened("no softmax", "both", "later");
    assert_eq!(later[..3], [29_556_128, 5_144_416, 4_040_544]);
    // The softmax adds the same to all.
    let softmax = opened("softmax", "forward", "first");
    for epoch in ["first", "later"] {
        let without = opened("no softmax", "both", epoch);
        let with = opened("total", "both", epoch);
        for index in 0..PROTOCOLS.len() {
            assert_eq!(with[index], without[index] + softmax[index]);
            assert_eq!(softmax[index], softmax[0]);
        }
    }
}

#[test]
fn layers_add_up_and_estimates_follow_from_rounds_and_bytes() {
    for (file, arguments) in [
        (
            "compare-convnet1-32",
            ["--model", "convnet1", "--batch", "32"],
        ),
        ("compare-digits8-5", ["--model", "digits8", "--batch", "5"]),
    ] {
        let (_, rows, _) = compare(file, &arguments);
        for protocol in PROTOCOLS {
            let own: Vec<&Row> = rows
                .iter()
                .filter(|row| row["protocol"] == protocol && row["epoch"] == "first")
                .collect();
            for column in ["opened_values", "online_bytes", "rounds", "dealer_bytes_p1"] {
                let sum = |total: bool| -> f64 {
                    own.iter()
                        .filter(|row| row["layer"] != "no softmax")
                        .filter(|row| (row["layer"] == "total") == total)
                        .map(|row| number(row, column))
                        .sum()
                };
                assert_eq!(sum(false), sum(true), "{protocol} {column}");
            }
        }
        for row in &rows {
            let (rounds, bytes) = (number(row, "rounds"), number(row, "online_bytes"));
            let lan = number(row, "lan_seconds") - (rounds * 0.2e-3 + bytes / 625e6);
            let wan = number(row, "wan_seconds") - (rounds * 40e-3 + bytes / 40e6);
            assert!(lan.abs() < 1e-6 && wan.abs() < 1e-6, "{row:?}");
        }
    }
}

/// The figures behind a protocol's name in a line of the table.
fn figures<'a>(line: &'a str, protocol: &str) -> Option<Vec<&'a str>> {
    let (_, figures) = line.split_once(protocol)?;
    Some(figures.split_whitespace().collect())
}

#[test]
fn the_table_says_what_the_csv_says() {
    let (table, rows, _) = compare("compare-convnet2-128", &[]);
    let mut lines = table.lines().skip_while(|line| !line.starts_with("layer "));
    let header = lines.next().expect("a header");
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), rows.len());
    let mut group = String::new();
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!(line.len(), header.len(), "{line}");
        let megabytes = |column: &str| {
            if row[column].is_empty() {
                "-".to_owned()
            } else {
                format!("{:.3}", number(row, column) / 1e6)
            }
        };
        let seconds = |column: &str| format!("{:.3}", number(row, column));
        let expected = [
            row["opened_values"].clone(),
            megabytes("published_bytes"),
            megabytes("online_bytes"),
            row["rounds"].clone(),
            megabytes("dealer_bytes_p1"),
            seconds("lan_seconds"),
            seconds("wan_seconds"),
        ];
        let found = figures(line, &row["protocol"]).expect("a protocol");
        assert_eq!(found, expected, "{line}");
        // The first line of four has the labels.
        let later = if row["epoch"] == "later" {
            ", later"
        } else {
            ""
        };
        let (label, _) = line.split_once(&row["protocol"]).expect("a protocol");
        if row["protocol"] == PROTOCOLS[0] {
            group = label.split_whitespace().collect::<Vec<_>>().join(" ");
        } else {
            assert_eq!(label.trim(), "");
        }
        assert_eq!(
            group,
            format!("{} {}{later}", row["layer"], row["direction"])
        );
    }
    assert!(table.lines().all(|line| line.len() <= 120), "{table}");
    assert!(table.contains("an estimate from the plan"));
    assert!(!table.contains("measured"));
}

#[test]
fn the_chart_has_a_rectangle_for_each_part_of_each_bar() {
    let (_, rows, svg) = compare("compare-convnet2-128", &[]);
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    // Six layers by four protocols, five by three in the published words, the legend, the background.
    assert_eq!(svg.matches("<rect").count(), 6 * 4 + 5 * 3 + 6 + 1);
    let texts: Vec<&str> = svg
        .split("<text")
        .filter_map(|text| text.split(['>', '<']).nth(1))
        .map(str::trim)
        .collect();
    let said = |text: &str| texts.iter().filter(|&&found| found == text).count();
    for (index, protocol) in PROTOCOLS.into_iter().enumerate() {
        assert_eq!(said(protocol), if index < 3 { 2 } else { 1 }, "{protocol}");
        let total = rows
            .iter()
            .find(|row| row["layer"] == "total" && row["protocol"] == protocol)
            .expect("a total");
        let sent = format!("{:.2} MB", number(total, "online_bytes") / 1e6);
        assert_eq!(said(&sent), 1, "{sent}");
    }
    for text in ["472.90 MB", "82.31 MB", "66.25 MB", "softmax", "conv1+pool"] {
        assert_eq!(said(text), 1, "{text}");
    }
    assert_eq!(said("sent by a party, MB"), 2);
    assert_eq!(
        said("convnet2 with batches of 128: an iteration of the first epoch"),
        1
    );
}

#[test]
fn iterations_are_measured_with_and_without_images_that_fit() {
    for (file, arguments) in [
        (
            "compare-digits8-8",
            ["--model", "digits8", "--batch", "8", "--measure", "3"],
        ),
        // No built-in image has this model's shape.
        (
            "compare-convnet1-2",
            ["--model", "convnet1", "--batch", "2", "--measure", "1"],
        ),
    ] {
        let profile: &[&str] = &["--profile", "lan"];
        let (table, rows, _) = compare(file, &[&arguments, profile].concat());
        let measured: Vec<&Row> = rows
            .iter()
            .filter(|row| !row["measured_seconds"].is_empty())
            .collect();
        let of: Vec<&str> = measured
            .iter()
            .map(|row| row["protocol"].as_str())
            .collect();
        assert_eq!(of, PROTOCOLS);
        for row in measured {
            assert_eq!(
                (&*row["layer"], &*row["direction"], &*row["epoch"]),
                ("total", "both", "first")
            );
            // The time of the links, and computing.
            let seconds = number(row, "measured_seconds");
            assert!(seconds > number(row, "lan_seconds"), "{row:?}");
            let shown = table
                .lines()
                .filter_map(|line| figures(line, &row["protocol"]));
            let shown = shown.filter(|figures| figures.last() == Some(&&*format!("{seconds:.3}")));
            assert_eq!(shown.count(), 1, "{table}");
        }
        assert!(table.contains("every link shaped as lan"));
        assert!(table.lines().all(|line| line.len() <= 120), "{table}");
    }
}

#[test]
fn a_mistake_is_one_line_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().to_str().expect("UTF-8");
    for (arguments, hints) in [
        (&["--model", "resnet"][..], ["resnet", "choose one of"]),
        (&["--batch", "0"], ["batch size", "at least 1"]),
        (&["--batch", "100000"], ["seed baseline", "smaller --batch"]),
        (
            &["--activation", "relu:8:-1000:1000"],
            ["seed baseline: polynomial1 does not fit", "lower degree"],
        ),
        (
            &["--measure", "1", "--data", "nowhere"],
            ["nowhere", "--data"],
        ),
        (
            &["--model", "digits8", "--batch", "65536", "--measure", "100"],
            ["6553600 images", "--measure"],
        ),
    ] {
        let line = failure(&[&["compare", "--out", out], arguments].concat());
        for hint in hints {
            assert!(line.contains(hint), "{arguments:?}: {line}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 0);
    let line = failure(&["compare", "--out", "no/such/dir"]);
    assert!(
        line.contains("compare-convnet2-128.csv cannot be written"),
        "{line}"
    );
    // Neither file is written when one of them cannot be.
    fs::create_dir(dir.path().join("compare-digits8-4.svg")).expect("a directory");
    let line = failure(&[
        "compare", "--model", "digits8", "--batch", "4", "--out", out,
    ]);
    assert!(
        line.contains("compare-digits8-4.svg cannot be written"),
        "{line}"
    );
    assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 1);
    // The parser explains what it refuses.
    for arguments in [
        &["compare", "--profile", "wan"][..],
        &["compare", "--data", "nowhere"],
        &["compare", "--measure", "0"],
        &["compare", "--activation", "relu:1"],
    ] {
        assert_eq!(ringlet(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_model_of_any_name_gets_its_files_and_a_whole_chart() {
    let dir = tempfile::tempdir().expect("a directory");
    let model = dir.path().join("model.json");
    let text = r#"{"name":"a/<b> & c","input":[6,6,2],"layers":["flatten",{"dense":{"units":3}}]}"#;
    fs::write(&model, text).expect("a file");
    let out = dir.path().to_str().expect("UTF-8");
    let model = model.to_str().expect("UTF-8");
    success(&["compare", "--model", model, "--batch", "4", "--out", out]);
    let file = |kind: &str| dir.path().join(format!("compare-a__b____c-4.{kind}"));
    // A dense layer and the softmax, and three totals in the first epoch.
    assert_eq!(rows(&file("csv")).len(), 4 * (2 + 1 + 4 + 2));
    let svg = fs::read_to_string(file("svg")).expect("a chart");
    assert!(svg.contains("a/&lt;b&gt; &amp; c"), "{svg}");
}
