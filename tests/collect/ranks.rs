//! Roles of several processes that train on a collection which goes on.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use ringlet::data::{Part, load};
use ringlet_tests::{end, metrics, stop, wait_until};

use crate::{
    growing::{OPTIONS, contribute},
    mpirun::{mpirun, ports, programs, spawn},
    servers::Servers,
};

/// The roles of a training, each in so many processes; zero is one without `mpirun`.
struct Roles<'a> {
    program: &'a Path,
    servers: &'a Servers,
    /// Where the dealer and P0 listen.
    addresses: [String; 2],
    count: usize,
}

impl<'a> Roles<'a> {
    fn new(program: &'a Path, servers: &'a Servers, count: usize) -> Self {
        Roles {
            program,
            servers,
            addresses: [(); 2].map(|()| format!("127.0.0.1:{}", ports())),
            count,
        }
    }

    fn start(&self, role: &str, options: &[&str]) -> Child {
        let mut command = match self.count {
            0 => Command::new(self.program),
            count => {
                let mut command = mpirun(count, self.servers.dir.path());
                command.arg(self.program);
                command
            }
        };
        command.args(options);
        command.args(["--insecure", "--wait", "60", "--contributions"]);
        command.arg(self.servers.file(&format!("{role}.redb")));
        spawn(command)
    }

    fn party(&self, role: &str, seed: &str, checkpoint: &str, more: &[&str]) -> Child {
        let [dealer, p0] = &self.addresses;
        let (dir, told) = (
            self.servers.file(&format!("{role}.checkpoints")),
            self.servers.file(&format!("{role}.jsonl")),
        );
        let meets = match role {
            "p0" => "--listen",
            _ => "--peer",
        };
        let usual = [
            "party",
            "--role",
            role,
            "--secret-seed",
            seed,
            "--dealer",
            dealer,
            meets,
            p0,
            "--model",
            "digits8",
            "--micro-batch",
            "8",
            "--epochs",
            "2",
            "--reveal-to",
            "p1",
            checkpoint,
            &dir,
            "--metrics",
            &told,
        ];
        self.start(role, &[&usual[..], more].concat())
    }

    fn all(&self, checkpoint: &str, model: &str, more: &[&str]) -> [Child; 3] {
        let of_p1 = [&["--save", model], more].concat();
        [
            self.start(
                "dealer",
                &[
                    "dealer",
                    "--secret-seed",
                    "7",
                    "--listen",
                    &self.addresses[0],
                ],
            ),
            self.party("p0", "8", checkpoint, more),
            self.party("p1", "9", checkpoint, &of_p1),
        ]
    }
}

/// A collection with a list of four uploads, and two uploads that are in the next list.
fn collection() -> Servers {
    let digits = load(None, Part::Train).expect("the digits");
    let mut servers = Servers::new(&OPTIONS);
    servers.start_all();
    contribute(&servers, &digits, 0, 4);
    servers.command(0, &["list"]);
    contribute(&servers, &digits, 4, 2);
    servers
}

/// Waits for the end of roles, which succeed. Returns what P0 has told.
fn ended(roles: [Child; 3]) -> String {
    let all = roles.map(end);
    assert!(all.iter().all(|(well, ..)| *well), "{all:#?}");
    let [_, (_, _, told), _] = all;
    assert!(
        told.contains("p0: epoch 2 takes list 2, of 300 contributions"),
        "{told}"
    );
    told
}

#[test]
fn several_processes_train_on_a_store_to_the_same_model() {
    let Some(programs) = programs() else { return };
    let program = programs.join("ringlet");
    let models = [0, 2].map(|count| {
        let mut servers = collection();
        let model = servers.file("model.safetensors");
        let roles = Roles::new(&program, &servers, count);
        let told = ended(roles.all("--checkpoint", &model, &[]));
        assert!(told.contains("p0: epoch 1 takes list 1, of 200 contributions"));
        servers.end_all();
        std::fs::read(model).expect("a model")
    });
    assert!(models[0] == models[1]);
}

#[test]
fn several_processes_go_on_within_an_epoch_that_one_has_begun() {
    let Some(programs) = programs() else { return };
    let program = programs.join("ringlet");
    let mut servers = collection();
    let model = servers.file("model.safetensors");
    let roles = Roles::new(&program, &servers, 0);
    let slow = ["--delay", "5", "--every", "2"];
    let begun = roles.all("--checkpoint", &model, &slow);
    let told = servers.file("p0.jsonl");
    // The first epoch has 7 iterations, the second one 10.
    wait_until("the second epoch", Duration::from_secs(200), || {
        let told = Path::new(&told);
        told.exists() && metrics(told, "iteration").len() > 9
    });
    for role in begun {
        stop(role);
    }
    let roles = Roles::new(&program, &servers, 2);
    let told = ended(roles.all("--resume", &model, &["--every", "2"]));
    assert!(!told.contains("epoch 1 takes list 1"), "{told}");
    servers.end_all();
    assert!(Path::new(&model).exists());
}
