//! Reports of parties in processes of their own.

use std::path::Path;

use ringlet_tests::{TrainedOnce, address, end, metrics, start, stop, trained};

use super::page::Page;

/// The figures that every run has.
const TOLD: [&str; 3] = ["figure-bytes", "figure-time", "figure-layer-time"];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Runs a dealer and both parties with these options, which must go well. Looks at the reports of P0 and P1.
fn pages(dir: &Path, shared: &[&str], own: [&[&str]; 2]) -> [Page; 2] {
    let reports = ["p0", "p1"].map(|role| dir.join(format!("{role}.html")));
    let (d, p) = (address(), address());
    let dealer = start(&["dealer", "--listen", &d, "--wait", "20"]);
    let parties = [("p0", "--listen"), ("p1", "--peer")].map(|(role, way)| {
        let index = usize::from(role == "p1");
        let first = [
            "party", "--role", role, way, &p, "--dealer", &d, "--wait", "20",
        ];
        let report = ["--report", text(&reports[index])];
        start(&[&first[..], shared, own[index], &report].concat())
    });
    for party in parties {
        let (well, out, err) = end(party);
        assert!(well, "{out}{err}");
    }
    assert!(end(dealer).0);
    reports.map(|report| {
        let page = Page::open(&report);
        assert!(page.state().starts_with("finished"), "{}", page.state());
        page.check_costs();
        page.check_time();
        page
    })
}

#[test]
fn each_party_tells_what_it_knows() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let [m0, m1, c0, c1] = ["m0", "m1", "c0", "c1"].map(file);
    let shared = [
        "--epochs",
        "2",
        "--batch",
        "64",
        "--micro-batch",
        "32",
        "--threads",
        "2",
        "--share-of-p0",
        "0.5",
        "--validate",
        "100,0",
        "--audit",
        "10",
        "--reveal-loss",
    ];
    let p0 = [
        "--secret-seed",
        "81234567",
        "--metrics",
        text(&m0),
        "--checkpoint",
        text(&c0),
    ];
    let p1 = [
        "--secret-seed=91234567",
        "--metrics",
        text(&m1),
        "--checkpoint",
        text(&c1),
    ];
    let pages_of_training = pages(dir.path(), &shared, [&p0, &p1]);
    let losses = [&m0, &m1].map(|records| {
        let losses = metrics(records, "epoch").into_iter();
        let losses = losses.map(|epoch| epoch["loss"].as_f64().expect("a loss"));
        losses.collect::<Vec<f64>>()
    });
    assert_eq!(losses[0], losses[1]);
    assert!(losses[0][0] > losses[0][1] && losses[0][1] > 0.0);
    for (role, page, records) in [
        ("p0", &pages_of_training[0], &m0),
        ("p1", &pages_of_training[1], &m1),
    ] {
        let sent = metrics(records, "iteration");
        let sent = sent.iter().map(|record| {
            record[format!("online_bytes_{role}")]
                .as_u64()
                .expect("a count")
        });
        page.check_costs();
        let costs = page.table("table-costs").expect("a table");
        assert_eq!(
            costs.last().expect("a row")[2],
            sent.sum::<u64>().to_string()
        );
        let other = if role == "p0" { "p1" } else { "p0" };
        assert!(!costs[0].contains(&format!("sent by {other}")));
        // The owner of the held-out images alone knows what is right. Nobody sees the loss of an iteration or the range of values.
        let owner = role == "p0";
        assert_eq!(page.table("table-confusion").is_some(), owner);
        let mut figures = vec![
            "figure-epoch-loss",
            "figure-bytes",
            "figure-time",
            "figure-layer-time",
        ];
        if owner {
            figures.insert(0, "figure-accuracy");
            let last = metrics(records, "validation");
            let last = last.last().expect("an evaluation")["accuracy"]
                .as_f64()
                .expect("a part");
            assert_eq!(
                page.tile("held-out images right")[0],
                format!("{:.2} %", 100.0 * last)
            );
        }
        assert_eq!(page.figures(), figures);
        let hidden = page.html.contains("--secret-seed HIDDEN")
            || page.html.contains("--secret-seed=HIDDEN");
        assert!(hidden && !page.html.contains("1234567"));
    }

    // The same model once more, from the checkpoints.
    let [p0, p1] = pages(
        dir.path(),
        &["--samples", "100,0"],
        [&["--evaluate", text(&c0)], &["--evaluate", text(&c1)]],
    );
    let right = pages_of_training[0].tile("held-out images right");
    assert_eq!(p0.tile("images right")[0], right[0]);
    assert_eq!(
        p0.table("table-confusion"),
        pages_of_training[0].table("table-confusion")
    );
    assert!(p1.table("table-confusion").is_none());
    for page in [p0, p1] {
        assert_eq!(page.figures(), TOLD);
        assert!(page.tile("batches")[1].starts_with("of "));
    }
}

#[test]
fn the_owner_of_images_alone_tells_their_classes() {
    static MODEL: TrainedOnce = TrainedOnce::new();
    let model = trained(&MODEL, &["--limit", "5"]);
    let dir = tempfile::tempdir().expect("a directory");
    let classes = dir.path().join("classes");
    let [p0, p1] = pages(
        dir.path(),
        &["--infer", "--batch", "64", "--samples", "299,0"],
        [&["--out", text(&classes)], &["--model-file", text(model)]],
    );
    assert_eq!(p0.figures(), [&["figure-classes"], &TOLD[..]].concat());
    assert_eq!(p1.figures(), TOLD);
    let classes = std::fs::read_to_string(classes).expect("a table");
    let zeros = classes.lines().filter(|line| line.ends_with(",0")).count();
    assert_eq!(
        p0.figure("figure-classes")[..2],
        ["0".to_owned(), zeros.to_string()]
    );
}

#[test]
fn a_party_without_its_peer_leaves_a_page_that_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.html");
    let (d, p) = (address(), address());
    let dealer = start(&["dealer", "--listen", &d, "--wait", "20"]);
    let party = [
        "party",
        "--role",
        "p0",
        "--listen",
        &p,
        "--dealer",
        &d,
        "--wait",
        "1",
        "--report",
        text(&report),
    ];
    let (well, _, err) = end(start(&party));
    stop(dealer);
    let page = Page::open(&report);
    let error = err
        .lines()
        .last()
        .expect("an error")
        .trim_start_matches("error: ");
    assert!(
        !well && page.state().starts_with("failed") && page.state().contains(error),
        "{err}"
    );
}
