//! The three roles of a collection, as processes with files of their own.

use std::{
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use ringlet::{collection::store::Store, config::task_file::TaskFile};
use ringlet_tests::{address, end, program, ringlet, success, terminate, text, wait_until};

use crate::https;

/// The roles, leader first.
pub const ROLES: [&str; 3] = ["p0", "p1", "dealer"];

/// How the roles' stores name them.
const NAMES: [&str; 3] = ["party p0", "party p1", "the dealer"];

/// A collection.
pub struct Servers {
    pub dir: tempfile::TempDir,
    pub task: TaskFile,
    roles: [Option<Child>; 3],
}

impl Servers {
    /// A collection whose task has these further options. No role runs yet.
    pub fn new(options: &[&str]) -> Self {
        Servers::at(&address(), options)
    }

    /// The same, with an address of the leader that is somebody else's, who passes on what comes.
    pub fn at(leader: &str, options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| dir.path().join(name).display().to_string();
        let (all, roster) = (file("all"), file("all/roster.toml"));
        let (p1, dealer) = (address(), address());
        success(&["init", &all, "--p1", &p1, "--dealer", &dealer]);
        success(&["collect", "certificate", "--out", &file("leader.pem")]);
        let task = [
            "task",
            "new",
            "--roster",
            &roster,
            "--certificate",
            &file("leader.pem"),
            "--address",
            leader,
            "--out",
            &file("task.toml"),
        ];
        let usual = ["--deadline", "2090-01-01T00:00:00Z"];
        let usual = match options.contains(&"--deadline") {
            true => &[][..],
            false => &usual[..],
        };
        success(&[&task[..], usual, options].concat());
        Servers {
            task: TaskFile::read(&dir.path().join("task.toml")).expect("a task"),
            dir,
            roles: [None, None, None],
        }
    }

    /// A file of the collection.
    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Starts a role.
    pub fn start(&mut self, role: usize) {
        self.start_with(role, &[]);
    }

    /// Starts a role with further options.
    pub fn start_with(&mut self, role: usize, options: &[&str]) {
        let name = ROLES[role];
        let mut command = Command::new(program());
        command.args(["collect", "--role", name, "--task", &self.file("task.toml")]);
        command.args(["--roster", &self.file("all/roster.toml")]);
        command.args(["--identity", &self.file(&format!("all/{name}.identity"))]);
        command.args(["--store", &self.file(&format!("{name}.redb"))]);
        if role == 0 {
            command.args(["--certificate", &self.file("leader.pem")]);
        }
        command
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file(&format!("{name}.log")))
            .expect("a log");
        self.roles[role] = Some(command.stderr(log).spawn().expect("the program starts"));
    }

    /// Starts all roles, and waits until the leader sees the others.
    pub fn start_all(&mut self) {
        (0..3).for_each(|role| self.start(role));
        self.wait_for_all();
    }

    /// Waits until the leader sees the others.
    pub fn wait_for_all(&self) {
        self.wait_for_all_at(&self.task);
    }

    /// The same, if the leader listens at the address of another task.
    pub fn wait_for_all_at(&self, task: &TaskFile) {
        wait_until("the roles", Duration::from_secs(20), || {
            let metrics = https::request(task, "GET", "/metrics", &[]);
            let up = |role: &str| format!("follower_up{{role=\"{role}\"}} 1");
            metrics.is_ok_and(|(_, text)| ROLES[1..].iter().all(|role| text.contains(&up(role))))
        });
    }

    /// The process of a role.
    pub fn process(&self, role: usize) -> u32 {
        self.roles[role].as_ref().expect("a role that runs").id()
    }

    /// Kills a role.
    pub fn kill(&mut self, role: usize) {
        let mut child = self.roles[role].take().expect("a role that runs");
        child.kill().expect("a process");
        child.wait().expect("a process");
    }

    /// Ends a role in good order.
    pub fn end(&mut self, role: usize) {
        let child = self.roles[role].take().expect("a role that runs");
        terminate(&child);
        let (well, out, _) = end(child);
        assert!(well, "{}: {out}{}", ROLES[role], self.said(role));
    }

    /// Waits for a role that fails. Returns all that it has said.
    pub fn failed(&mut self, role: usize) -> String {
        let (well, ..) = end(self.roles[role].take().expect("a role that runs"));
        assert!(!well);
        self.said(role)
    }

    /// Ends all roles in good order.
    pub fn end_all(&mut self) {
        (0..3).for_each(|role| self.end(role));
    }

    /// All that a role has said on standard error.
    pub fn said(&self, role: usize) -> String {
        std::fs::read_to_string(self.file(&format!("{}.log", ROLES[role]))).unwrap_or_default()
    }

    /// The store of a role that does not run.
    pub fn store(&self, role: usize) -> Store {
        let path: PathBuf = self.file(&format!("{}.redb", ROLES[role])).into();
        Store::open(&path, NAMES[role], self.task.id).expect("a store")
    }

    /// Makes a list at the leader, as soon as it sees that the others are here again.
    pub fn list(&self) -> serde_json::Value {
        let start = Instant::now();
        loop {
            let output = self.try_list();
            if output.status.success() {
                return serde_json::from_str(&text(&output.stdout)).expect("JSON");
            }
            // If it takes too long, what they say tells why.
            let said = || [0, 1, 2].map(|role| self.said(role)).join("\n");
            let (waited, failed) = (start.elapsed(), text(&output.stderr));
            assert!(waited < Duration::from_secs(20), "{failed}\n{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the leader for a list, once.
    pub fn try_list(&self) -> Output {
        ringlet(&["collect", "list", "--store", &self.file("p0.redb")])
    }

    /// Runs a command for the store of a role. Returns the JSON that it prints.
    pub fn command(&self, role: usize, command: &[&str]) -> serde_json::Value {
        let store = self.file(&format!("{}.redb", ROLES[role]));
        let said = success(&[&["collect"], command, &["--store", &store]].concat());
        serde_json::from_str(&said).expect("JSON")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.roles.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
