//! Evaluations of a model that the parties share, as processes of their own, and of a model in a file: the owner of the
//! held-out images alone is told, and the training stays the same.

use std::path::{Path, PathBuf};

use ringlet_tests::{address, end, failure, metrics, ringlet, start, stop, success};
use serde_json::Value;

/// A short training of two epochs, whose secrets and so whose model are the same each time.
const TRAINING: [&str; 12] = [
    "--epochs",
    "2",
    "--batch",
    "64",
    "--micro-batch",
    "32",
    "--share-of-p0",
    "0.5",
    "--reveal-to",
    "p1",
    "--wait",
    "20",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The parties of a session, by what each says.
struct Parties {
    /// Whether P0 and P1 ended well, and their outputs.
    ends: [(bool, String, String); 2],
}

/// Runs a dealer and both parties with these options.
fn run(shared: &[&str], own: [&[&str]; 2]) -> Parties {
    let (d, p) = (address(), address());
    let dealer = [
        "dealer",
        "--listen",
        &d,
        "--wait",
        "20",
        "--secret-seed",
        "7",
    ];
    let dealer = start(&dealer);
    let [p0, p1] = [("p0", "--listen"), ("p1", "--peer")].map(|(role, way)| {
        let first = ["party", "--role", role, way, &p, "--dealer", &d];
        let seed = ["--secret-seed", if role == "p0" { "8" } else { "9" }];
        let own = own[usize::from(role == "p1")];
        start(&[&first[..], &seed, shared, own].concat())
    });
    let ends = [end(p0), end(p1)];
    match ends.iter().all(|(well, ..)| *well) {
        true => assert!(end(dealer).0),
        false => stop(dealer),
    }
    Parties { ends }
}

impl Parties {
    /// All that parties said that ended well: what happened first, then their results.
    fn outs(self) -> [String; 2] {
        self.ends.map(|(well, out, err)| {
            assert!(well, "{out}{err}");
            err + &out
        })
    }
}

/// Trains with checkpoints in `dir`, and these further options. Returns what the parties say.
fn train(dir: &Path, more: &[&str], own: [&[&str]; 2]) -> [String; 2] {
    let file = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    let [c0, c1, m0, m1, model] = ["c0", "c1", "m0", "m1", "model"].map(file);
    let p0 = ["--checkpoint", &c0, "--metrics", &m0];
    let p1 = ["--checkpoint", &c1, "--metrics", &m1, "--save", &model];
    let own = [[&p0[..], own[0]].concat(), [&p1[..], own[1]].concat()];
    // An option is given once.
    let epochs = if more.contains(&"--epochs") { 2 } else { 0 };
    run(&[&TRAINING[epochs..], more].concat(), [&own[0], &own[1]]).outs()
}

/// The counts of a validation record, and their sums: all, and those whose class is their label.
fn sums(record: &Value) -> [u64; 2] {
    let mut sums = [0; 2];
    for (label, row) in record["confusion"]
        .as_array()
        .expect("rows")
        .iter()
        .enumerate()
    {
        for (class, count) in row.as_array().expect("counts").iter().enumerate() {
            let count = count.as_u64().expect("a count");
            sums[0] += count;
            sums[1] += if label == class { count } else { 0 };
        }
    }
    sums
}

/// The part of the held-out images that a model file classifies right, in percent.
fn evaluated(model: &Path, count: &str) -> f64 {
    let said = success(&["evaluate", "--model-file", text(model), "--count", count]);
    right(&said)
}

/// The percentage of the last line that has one of images that are right.
fn right(said: &str) -> f64 {
    let line = said
        .lines()
        .rfind(|line| line.contains("right") && line.contains("held-out"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let figure = line
        .split(" %")
        .next()
        .and_then(|line| line.rsplit(' ').next());
    figure
        .and_then(|figure| figure.parse().ok())
        .expect("a figure")
}

#[test]
fn owners_are_told_of_their_images_and_the_model_is_the_same_to_the_bit() {
    let dirs: Vec<tempfile::TempDir> = (0..4)
        .map(|_| tempfile::tempdir().expect("a directory"))
        .collect();
    let validate = ["--validate", "120,40"];
    train(dirs[0].path(), &[], [&[], &[]]);
    let [p0, p1] = train(dirs[1].path(), &validate, [&[], &[]]);
    let later = [&validate[..], &["--validate-every", "2", "--audit", "20"]].concat();
    train(dirs[2].path(), &later, [&[], &[]]);
    let threads = ["--threads", "2"];
    train(dirs[3].path(), &validate, [&threads, &threads]);
    let model = |dir: &tempfile::TempDir| std::fs::read(dir.path().join("model")).expect("a model");
    let plain = model(&dirs[0]);
    for dir in &dirs[1..] {
        assert!(plain == model(dir));
    }
    for (role, said) in [("p0", &p0), ("p1", &p1)] {
        let other = if role == "p0" { "p1's" } else { "p0's" };
        assert!(said.contains(&format!("of {role}'s")), "{said}");
        assert!(!said.contains(&format!("right of {other}")), "{said}");
        assert_eq!(said.matches("label \\ class").count(), 1, "{said}");
        for (owner, count) in [("p0", 120), ("p1", 40)] {
            let line = format!("{count} held-out images of {owner}, which alone learns");
            assert!(said.contains(&line), "{said}");
        }
    }
    for (name, own, count) in [("m0", "p0", 120), ("m1", "p1", 40)] {
        let records = metrics(&dirs[1].path().join(name), "validation");
        assert_eq!(records.len(), 4);
        for record in &records {
            assert!(record["online_bytes"].as_u64() > Some(0));
            if record["owner"] != own {
                assert!(record["accuracy"].is_null() && record["confusion"].is_null());
                continue;
            }
            let [all, right] = sums(record);
            assert_eq!((all, record["images"].as_u64()), (count, Some(count)));
            let accuracy = record["accuracy"].as_f64().expect("an accuracy");
            assert!((accuracy - right as f64 / all as f64).abs() < 1e-9);
        }
        let iterations = |dir: &tempfile::TempDir| -> Vec<u64> {
            let records = metrics(&dir.path().join(name), "validation");
            let done = records
                .iter()
                .filter_map(|record| record["iteration"].as_u64());
            done.collect()
        };
        assert_eq!(iterations(&dirs[1]), [24, 24, 48, 48]);
        assert_eq!(iterations(&dirs[2]), [48, 48]);
        // The iterations cost what they cost without.
        let costs = |dir: &tempfile::TempDir| -> Vec<Value> {
            let records = metrics(&dir.path().join(name), "iteration");
            let cost = |record: &Value| {
                let keys = [
                    "online_bytes_p0",
                    "online_bytes_p1",
                    "dealer_bytes_p1",
                    "rounds",
                ];
                keys.iter().map(|&key| record[key].clone()).collect()
            };
            records.iter().map(cost).collect()
        };
        assert_eq!(costs(&dirs[0]), costs(&dirs[1]));
    }
    // What the revealed model classifies, but for classes near a tie.
    let file = dirs[1].path().join("model");
    assert!((evaluated(&file, "120") - right(&p0)).abs() < 1.7, "{p0}");
    assert!((evaluated(&file, "40") - right(&p1)).abs() < 2.6, "{p1}");
}

#[test]
fn a_model_is_evaluated_from_the_checkpoints_of_both_parties() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    train(dir.path(), &[], [&[], &[]]);
    train(other.path(), &["--limit", "3"], [&[], &[]]);
    let file = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let [c0, c1, m0] = [file("c0"), file("c1"), file("m0")];
    let before = std::fs::read_dir(&c0).expect("checkpoints").count();
    for samples in ["200,0", "0,200"] {
        let shared = ["--samples", samples, "--wait", "20"];
        let p0 = ["--evaluate", &c0, "--metrics", &m0];
        let [p0, p1] = run(&shared, [&p0, &["--evaluate", &c1]]).outs();
        let (owner, stranger) = match samples {
            "200,0" => (p0, p1),
            _ => (p1, p0),
        };
        let wanted = evaluated(&dir.path().join("model"), "200");
        assert!((right(&owner) - wanted).abs() < 1.6, "{owner}");
        assert!(owner.contains("after 48 iterations") && owner.contains("label \\ class"));
        assert!(stranger.contains("which alone learns"), "{stranger}");
        assert!(
            !stranger.contains("% of") && stranger.contains("done"),
            "{stranger}"
        );
        assert_eq!(metrics(Path::new(&m0), "validation").len(), 1);
    }
    // The plan tells the bytes and the rounds of a batch, and of the opening of the model.
    let shared = ["--samples", "64,0", "--wait", "20"];
    let [p0, p1] = [(&c0, "m2"), (&c1, "m3")].map(|(dir, name)| (dir, file(name)));
    let own = [&p0, &p1].map(|(dir, metrics)| ["--evaluate", dir, "--metrics", metrics]);
    run(&shared, [&own[0], &own[1]]).outs();
    let plan = ["plan", "--evaluate", "--json", "--batch", "64"];
    let plan = success(&[&plan[..], &["--micro-batch", "32"]].concat());
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let of = |key: &str| plan[key].as_u64().expect("a number");
    for ((_, file), sent) in [(&p0, "online_bytes_p0"), (&p1, "online_bytes_p1")] {
        let record = &metrics(Path::new(file), "validation")[0];
        assert_eq!(record["online_bytes"], of(sent) + of("setup_bytes") / 2);
        assert_eq!(record["rounds"], of("rounds"));
    }
    let record = &metrics(Path::new(&p1.1), "validation")[0];
    assert_eq!(record["dealer_bytes"], of("dealer_bytes_p1"));
    // Nothing is written there, so it can be done again.
    assert_eq!(std::fs::read_dir(&c0).expect("checkpoints").count(), before);
    // Checkpoints of different trainings, of the same shape, are no shares of one model.
    let foreign = other.path().join("c1");
    let shared = ["--samples", "9,0", "--wait", "3"];
    let owns = ["--evaluate", &c0];
    let parties = run(&shared, [&owns, &["--evaluate", text(&foreign)]]);
    for (well, out, err) in &parties.ends {
        assert!(!well && !out.contains("right"), "{out}");
        let line = err.lines().last().expect("a line");
        assert!(
            line.contains("is of the same training") || line.contains("parties have different"),
            "{err}"
        );
    }
    // Parties that do not agree on the images refuse each other.
    let owns = ["--evaluate", &c0, "--samples", "9,0"];
    let parties = run(
        &["--wait", "3"],
        [&owns, &["--evaluate", &c1, "--samples", "8,0"]],
    );
    assert!(
        parties
            .ends
            .iter()
            .any(|(_, _, err)| err.contains("numbers of samples"))
    );
}

#[test]
fn parties_with_other_held_out_images_refuse_each_other() {
    for other in [
        &["--validate", "9,1"][..],
        &["--validate", "9,0", "--validate-every", "2"],
        &["--validate", "9,0", "--patience", "2"],
        &[],
    ] {
        let shared = ["--limit", "2", "--wait", "3"];
        let parties = run(&shared, [&["--validate", "9,0"], other]);
        let told = "different held-out images (--validate, --validate-every, --patience)";
        assert!(
            parties.ends.iter().any(|(_, _, err)| err.contains(told)),
            "{:?}",
            parties.ends
        );
        assert!(parties.ends.iter().all(|(well, ..)| !well));
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_in_one_line() {
    let party = |more: &[&str]| {
        let nobody = "127.0.0.1:9";
        let first = ["party", "--role", "p0", "--wait", "1"];
        let at = match more.contains(&"--peer") {
            true => vec![],
            false => vec!["--peer", nobody, "--dealer", nobody],
        };
        [&first[..], &at, more]
            .concat()
            .iter()
            .map(|&part| part.to_owned())
            .collect()
    };
    let line = |more: &[&str]| {
        let arguments: Vec<String> = party(more);
        failure(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = line(&["--validate", "300,0"]);
    assert!(
        said.contains("300 held-out images, but there are 299"),
        "{said}"
    );
    let said = line(&["--validate", "0,0"]);
    assert!(said.contains("leaves nothing to evaluate"), "{said}");
    let securenn = ["--protocol", "securenn", "--validate", "3,0"];
    assert!(line(&securenn).contains("SecureNN cannot evaluate"));
    let empty = tempfile::tempdir().expect("a directory");
    let said = line(&["--evaluate", text(empty.path()), "--samples", "9,0"]);
    assert!(said.contains("holds no checkpoints of p0"), "{said}");
    let dir: PathBuf = empty.path().join("nowhere");
    let said = line(&["--evaluate", text(&dir), "--samples", "9,0"]);
    assert!(said.contains("nowhere cannot be read"), "{said}");
    let device = [
        "party",
        "--role",
        "p1",
        "--peer",
        "tcp:127.0.0.1:9",
        "--dealer",
        "127.0.0.1:9",
    ];
    let said = failure(&[&device[..], &["--validate", "0,9"]].concat());
    assert!(said.contains("a device cannot evaluate"), "{said}");
    // What the options exclude.
    for more in [
        &["--validate", "9,0", "--infer"][..],
        &["--validate", "9,0", "--dealt", "."],
        &["--validate-every", "2"],
        &["--evaluate", "."],
        &["--evaluate", ".", "--samples", "9,0", "--reveal-to", "p1"],
    ] {
        let arguments: Vec<String> = party(more);
        let output = ringlet(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
    }
}

#[test]
fn samples_of_an_evaluation_belong_to_one_party() {
    let dir = tempfile::tempdir().expect("a directory");
    train(dir.path(), &["--limit", "1"], [&[], &[]]);
    let checkpoints = dir.path().join("c0");
    let at = "127.0.0.1:9";
    let first = [
        "party", "--role", "p0", "--peer", at, "--dealer", at, "--wait", "1",
    ];
    let evaluate = [&first[..], &["--evaluate", text(&checkpoints)]].concat();
    for (samples, told) in [
        ("9,9", "held-out images of one party"),
        ("0,0", "held-out images of one party"),
        (
            "300,0",
            "--samples gives p0 300 held-out images, but there are 299",
        ),
    ] {
        let said = failure(&[&evaluate[..], &["--samples", samples]].concat());
        assert!(said.contains(told), "{said}");
    }
}

/// A training whose accuracy stays stops early, at all roles and ranks, and gives the model that it has then.
#[test]
fn a_training_that_gets_no_better_stops_early() {
    let still = ["--lr", "0.0001", "--momentum", "0", "--epochs", "5"];
    let patient = [&still[..], &["--validate", "120,40", "--patience", "1"]].concat();
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let done = |dir: &tempfile::TempDir| metrics(&dir.path().join("m0"), "iteration").len();
    let threads = ["--threads", "2"];
    for (dir, own) in dirs.iter().zip([&[][..], &threads]) {
        let [p0, p1] = train(dir.path(), &patient, [own, own]);
        // The second epoch is no better than the first.
        let line = format!("the training stops after {} of ", done(dir));
        assert!(p0.contains(&line) && p1.contains(&line), "{p0}{p1}");
        assert_eq!(p0.matches("label \\ class").count(), 1, "{p0}");
        assert_eq!(metrics(&dir.path().join("m1"), "epoch").len(), 2);
        assert_eq!(metrics(&dir.path().join("m1"), "validation").len(), 4);
    }
    let limit = done(&dirs[0]).to_string();
    let [p0, _] = train(
        dirs[2].path(),
        &[&still[..], &["--limit", &limit]].concat(),
        [&[], &[]],
    );
    assert!(!p0.contains("the training stops after"), "{p0}");
    let model = |dir: &tempfile::TempDir| std::fs::read(dir.path().join("model")).expect("a model");
    for dir in &dirs[1..] {
        assert!(model(dir) == model(&dirs[0]));
    }
}
