//! Roles whose ranks are processes under `mpirun`: the model is the same to the bit as that of one process, and no role goes
//! on without another's ranks.

#[path = "contribution_files.rs"]
mod contribution_files;
mod mpirun;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use ringlet_tests::{end, end_within, is_notice, metrics};
#[cfg(target_os = "linux")]
use ringlet_tests::{text, wait_until};

use contribution_files::files;
use mpirun::{mpirun, ports, programs, spawn};

/// How long a run may take that ends because something is wrong.
const BOUND: Duration = Duration::from_secs(60);

/// A deployment on this machine.
struct Deployment {
    programs: PathBuf,
    dir: tempfile::TempDir,
    /// The dealer or the assistant.
    helper: &'static str,
    /// Where that one and P0 listen.
    addresses: [String; 2],
    /// How many seconds a rank waits for another role's.
    wait: &'static str,
    /// The files of contributions of the dealer, P0 and P1, if they train on these.
    contributions: Option<[&'static Path; 3]>,
}

impl Deployment {
    /// One with a dealer.
    fn new(programs: &Path) -> Self {
        Deployment::with("dealer", programs)
    }

    /// Its addresses have the rank's number in the helper's port, and count P0's ports.
    fn with(helper: &'static str, programs: &Path) -> Self {
        let of_helper = format!("127.0.0.1:{}{{rank}}", ports() / 10);
        let p0 = format!("127.0.0.1:{}", ports());
        Deployment {
            programs: programs.to_owned(),
            dir: tempfile::tempdir().expect("a directory"),
            helper,
            addresses: [of_helper, p0],
            wait: "30",
            contributions: None,
        }
    }

    fn path(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The program in so many processes; zero is one without `mpirun`.
    fn program(&self, count: usize) -> Command {
        let program = self.programs.join("ringlet");
        match count {
            0 => Command::new(program),
            count => {
                let mut command = mpirun(count, self.dir.path());
                command.arg(program);
                command
            }
        }
    }

    /// Classifies P0's images by P1's `model`, each role in so many processes. Returns what P0 says. The keys are the same each
    /// time: with others shares are rounded otherwise, which decides between classes that are nearly as likely.
    fn classify(&self, count: usize, model: &str) -> String {
        let [d, p] = &self.addresses;
        let helper = [self.helper, "--listen", d, "--secret-seed", "7"];
        let p0 = ["party", "--role", "p0", "--listen", p, "--secret-seed", "8"];
        let p1 = [
            "party",
            "--role",
            "p1",
            "--peer",
            p,
            "--model-file",
            model,
            "--secret-seed",
            "9",
        ];
        let session = ["--infer", "--samples", "30,0", "--batch", "8"];
        let reached = self.reached();
        let of_party = [&strs(&reached)[..], &["--micro-batch", "3"], &session].concat();
        let roles = [(&helper[..], &[][..]), (&p0, &of_party), (&p1, &of_party)];
        let children = roles.map(|(own, of_party)| {
            let mut command = self.program(count);
            command.args(own).args(of_party);
            command.args(["--insecure", "--wait", self.wait]);
            spawn(command)
        });
        let [_, said, _] = children.map(|child| {
            let (well, out, err) = end(child);
            assert!(well, "{count}: {out}{err}");
            out
        });
        said
    }

    /// A party's options for the protocol and the helper.
    fn reached(&self) -> Vec<String> {
        let helper = [format!("--{}", self.helper), self.addresses[0].clone()];
        let protocol = ["--protocol", "securenn"].map(str::to_owned);
        match self.helper {
            "assistant" => [helper, protocol].concat(),
            _ => helper.to_vec(),
        }
    }

    /// Starts the helper (0), P0 (1) or P1 (2) in so many processes; zero is one without `mpirun`.
    fn start_role(&self, role: usize, count: usize, session: &[&str]) -> Child {
        let [d, p] = &self.addresses;
        let (save, lines) = (self.path("model.safetensors"), self.path("metrics.jsonl"));
        let own: &[&str] = match role {
            0 => &[self.helper, "--listen", d, "--secret-seed", "7"],
            1 => &["party", "--role", "p0", "--listen", p, "--secret-seed", "8"],
            _ => &[
                "party",
                "--role",
                "p1",
                "--peer",
                p,
                "--secret-seed",
                "9",
                "--save",
                &save,
                "--metrics",
                &lines,
            ],
        };
        let mut command = self.program(count);
        command.args(own);
        command.args(["--insecure", "--wait", self.wait]);
        if let Some(files) = self.contributions {
            command.arg("--contributions").arg(files[role]);
        }
        if role > 0 {
            command
                .args(self.reached())
                .args(["--reveal-to", "p1"])
                .args(session);
        }
        spawn(command)
    }

    /// Starts the helper, P0 and P1 in so many processes.
    fn start(&self, counts: [usize; 3], session: &[&str]) -> [Child; 3] {
        [0, 1, 2].map(|role| self.start_role(role, counts[role], session))
    }

    /// Trains to the end. Returns what each role says, and the model.
    fn train(&self, counts: [usize; 3], session: &[&str]) -> ([String; 3], Vec<u8>) {
        let said = self.start(counts, session).map(|child| {
            let (well, out, err) = end(child);
            assert!(well, "{counts:?}: {out}{err}");
            assert!(err.lines().all(is_notice), "{counts:?}: {err}");
            err + &out
        });
        let model = fs::read(self.path("model.safetensors")).expect("a model");
        (said, model)
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The lines of a party that do not depend on time.
fn lasting(out: &str) -> Vec<&str> {
    let lasting = |line: &&str| line.contains("done;") || line.contains("audit");
    out.lines().filter(lasting).collect()
}

/// The costs of all iterations, as a party has written them.
fn costs(deployment: &Deployment) -> Vec<serde_json::Value> {
    let records = metrics(Path::new(&deployment.path("metrics.jsonl")), "iteration");
    let cost = |mut record: serde_json::Value| {
        let record = record.as_object_mut().expect("a record");
        record.retain(|name, _| !name.contains("seconds"));
        serde_json::Value::Object(record.clone())
    };
    records.into_iter().map(cost).collect()
}

/// The line of a role that fails: its only one that says why.
fn complaint(child: Child) -> String {
    let (well, out, err) = end_within(child, BOUND);
    assert!(!well && !out.contains("done"), "{out}{err}");
    let errors: Vec<&str> = err.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{out}{err}");
    errors[0].to_owned()
}

const SESSION: [&str; 6] = [
    "--batch",
    "100",
    "--micro-batch",
    "25",
    "--share-of-p0",
    "0.6",
];

#[test]
fn processes_train_on_contributions_to_the_same_model() {
    let Some(programs) = programs() else { return };
    let [p0, p1, dealer, ..] = files().each_ref().map(|path| path.as_path());
    let session = [
        "--batch",
        "40",
        "--micro-batch",
        "10",
        "--limit",
        "7",
        "--epochs",
        "2",
    ];
    let train = |count| {
        let deployment = Deployment {
            contributions: Some([dealer, p0, p1]),
            ..Deployment::new(&programs)
        };
        deployment.train([count; 3], &session).1
    };
    assert!(train(2) == train(0));
}

#[test]
fn sums_wrap_and_broadcasts_reach_all() {
    let Some(programs) = programs() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for count in [2, 4] {
        let mut command = mpirun(count, dir.path());
        command.arg(programs.join("mpi_ranks"));
        let (well, out, err) = end(spawn(command));
        assert!(well, "{out}{err}");
        assert_eq!(out, format!("{count} ranks agree\n"));
    }
}

#[test]
fn any_number_of_processes_gives_the_same_model() {
    let Some(programs) = programs() else { return };
    // An epoch has a shorter last batch, whose micro-batches are fewer than four.
    let settings: [(&str, &[&str], &[usize]); 5] = [
        ("dealer", &["--limit", "18", "--audit", "5"], &[4]),
        ("dealer", &["--limit", "4", "--ring", "u64"], &[2]),
        ("dealer", &["--limit", "4", "--validate", "20,10"], &[2]),
        ("dealer", &["--limit", "4", "--protocol", "spdz"], &[1, 2]),
        ("assistant", &["--limit", "2", "--audit", "1"], &[2, 4]),
    ];
    for (helper, setting, many) in settings {
        let session = [&SESSION, setting].concat();
        let deployment = Deployment::with(helper, &programs);
        let (one, model) = deployment.train([0; 3], &[&session[..], &["--threads", "1"]].concat());
        let one_costs = costs(&deployment);
        for &count in many {
            let deployment = Deployment::with(helper, &programs);
            let (said, same) = deployment.train([count; 3], &session);
            assert!(same == model, "{setting:?} in {count} processes");
            assert_eq!(costs(&deployment), one_costs);
            for (said, one) in said.iter().zip(&one) {
                assert_eq!(lasting(said), lasting(one), "{setting:?}");
                // One rank speaks.
                for once in ["waiting for both parties at", "waiting for party p1 at"] {
                    let count = |said: &str| said.matches(once).count();
                    assert_eq!(count(said), count(one), "{said}");
                }
            }
            let tells = said[0].contains(&format!("in {count} processes"));
            assert_eq!(tells, count > 1, "{}", said[0]);
        }
    }
}

#[test]
fn any_number_of_processes_finds_the_same_classes() {
    let Some(programs) = programs() else { return };
    let trained = Deployment::new(&programs);
    trained.train([0; 3], &["--limit", "4"]);
    let model = trained.path("model.safetensors");
    let rows = |said: &str| {
        let row = |line: &&str| line.split(',').all(|part| part.parse::<u32>().is_ok());
        let rows = said.lines().filter(row);
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    for helper in ["dealer", "assistant"] {
        let classify = |count| rows(&Deployment::with(helper, &programs).classify(count, &model));
        let one = classify(0);
        assert_eq!(one.len(), 30, "{one:?}");
        for count in [2, 3] {
            assert_eq!(classify(count), one, "{helper}, {count} processes");
        }
    }
}

#[test]
fn roles_with_different_numbers_of_processes_all_end_with_that_reason() {
    let Some(programs) = programs() else { return };
    // The helper's, P0's and P1's.
    for (helper, counts) in [
        ("dealer", [2, 2, 4]),
        ("dealer", [2, 4, 2]),
        ("dealer", [4, 2, 2]),
        ("dealer", [0, 2, 2]),
        ("dealer", [2, 0, 0]),
        ("assistant", [2, 2, 4]),
        ("assistant", [0, 2, 2]),
    ] {
        let deployment = Deployment::with(helper, &programs);
        let children = deployment.start(counts, &SESSION);
        let [other, p0, p1] = counts.map(|count| count.max(1));
        let wanted = format!(
            "the roles have different numbers of processes: {p0} at p0, {p1} at p1, {other} at the other role"
        );
        for child in children {
            let line = complaint(child);
            assert!(line.contains(&wanted), "{counts:?}: {line}");
        }
        assert!(!Path::new(&deployment.path("model.safetensors")).exists());
    }
}

#[test]
fn what_takes_one_process_is_refused_in_one_line() {
    let Some(programs) = programs() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |arguments: &[&str]| {
        let mut command = mpirun(2, dir.path());
        command.arg(programs.join("ringlet")).args(arguments);
        complaint(spawn(command))
    };
    for helper in ["dealer", "assistant"] {
        let helper = [helper, "--insecure", "--listen"];
        let line = refused(&[&helper[..], &["127.0.0.1:7000", "--threads", "2"]].concat());
        assert!(line.contains("leave out --threads"), "{line}");
        let line = refused(&[&helper[..], &["127.0.0.1:0"]].concat());
        assert!(line.contains("{rank}"), "{line}");
    }
    let p0 = ["party", "--role", "p0", "--insecure", "--listen"];
    let p0 = [&p0[..], &["127.0.0.1:7000"]].concat();
    let with_dealer = [&p0[..], &["--dealer", "127.0.0.1:7010"]].concat();
    let with_files = [&p0[..], &["--dealt", "files"]].concat();
    for (arguments, setting) in [
        // The whole batch at a time.
        (&with_dealer, &[][..]),
        (&with_dealer, &["--micro-batch", "8", "--transcript", "t"]),
        (
            &with_dealer,
            &[
                "--micro-batch",
                "8",
                "--triples",
                "baseline",
                "--protocol",
                "spdz",
            ],
        ),
        (&with_files, &["--micro-batch", "8"]),
    ] {
        let line = refused(&[&arguments[..], setting].concat());
        assert!(
            line.contains("2 processes, and this run has work for 1"),
            "{line}"
        );
    }
}

#[test]
fn processes_of_a_party_with_other_options_end_the_run() {
    let Some(programs) = programs() else { return };
    let deployment = Deployment {
        // P0's second rank waits so long for P1's, and its first one for the second.
        wait: "5",
        ..Deployment::new(&programs)
    };
    let session = [&SESSION[..], &["--limit", "4"]].concat();
    let others = [0, 1].map(|role| deployment.start_role(role, 2, &session));
    // Each rank of P1 has another limit.
    let [d, p] = &deployment.addresses;
    let mut command = mpirun(1, deployment.dir.path());
    for (count, limit) in [(None, "4"), (Some("1"), "5")] {
        if let Some(count) = count {
            command.args([":", "-n", count]);
        }
        command.arg(programs.join("ringlet"));
        command.args([
            "party",
            "--role",
            "p1",
            "--insecure",
            "--peer",
            p,
            "--dealer",
            d,
        ]);
        command.args([
            "--reveal-to",
            "p1",
            "--save",
            &deployment.path("model.safetensors"),
        ]);
        command.args(SESSION).args(["--limit", limit]);
    }
    let line = complaint(spawn(command));
    let wanted = "rank 1: it and the first rank have different limits of iterations";
    assert!(line.contains(wanted), "{line}");
    for child in others {
        complaint(child);
    }
    assert!(!Path::new(&deployment.path("model.safetensors")).exists());
}

/// The number of the process that is a rank below `mpirun`.
#[cfg(target_os = "linux")]
fn process_of(mpirun: &Child, rank: usize) -> Option<String> {
    let id = mpirun.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let is_rank = |id: &&str| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        text(&environment).split('\0').any(|set| set == wanted)
    };
    children.split_whitespace().find(is_rank).map(str::to_owned)
}

/// Kills a rank of a role once P1 has written some iterations.
#[cfg(target_os = "linux")]
fn kill_rank(deployment: &Deployment, role: &Child, rank: usize) {
    let lines = PathBuf::from(deployment.path("metrics.jsonl"));
    let written = || fs::read_to_string(&lines).is_ok_and(|text| text.lines().count() > 4);
    wait_until("an iteration", BOUND, written);
    let id = process_of(role, rank).expect("a rank");
    let killed = Command::new("kill").args(["-KILL", &id]).status();
    assert!(killed.expect("kill runs").success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_is_killed_ends_all_roles() {
    let Some(programs) = programs() else { return };
    let session = [&SESSION[..], &["--epochs", "1000"]].concat();
    for (helper, role, rank) in [
        ("dealer", 0, 1),
        ("dealer", 1, 2),
        ("dealer", 2, 0),
        ("assistant", 0, 1),
    ] {
        let deployment = Deployment::with(helper, &programs);
        let children = deployment.start([3; 3], &session);
        kill_rank(&deployment, &children[role], rank);
        for child in children {
            let (well, out, err) = end_within(child, BOUND);
            assert!(!well && !out.contains("done"), "{out}{err}");
        }
        assert!(!Path::new(&deployment.path("model.safetensors")).exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn roles_that_a_killed_rank_has_ended_go_on_from_their_checkpoints() {
    let Some(programs) = programs() else { return };
    for (helper, iterations) in [("dealer", 60), ("assistant", 20)] {
        let deployment = Deployment::with(helper, &programs);
        go_on_after_a_kill(&deployment, iterations);
    }
}

/// Trains so many iterations in two processes for each role, of which one is killed on the way.
#[cfg(target_os = "linux")]
fn go_on_after_a_kill(deployment: &Deployment, iterations: usize) {
    let dirs = ["checkpoints-p0", "checkpoints-p1"].map(|name| deployment.path(name));
    let limit = iterations.to_string();
    let session = ["--batch", "40", "--micro-batch", "20", "--limit", &limit];
    let start = || {
        [0, 1, 2].map(|role| {
            let dir = ["", &dirs[0], &dirs[1]][role];
            let kept = ["--resume", dir, "--every", "3"];
            deployment.start_role(role, 2, &[&session[..], &kept].concat())
        })
    };
    let children = start();
    let lines = PathBuf::from(deployment.path("metrics.jsonl"));
    let written = || fs::read_to_string(&lines).is_ok_and(|text| text.lines().count() > 13);
    wait_until("some iterations", BOUND, written);
    kill_rank(deployment, &children[1], 1);
    for child in children {
        let (well, out, err) = end_within(child, BOUND);
        assert!(!well, "{out}{err}");
    }
    for child in start() {
        let (well, out, err) = end(child);
        assert!(well, "{out}{err}");
    }
    // Each iteration has one line.
    let records = metrics(&lines, "iteration");
    assert_eq!(records.len(), iterations);
    assert!(Path::new(&deployment.path("model.safetensors")).exists());
}
