//! Short sessions of three roles as processes, with a proxy on one of their links.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use ringlet_tests::{address, start, success, text};

use super::proxy::{Direction, Meddler, Proxy};

/// Seconds that a role waits for another one, before and during the run: more than a busy machine keeps a process waiting.
const WAIT: &str = "5";

/// Longer than any role may run after a fault: the waits for another role, to connect and for its key, and during the
/// run. Slow machines need the rest.
const LIMIT: Duration = Duration::from_secs(45);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Training. P1 gets the model.
    Train,
    /// Inference. P0 gets the classes.
    Infer,
}

/// A kind of session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What for.
    pub purpose: Purpose,
    /// Whether with SecureNN's assistant, and not with a dealer.
    pub assisted: bool,
    /// Whether as short as can be.
    pub least: bool,
}

impl Kind {
    /// The kinds that are swept.
    pub fn all(least: bool) -> Vec<Kind> {
        let purposes = [Purpose::Train, Purpose::Infer];
        let kind = |assisted| {
            purposes.map(|purpose| Kind {
                purpose,
                assisted,
                least,
            })
        };
        [kind(false), kind(true)].concat()
    }

    /// The name of the role that helps the parties.
    pub fn helper(self) -> &'static str {
        match self.assisted {
            true => "assistant",
            false => "dealer",
        }
    }

    /// The number of the party that gets the result.
    pub fn owner(self) -> usize {
        match self.purpose {
            Purpose::Train => 1,
            Purpose::Infer => 0,
        }
    }
}

/// A link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Between the parties; P1 connects.
    Parties,
    /// From P0 to the dealer or the assistant.
    P0Helper,
    /// From P1 to the dealer or the assistant.
    P1Helper,
}

impl Place {
    /// All links.
    pub const ALL: [Place; 3] = [Place::Parties, Place::P0Helper, Place::P1Helper];

    /// A link's name in a session.
    pub fn name(self, kind: Kind) -> String {
        match self {
            Place::Parties => "P0-P1".to_owned(),
            Place::P0Helper => format!("P0-{}", kind.helper()),
            Place::P1Helper => format!("P1-{}", kind.helper()),
        }
    }
}

/// The end of a role.
pub struct Ended {
    /// Its name.
    pub name: &'static str,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Whether it had to be killed.
    pub hung: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ended {
    /// Whether it succeeded.
    pub fn well(&self) -> bool {
        self.code == Some(0) && !self.hung
    }
}

/// The end of a session.
pub struct Outcome {
    /// P0, P1, and the dealer or assistant.
    pub roles: [Ended; 3],
    /// The file with the model or the classes, if there is one.
    pub result: Option<Vec<u8>>,
}

/// A model to classify with.
fn model() -> &'static Path {
    static MODEL: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("model.safetensors");
        let name = path.to_str().expect("UTF-8");
        success(&["train", "--limit", "20", "--seed", "1", "--save", name]);
        (dir, path)
    });
    path
}

/// Makes what meddles with a direction.
pub type MakeMeddler<'a> = &'a dyn Fn() -> Box<dyn Meddler>;

/// Runs a session. What goes over the link at `place` in the given direction goes through a meddler.
pub fn run(kind: Kind, place: Place, direction: Direction, meddler: MakeMeddler<'_>) -> Outcome {
    loop {
        let outcome = attempt(kind, place, Some((direction, meddler())));
        // Another program took the port after it had been found free: then no role has met another.
        let is_taken = |role: &Ended| role.err.contains("the port is taken");
        if !outcome.roles.iter().any(is_taken) {
            return outcome;
        }
    }
}

fn attempt(kind: Kind, place: Place, meddler: Option<(Direction, Box<dyn Meddler>)>) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let result = dir.path().join("result");
    let file = result.to_str().expect("UTF-8");
    let (helper, peer) = (address(), address());
    let target = match place {
        Place::Parties => &peer,
        _ => &helper,
    };
    let proxy = Proxy::start(target.clone(), meddler);
    let through = |link, address| match link == place {
        true => proxy.address(),
        false => address,
    };
    let helper_option = format!("--{}", kind.helper());
    let party = |role, [option, peer]: [&str; 2], helper: &str, more: &[&str]| {
        let mut arguments = vec![
            "party",
            "--role",
            role,
            option,
            peer,
            &helper_option,
            helper,
        ];
        arguments.extend(["--wait", WAIT, "--idle", WAIT, "--secret-seed", "7"]);
        let session: &[&str] = match (kind.purpose, kind.least) {
            (Purpose::Train, false) => &["--limit", "3", "--batch", "20", "--samples", "50,30"],
            (Purpose::Train, true) => &["--limit", "1", "--batch", "2", "--samples", "1,1"],
            (Purpose::Infer, false) => &["--infer", "--samples", "9,0", "--batch", "4"],
            (Purpose::Infer, true) => &["--infer", "--samples", "1,0", "--batch", "1"],
        };
        arguments.extend(session);
        if kind.purpose == Purpose::Train {
            arguments.extend(["--reveal-to", "p1", "--seed", "1"]);
        }
        if kind.assisted {
            arguments.extend(["--protocol", "securenn"]);
        }
        arguments.extend(more);
        start(&arguments)
    };
    let owned: [&[&str]; 2] = match kind.purpose {
        Purpose::Train => [&[], &["--save", file]],
        Purpose::Infer => [
            &["--out", file],
            &["--model-file", model().to_str().expect("UTF-8")],
        ],
    };
    let helps = start(&[
        kind.helper(),
        "--listen",
        &helper,
        "--wait",
        WAIT,
        "--idle",
        WAIT,
        "--secret-seed",
        "7",
    ]);
    let p0 = party(
        "p0",
        ["--listen", &peer],
        through(Place::P0Helper, &helper),
        owned[0],
    );
    let p1 = party(
        "p1",
        ["--peer", through(Place::Parties, &peer)],
        through(Place::P1Helper, &helper),
        owned[1],
    );
    let begun = Instant::now();
    let roles = [("p0", p0), ("p1", p1), (kind.helper(), helps)];
    let roles = roles.map(|(name, child)| end(name, child, begun));
    drop(proxy);
    Outcome {
        roles,
        result: fs::read(&result).ok(),
    }
}

/// Waits for a role, and kills it if it does not end.
fn end(name: &'static str, mut child: Child, begun: Instant) -> Ended {
    let mut hung = false;
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > LIMIT {
            hung = true;
            child.kill().expect("a child");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("its output");
    Ended {
        name,
        code: output.status.code(),
        hung,
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}
