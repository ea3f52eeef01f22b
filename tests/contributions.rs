//! Training on contributions of many owners: three roles over TCP, each with its own file.

#[path = "contribution_files.rs"]
mod contribution_files;

use std::{fs, path::Path, process::Child};

use ringlet::data::model_file::{self, Trained};
use ringlet_tests::{address, complaint, end, metrics, start, success};

use contribution_files::{EACH, UPLOADS, files};

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

const USUAL: &str = "--batch 32 --epochs 2 --seed 3 --lr 0.0625 --wait 20 --reveal-to p1";

/// Starts the three roles: the dealer, P0 and P1, each with its own arguments.
fn roles(dealers: &[&str], parties: [&[&str]; 2], options: &str) -> [Child; 3] {
    let (dealer, p0) = (address(), address());
    let party = |name, place: [&str; 2], number: usize| {
        let own = ["party", "--role", name, place[0], place[1]];
        let secret = ["2", "3"][number];
        let usual = ["--dealer", &dealer, "--secret-seed", secret];
        let options: Vec<&str> = options.split_whitespace().collect();
        start(&[&own, &usual[..], &options, parties[number]].concat())
    };
    let wait = options.split("--wait ").nth(1).expect("a limit");
    let wait = wait.split(' ').next().expect("a number");
    let own = ["dealer", "--listen", &dealer, "--secret-seed", "1"];
    let own = [&own, &["--wait", wait][..], dealers].concat();
    [
        start(&own),
        party("p0", ["--listen", &p0], 0),
        party("p1", ["--peer", &p0], 1),
    ]
}

/// The parameters of a model.
fn model(path: &Path) -> Vec<f64> {
    let Trained { parameters, .. } = model_file::load(path, None).expect("a model");
    let all = parameters.iter().flat_map(|stage| {
        let weights = stage.weights.iter().chain(&stage.biases);
        weights.map(|&value| f64::from(value))
    });
    all.collect()
}

/// Trains, and returns the file of the model.
fn trained(dir: &Path, name: &str, contributed: bool, more: &str) -> Vec<f64> {
    let save = dir.join(name);
    let of = |index: usize| match contributed {
        true => vec!["--contributions", text(&files()[index])],
        false => Vec::new(),
    };
    let count = format!("{},0", UPLOADS * EACH);
    let mut parties = [of(0), of(1)];
    if !contributed {
        parties[0].extend(["--samples", &count]);
        parties[1].extend(["--samples", &count, "--model", "digits8"]);
    }
    parties[1].extend(["--save", text(&save)]);
    let options = format!("{USUAL} {more}");
    for child in roles(&of(2), [&parties[0], &parties[1]], &options) {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    model(&save)
}

#[test]
fn contributions_train_the_model_of_the_same_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let own = trained(dir.path(), "own.safetensors", false, "");
    let contributed = trained(dir.path(), "contributed.safetensors", true, "");
    let pairs = own.iter().zip(&contributed);
    let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let largest = own.iter().fold(0f64, |most, value| most.max(value.abs()));
    assert_eq!(own.len(), contributed.len());
    assert!(
        largest > 0.3 && most > 0.0 && most < 0.01,
        "{largest} {most}"
    );
    // On two threads, and with a micro-batch, to the bit.
    let ranks = "--micro-batch 8 --threads 2";
    let in_ranks = trained(dir.path(), "ranks.safetensors", true, ranks);
    assert!(in_ranks == contributed);
}

#[test]
fn roles_without_the_same_list_do_not_begin() {
    let [p0, p1, dealer, other, ..] = files().each_ref().map(|path| text(path));
    let on = |file| ["--contributions", file];
    let count = format!("{},0", UPLOADS * EACH);
    let own = ["--samples", &count, "--model", "digits8"];
    let cases: [(&[&str], [&[&str]; 2]); 3] = [
        (&on(dealer), [&on(p0), &on(other)]),
        (&on(dealer), [&on(p0), &own]),
        (&[], [&on(p0), &on(p1)]),
    ];
    for (dealers, parties) in cases {
        let options = USUAL
            .replace("--reveal-to p1", "")
            .replace("--wait 20", "--wait 3");
        let [dealer, p0, p1] = roles(dealers, parties, &options);
        let told = [dealer, p0, p1].map(complaint);
        assert!(
            told[1..]
                .iter()
                .any(|line| line.contains("lists of contributions")
                    && line.contains("--contributions")),
            "{told:?}"
        );
    }
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let [p0, p1, dealer, ..] = files().each_ref().map(|path| text(path));
    let refused = |role: &[&str], file: &str, more: &[&str]| {
        let options = [role, &["--contributions", file], more].concat();
        complaint(start(&options))
    };
    let party = [
        "party",
        "--role",
        "p0",
        "--listen",
        "127.0.0.1:0",
        "--dealer",
        "127.0.0.1:1",
    ];
    let whose = refused(&party, p1, &[]);
    assert!(whose.contains("is the file of p1"), "{whose}");
    let whose = refused(&["dealer", "--listen", "127.0.0.1:0"], p0, &[]);
    assert!(whose.contains("is the file of p0"), "{whose}");
    let whose = refused(&party, dealer, &[]);
    assert!(whose.contains("is the file of the dealer"), "{whose}");
    let model = refused(&party, p0, &["--model", "convnet2"]);
    assert!(model.contains("its samples are [8, 8, 1]"), "{model}");
    let scale = refused(&party, p0, &["--fraction-bits", "11"]);
    assert!(scale.contains("9 fraction bits"), "{scale}");
    let ring = refused(&party, p0, &["--ring", "u64"]);
    assert!(ring.contains("9 fraction bits"), "{ring}");
    let names = refused(&party, p0, &["--classes", "a,b"]);
    assert!(names.contains("--classes is for images"), "{names}");
    let weights = "1,1,1,1,1,1,1,1,1,0.5";
    let weighted = refused(&party, p0, &["--class-weights", weights]);
    assert!(weighted.contains("class"), "{weighted}");
    let dir = tempfile::tempdir().expect("a directory");
    let damaged = dir.path().join("damaged");
    let mut bytes = fs::read(p0).expect("a file");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&damaged, bytes).expect("a file");
    let damaged = refused(&party, text(&damaged), &[]);
    assert!(damaged.contains("is damaged"), "{damaged}");
}

#[test]
fn contributions_with_values_that_no_image_has_are_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let save = dir.path().join("model.safetensors");
    let [.., dealer, _, cheated0, cheated1] = files().each_ref().map(|path| text(path));
    let on = |file| ["--contributions", file];
    let save = ["--save", text(&save)];
    let parties = [&on(cheated0)[..], &[&on(cheated1)[..], &save].concat()];
    let options = format!("{USUAL} --micro-batch 8 --threads 2 --audit 1");
    let [_, p0, p1] = roles(&on(dealer), parties, &options).map(|child| {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
        err
    });
    for err in [p0, p1] {
        assert!(
            err.contains("200 contributions checked, 2 left out"),
            "{err}"
        );
        let left_out = err.lines().filter(|line| line.ends_with("is left out"));
        let names: Vec<&str> = left_out
            .map(|line| line.split_whitespace().nth(2).expect("a name"))
            .collect();
        assert_eq!(names.len(), 2, "{err}");
        assert!(
            names[0].ends_with("/3") && names[1].ends_with("/30"),
            "{err}"
        );
    }
}

#[test]
fn killed_roles_go_on_with_the_same_contributions() {
    let dir = tempfile::tempdir().expect("a directory");
    let paths = ["ck0", "ck1", "model.safetensors", "metrics"].map(|name| dir.path().join(name));
    let [ck0, ck1, save, lines] = paths.each_ref().map(|path| text(path));
    let [.., dealer, _, cheated0, cheated1] = files().each_ref().map(|path| text(path));
    let (d, p) = (address(), address());
    let session =
        "--batch 32 --epochs 150 --every 10 --seed 3 --lr 0.0625 --wait 30 --reveal-to p1";
    let session: Vec<&str> = session.split_whitespace().collect();
    let start_role = |role: usize| match role {
        0 => start(&[
            "dealer",
            "--listen",
            &d,
            "--wait",
            "30",
            "--contributions",
            dealer,
        ]),
        1 => {
            let own = ["party", "--role", "p0", "--listen", &p, "--dealer", &d];
            let own = [&own[..], &["--contributions", cheated0, "--resume", ck0]].concat();
            start(&[&own[..], &session].concat())
        }
        _ => {
            let own = ["party", "--role", "p1", "--peer", &p, "--dealer", &d];
            let kept = ["--resume", ck1, "--save", save, "--metrics", lines];
            let own = [&own[..], &["--contributions", cheated1], &kept].concat();
            start(&[&own[..], &session].concat())
        }
    };
    let mut children = [0, 1, 2].map(start_role);
    for victim in [2, 0] {
        std::thread::sleep(std::time::Duration::from_millis(500));
        children[victim].kill().expect("to kill");
        children[victim].wait().expect("its end");
        children[victim] = start_role(victim);
    }
    for child in children {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    let iterations = metrics(Path::new(lines), "iteration");
    let numbers: Vec<u64> = iterations
        .iter()
        .filter_map(|record| record["iteration"].as_u64())
        .collect();
    assert!(numbers.iter().copied().eq(1..=150 * 7), "{numbers:?}");
    let said = success(&["predict", "--model-file", save]);
    let share = said
        .split('%')
        .next()
        .and_then(|head| head.split_whitespace().last());
    let share: f64 = share.and_then(|share| share.parse().ok()).expect("a share");
    assert!(share > 75.0, "{said}");
}
