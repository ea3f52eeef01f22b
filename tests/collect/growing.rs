//! Trainings on a collection that goes on: each epoch takes what there is then.

use std::{fs, path::Path, process::Child, time::Duration};

use ringlet::data::{Images, Part, hexadecimal, load};
use ringlet_tests::{address, end, failure, metrics, start, stop, success, wait_until};

use crate::{https::post, servers::Servers, uploads::made};

/// Samples of an upload.
const OF_UPLOAD: usize = 50;

pub const OPTIONS: [&str; 3] = ["--model", "digits8", "--open"];

/// Uploads the digits of so many uploads from `first` on. Returns the uploads' names.
pub fn contribute(servers: &Servers, digits: &Images, first: usize, uploads: usize) -> Vec<String> {
    let names = (first..first + uploads).map(|number| {
        let samples = number * OF_UPLOAD..(number + 1) * OF_UPLOAD;
        let samples: Vec<_> = samples
            .map(|sample| (digits.image(sample).to_vec(), digits.labels[sample]))
            .collect();
        let (id, bytes, _) = made(&servers.task, number as u32, &samples);
        assert_eq!(post(&servers.task, &bytes).0, 201);
        hexadecimal::digits(&id.0)
    });
    names.collect()
}

/// The roles of a training on the stores of a collection.
struct Roles<'a> {
    servers: &'a Servers,
    dealer: String,
    p0: String,
}

impl Roles<'_> {
    fn store(&self, role: &str) -> String {
        self.servers.file(&format!("{role}.redb"))
    }

    fn dealer(&self) -> Child {
        let store = self.store("dealer");
        start(&[
            "dealer",
            "--listen",
            &self.dealer,
            "--contributions",
            &store,
        ])
    }

    /// A party, whose links are slow enough for a test to do something within an epoch.
    fn party(&self, role: &str, checkpoint: &str, more: &[&str]) -> Child {
        let file = |name: &str| self.servers.file(&format!("{role}.{name}"));
        let (store, dir, told) = (self.store(role), file("checkpoints"), file("jsonl"));
        let meets = match role {
            "p0" => "--listen",
            _ => "--peer",
        };
        let usual = [
            "party",
            "--role",
            role,
            "--model",
            "digits8",
            "--contributions",
            &store,
            "--dealer",
            &self.dealer,
            meets,
            &self.p0,
            "--epochs",
            "3",
            "--reveal-to",
            "p1",
            checkpoint,
            &dir,
            "--every",
            "7",
            "--metrics",
            &told,
            "--delay",
            "2",
        ];
        start(&[&usual[..], more].concat())
    }

    /// Iterations that a party has told of.
    fn iterations(&self, role: &str) -> Vec<u64> {
        let path = self.servers.file(&format!("{role}.jsonl"));
        if !Path::new(&path).exists() {
            return Vec::new();
        }
        let told = metrics(Path::new(&path), "iteration");
        let number = |line: &serde_json::Value| line["iteration"].as_u64();
        told.iter().filter_map(number).collect()
    }

    fn wait_for_iteration(&self, number: u64) {
        let what = format!("iteration {number}");
        wait_until(&what, Duration::from_secs(200), || {
            self.iterations("p0")
                .last()
                .is_some_and(|&last| last >= number)
        });
    }
}

/// What roles have told that ended as they should.
fn ended(roles: [Child; 3]) -> [String; 3] {
    let all = roles.map(end);
    let well = all
        .iter()
        .all(|(well, out, _)| *well && out.contains("done"));
    assert!(well, "{all:#?}");
    all.map(|(_, _, err)| err)
}

#[test]
fn contributions_join_and_leave_between_epochs() {
    let digits = load(None, Part::Train).expect("the digits");
    let mut servers = Servers::new(&OPTIONS);
    servers.start_all();
    let names = contribute(&servers, &digits, 0, 20);
    servers.command(0, &["list"]);
    let model = servers.file("model.safetensors");
    let roles = Roles {
        servers: &servers,
        dealer: address(),
        p0: address(),
    };
    let save = ["--save", &model];
    let started = [
        roles.dealer(),
        roles.party("p0", "--checkpoint", &[]),
        roles.party("p1", "--checkpoint", &save),
    ];
    // 1000 contributions are 32 iterations. Within them 5 uploads come and 2 go.
    roles.wait_for_iteration(1);
    contribute(&servers, &digits, 20, 5);
    for name in &names[3..5] {
        servers.command(0, &["withdraw", name]);
    }
    assert!(roles.iterations("p0").len() < 32, "the epoch was too short");
    // Within the second epoch another one goes, and a party is killed.
    roles.wait_for_iteration(40);
    servers.command(0, &["withdraw", &names[7]]);
    let [dealer, p0, p1] = started;
    stop(p1);
    let p1 = roles.party("p1", "--resume", &save);
    let told = ended([dealer, p0, p1]);
    for line in [
        "p0: epoch 1 takes list 1, of 1000 contributions",
        "p0: epoch 2 takes list 2, of 1150 contributions",
        "p0: epoch 3 takes list 3, of 1100 contributions",
        "p0: 1150 contributions checked, none left out",
    ] {
        assert!(told[1].contains(line), "{line}: {}", told[1]);
    }
    // 32, 36 and 35 iterations, each of them once.
    let all: Vec<u64> = (1..=103).collect();
    assert_eq!(roles.iterations("p0"), all);
    assert_eq!(roles.iterations("p1"), all);
    let told = metrics(Path::new(&servers.file("p0.jsonl")), "epoch");
    let epochs: Vec<_> = told.iter().map(|line| line["epoch"].as_u64()).collect();
    assert_eq!(epochs, [Some(1), Some(2), Some(3)]);
    // Nothing of the lists is left beside the stores.
    for entry in fs::read_dir(servers.dir.path()).expect("a directory") {
        let name = entry.expect("an entry").file_name();
        assert!(!name.to_string_lossy().contains(".list-"), "{name:?}");
    }
    servers.end_all();
    let evaluated = success(&["evaluate", "--model-file", &model]);
    let right = evaluated
        .split(' ')
        .next()
        .and_then(|part| part.parse().ok());
    assert!(right > Some(85.0), "{evaluated}");
}

#[test]
fn parties_that_stop_between_epochs_find_each_other_again() {
    let digits = load(None, Part::Train).expect("the digits");
    let mut servers = Servers::new(&OPTIONS);
    servers.start_all();
    contribute(&servers, &digits, 0, 4);
    servers.command(0, &["list"]);
    let roles = Roles {
        servers: &servers,
        dealer: address(),
        p0: address(),
    };
    let model = servers.file("model.safetensors");
    let save = ["--save", &model];
    let dealer = roles.dealer();
    let party = |role: &str, checkpoint: &str| {
        let more: &[&str] = match role {
            "p0" => &[],
            _ => &save,
        };
        roles.party(role, checkpoint, more)
    };
    let checkpoints = |role: &str| {
        let dir = servers.file(&format!("{role}.checkpoints"));
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.collect::<Vec<_>>()
    };
    let (p0, p1) = (party("p0", "--checkpoint"), party("p1", "--checkpoint"));
    // 200 contributions are 7 iterations.
    for (role, done) in [("p0", 7), ("p1", 7)] {
        let end = format!("{role}-{done:010}.checkpoint");
        wait_until(&end, Duration::from_secs(200), || {
            checkpoints(role).contains(&end)
        });
    }
    // Both may stand at the end of the first epoch, or in the second one.
    stop(p0);
    let p0 = party("p0", "--resume");
    let begun = std::time::Instant::now();
    while roles.iterations("p0").last().is_none_or(|&last| last < 8) {
        assert!(
            begun.elapsed() < Duration::from_secs(200),
            "{:#?}",
            [dealer, p0, p1].map(|role| {
                ringlet_tests::terminate(&role);
                end(role)
            })
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    stop(p1);
    // P1 comes back as if it had never left the first epoch.
    let dir = servers.file("p1.checkpoints");
    for name in checkpoints("p1") {
        if name != "p1-0000000007.checkpoint" {
            fs::remove_file(Path::new(&dir).join(name)).expect("a checkpoint");
        }
    }
    let p1 = party("p1", "--resume");
    ended([dealer, p0, p1]);
    servers.end_all();
}

#[test]
fn what_a_training_on_a_store_needs_is_told() {
    let mut servers = Servers::new(&OPTIONS);
    servers.start_all();
    let store = servers.file("p0.redb");
    let dir = servers.file("checkpoints");
    let party = |more: &[&str]| {
        let usual = [
            "party",
            "--role",
            "p0",
            "--listen",
            "127.0.0.1:0",
            "--dealer",
            "127.0.0.1:9",
            "--model",
            "digits8",
            "--contributions",
            &store,
        ];
        failure(&[&usual[..], more].concat())
    };
    let line = party(&[]);
    assert!(
        line.contains("give a directory with --checkpoint"),
        "{line}"
    );
    let line = party(&["--checkpoint", &dir]);
    assert!(line.contains("has no list of contributions"), "{line}");
    let patience = ["--validate", "10,0", "--patience", "1"];
    let line = party(&[&["--checkpoint", &dir][..], &patience].concat());
    assert!(line.contains("leave out --patience"), "{line}");
    servers.end_all();
    let line = party(&["--checkpoint", &dir]);
    assert!(line.contains("no role of a collection runs"), "{line}");
}
