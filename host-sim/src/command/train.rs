//! `ringlet train`: all roles on this machine.

use std::{
    io::{self},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    hello::{Hello, receive_hello},
    link::{Link, Remote},
    network::Network,
    party::Watch,
    prg::Key,
    ring::Ring,
    session::Session,
};

use super::dealer::UNBOUNDED;
use crate::{
    cli::{LinkName, ProfileName, ProtocolName, TrainArgs},
    collect::{Collector, Record},
    console,
    data::{Images, OwnImages, Part, load},
    error::Failure,
    event::Event,
    links::{
        memory::{self, MemoryEnd},
        waited::Waited,
    },
    model_file::{check_writable, save},
    ranges::watches,
    report::{Report, Spent, layer_table, plan_lines, range_lines, time_table},
    roles::{PartySetup, greet, host_parties, run_dealer, run_party},
    secrets::Secrets,
    settings::{self, InRing, in_ring},
    supervision,
};

/// A role of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Party(Role),
    Dealer,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Party(role) => write!(f, "party {role}"),
            Actor::Dealer => f.write_str("the dealer"),
        }
    }
}

type Told = (Actor, Event);

struct Train<'a> {
    args: &'a TrainArgs,
    session: &'a Session,
    train: &'a Images,
    test: &'a Images,
    secrets: Secrets,
}

/// What is known at the end of a run beside the records.
struct Ending {
    spent: Vec<Spent>,
    /// Whether the range contract was kept, or the warnings.
    ranges: Result<String, Vec<String>>,
}

impl InRing for Train<'_> {
    type Output = ();

    fn run<R: Ring>(self, network: Network) -> Result<(), Failure> {
        let (session, args) = (self.session, self.args);
        self.train.check_labels(network.classes)?;
        self.test.check_labels(network.classes)?;
        if let Some(path) = &args.output.save {
            check_writable(path)?;
        }
        let mut report = Report::new(session.iterations(), args.output.metrics.as_deref())?;
        report.say(&format!(
            "training {} on {} images of p0 and {} of p1, {} iterations of {}",
            session.model.name,
            session.samples[0],
            session.samples[1],
            session.iterations(),
            session.batch
        ))?;
        let images = [self.train, self.test];
        let mut collector = Collector::new(session, &network, images, args.twin);
        let ending = match args.link {
            LinkName::Memory => self.threads::<R>(&network, &mut collector, &mut report),
            LinkName::Tcp => self.processes(&mut collector, &mut report),
        };
        report.finish();
        let ending = ending?;
        if let Some(path) = &args.output.save {
            save(path, &session.model, &network, &collector.parameters)?;
            console::line(&format!("the model is in {}", path.display()))?;
        }
        let table = layer_table::<R>(session, &network, &collector.sums);
        console::line(&format!("\n{table}"))?;
        if !ending.spent.is_empty() {
            console::line(&time_table(&ending.spent))?;
        }
        match ending.ranges {
            Ok(line) => console::line(&line)?,
            Err(warnings) => warnings.iter().for_each(|warning| eprintln!("{warning}")),
        }
        Ok(())
    }
}

impl Train<'_> {
    /// Feeds the collector until all roles are done; returns the failure to tell the user, if any.
    fn follow(
        &self,
        told: Receiver<Told>,
        collector: &mut Collector<'_>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut failures: Vec<(Actor, Failure)> = Vec::new();
        for (actor, event) in told {
            match (actor, event) {
                (
                    _,
                    Event::Failed {
                        message,
                        consequence,
                    },
                ) => {
                    failures.push((actor, Failure::told(message, consequence)));
                }
                (Actor::Party(role), event) => {
                    let elapsed = start.elapsed().as_secs_f64();
                    match collector.take(role, event, elapsed) {
                        Some(Record::Iteration(record)) => report.iteration(&record)?,
                        Some(Record::Epoch(record)) => report.epoch(&record)?,
                        None => {}
                    }
                }
                (Actor::Dealer, _) => {}
            }
        }
        // The cause before what follows from it.
        failures.sort_by_key(|(_, failure)| failure.is_consequence());
        match failures.into_iter().next() {
            Some((actor, failure)) => Err(failure.of(&actor.to_string())),
            None => Ok(()),
        }
    }

    /// All roles as threads of this process.
    fn threads<R: Ring>(
        &self,
        network: &Network,
        collector: &mut Collector<'_>,
        report: &mut Report,
    ) -> Result<Ending, Failure> {
        let session = self.session;
        let shape = self.args.shape.shape()?;
        let [end_p0, end_p1] = memory::duplex(shape);
        let [supply_p0, dealt_p0] = memory::bounded(shape);
        let [supply_p1, dealt_p1] = memory::bounded(shape);
        let (watch_p0, watch_p1, ranges) = watches::<R>();
        let keys = self.secrets.dealer_keys()?;
        let (tell, told) = channel();
        let start = Instant::now();
        let waits = [
            ("p0", [end_p0.waited(), dealt_p0.waited()]),
            ("p1", [end_p1.waited(), dealt_p1.waited()]),
            ("dealer", [Waited::default(), supply_p1.waited()]),
        ];
        let secrets = Role::BOTH.map(|role| self.secrets.first_weights(role));
        let [secret_p0, secret_p1] = secrets;
        let (secret_p0, secret_p1) = (secret_p0?, secret_p1?);
        let split = session.samples[0] as usize;
        let own = [
            self.train.slice(0..split),
            self.train.slice(split..self.train.len()),
        ];
        let [own_p0, own_p1] = own.map(|images| OwnImages::new(images, network.classes));
        let outcome = thread::scope(|scope| {
            let dealer_tell = tell.clone();
            scope.spawn(move || {
                let links = [supply_p0, supply_p1];
                tell_end(&dealer_tell, Actor::Dealer, || deal::<R>(keys, links));
            });
            let tell_p0 = tell.clone();
            scope.spawn(move || {
                let ends = [end_p0, dealt_p0];
                let setup = (session, network, Role::P0, secret_p0);
                compute::<R>(setup, ends, own_p0, watch_p0, &tell_p0);
            });
            scope.spawn(move || {
                let ends = [end_p1, dealt_p1];
                let setup = (session, network, Role::P1, secret_p1);
                compute::<R>(setup, ends, own_p1, watch_p1, &tell);
            });
            self.follow(told, collector, report)
        });
        outcome?;
        let total = start.elapsed();
        let ranges = ranges
            .lock()
            .map_err(|_| Failure::new("the range check was interrupted", "report this"))?;
        Ok(Ending {
            spent: waits
                .into_iter()
                .map(|(name, [peer, dealer])| Spent {
                    name,
                    total,
                    peer: peer.total(),
                    dealer: dealer.total(),
                })
                .collect(),
            ranges: range_lines(&plan_lines::<R>(session, network), &ranges),
        })
    }

    /// All roles as processes of their own.
    fn processes(
        &self,
        collector: &mut Collector<'_>,
        report: &mut Report,
    ) -> Result<Ending, Failure> {
        let (tell, told) = channel();
        let mut actors = Actors::default();
        let dealer = actors.start(Actor::Dealer, self.dealer_arguments(), &tell)?;
        let dealer = dealer.recv().map_err(|_| actors.first_failure(&told))?;
        let arguments = self.party_arguments(Role::P0, &dealer, "--listen", "127.0.0.1:0");
        let p0 = actors.start(Actor::Party(Role::P0), arguments, &tell)?;
        let p0 = p0.recv().map_err(|_| actors.first_failure(&told))?;
        let arguments = self.party_arguments(Role::P1, &dealer, "--peer", &p0);
        actors.start(Actor::Party(Role::P1), arguments, &tell)?;
        drop(tell);
        let outcome = self.follow(told, collector, report);
        actors.end(outcome)?;
        Ok(Ending {
            spent: Vec::new(),
            ranges: Ok(
                "the range contract was not checked: no process holds both shares \
                        (use --link memory)"
                    .to_owned(),
            ),
        })
    }

    fn dealer_arguments(&self) -> Vec<String> {
        let mut arguments = ["dealer", "--listen", "127.0.0.1:0", "--supervised"]
            .map(str::to_owned)
            .to_vec();
        self.add_common(&mut arguments);
        arguments
    }

    /// What every role of a simulation is told.
    fn add_common(&self, arguments: &mut Vec<String>) {
        let shape = &self.args.shape;
        for (name, value) in [("--delay", shape.delay), ("--rate", shape.rate)] {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value.to_string()]);
            }
        }
        if let Some(profile) = shape.profile {
            let name = if profile == ProfileName::Lan {
                "lan"
            } else {
                "wan"
            };
            arguments.extend(["--profile".to_owned(), name.to_owned()]);
        }
        if let Secrets::Seed(seed) = self.secrets {
            arguments.extend(["--secret-seed".to_owned(), seed.to_string()]);
        }
    }

    fn party_arguments(&self, role: Role, dealer: &str, way: &str, address: &str) -> Vec<String> {
        let (session, args) = (self.session, &self.args.session);
        let ring = if session.format.ring == 32 {
            "u32"
        } else {
            "u64"
        };
        let mut arguments: Vec<String> = vec!["party".to_owned(), "--supervised".to_owned()];
        let mut option = |name: &str, value: String| {
            arguments.extend([name.to_owned(), value]);
        };
        option("--role", role.to_string());
        option("--dealer", dealer.to_owned());
        option(way, address.to_owned());
        option(
            "--model",
            args.model.clone().unwrap_or(session.model.name.to_string()),
        );
        option("--share-of-p0", args.share_of_p0.to_string());
        option("--epochs", session.epochs.to_string());
        option("--batch", session.batch.to_string());
        option("--micro-batch", session.micro_batch.to_string());
        option("--lr", args.lr.to_string());
        option("--momentum", settings::momentum(args).to_string());
        if args.protocol == ProtocolName::Spdz {
            option("--protocol", "spdz".to_owned());
            option("--triples", session.triples.to_string());
        }
        if let Some(activation) = &args.activation {
            option("--activation", activation.to_string());
        }
        option("--ring", ring.to_owned());
        option("--fraction-bits", session.format.fraction.to_string());
        option("--seed", session.order.to_string());
        if let Some(data) = &args.data {
            option("--data", data.display().to_string());
        }
        if session.limit > 0 {
            option("--limit", session.limit.to_string());
        }
        self.add_common(&mut arguments);
        arguments
    }
}

/// Runs `role` and tells how it ended.
fn tell_end(tell: &Sender<Told>, actor: Actor, role: impl FnOnce() -> Result<(), Failure>) {
    let event = match role() {
        Ok(()) => Event::Done,
        Err(failure) => Event::from(&failure),
    };
    // Nobody listens only when the run has failed already.
    let _ = tell.send((actor, event));
}

fn deal<R: Ring>(keys: [Key; 2], ends: [MemoryEnd; 2]) -> Result<(), Failure> {
    let mut links = ends.map(|end| Link::new(end, Remote::Party(Role::P1), UNBOUNDED));
    let [to_p0, to_p1] = &mut links;
    let heard = [receive_hello(to_p0)?, receive_hello(to_p1)?];
    let (session, [to_p0, to_p1]) = host_parties(links, heard, &keys)?;
    let outcome = run_dealer::<R, _>(&session, keys, to_p1, |_, _| {});
    drop(to_p0);
    outcome.map(drop)
}

fn compute<R: Ring>(
    (session, network, role, secret): (&Session, &Network, Role, Key),
    [peer, dealer]: [MemoryEnd; 2],
    mut data: OwnImages,
    mut watch: impl Watch<R>,
    tell: &Sender<Told>,
) {
    let actor = Actor::Party(role);
    tell_end(tell, actor, || {
        let mut peer = Link::new(peer, Remote::Peer, UNBOUNDED);
        let mut dealer = Link::new(dealer, Remote::Dealer, UNBOUNDED);
        let setup = PartySetup {
            session,
            network,
            role,
            secret,
            key: greet(&Hello::new(role, session), &mut peer, &mut dealer)?,
            simulated: true,
        };
        let emit = |event| {
            tell.send((actor, event))
                .map_err(|_| Failure::new("the simulation has stopped", ""))
        };
        run_party::<R, _, _>(setup, peer, dealer, &mut data, &mut watch, emit)?;
        Ok(())
    });
}

/// The processes of a simulation. None outlives it.
#[derive(Default)]
struct Actors(Vec<(Actor, Child)>);

impl Actors {
    /// Starts a process; its address comes by the returned channel if it listens.
    fn start(
        &mut self,
        actor: Actor,
        arguments: Vec<String>,
        tell: &Sender<Told>,
    ) -> Result<Receiver<String>, Failure> {
        let cannot = |error: io::Error| {
            Failure::new(
                format!("{actor} cannot be started: {error}"),
                "use --link memory",
            )
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (listening, address) = channel();
        let (tell, output) = (tell.clone(), child.stdout.take());
        thread::spawn(move || {
            let Some(mut output) = output else { return };
            while let Ok(Some(event)) = supervision::receive(&mut output) {
                match event {
                    Event::Listening(address) => drop(listening.send(address)),
                    event => drop(tell.send((actor, event))),
                }
            }
        });
        self.0.push((actor, child));
        Ok(address)
    }

    /// Why a process ended before it listened.
    fn first_failure(&mut self, told: &Receiver<Told>) -> Failure {
        while let Ok((actor, event)) = told.recv_timeout(Duration::from_secs(1)) {
            if let Event::Failed {
                message,
                consequence,
            } = event
            {
                return Failure::told(message, consequence).of(&actor.to_string());
            }
        }
        Failure::new("a role ended before it began", "use --link memory")
    }

    /// Waits for all processes. A process that ended without a word is the cause of what others tell.
    fn end(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let mut silent = None;
        for (actor, child) in &mut self.0 {
            let status = child.wait().ok();
            let told = status.and_then(|status| status.code());
            if told.is_none() {
                silent = Some((*actor, status));
            }
        }
        match (outcome, silent) {
            (Err(failure), Some((actor, status))) if failure.is_consequence() => {
                let status =
                    status.map_or(String::new(), |status: ExitStatus| format!(" ({status})"));
                Err(Failure::new(
                    format!("the process of {actor} was killed{status}"),
                    "start the training again",
                ))
            }
            (outcome, _) => outcome,
        }
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            // It has ended already, or must.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Trains as the arguments say.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let train = load(args.session.data.as_deref(), Part::Train)?;
    let test = load(args.session.data.as_deref(), Part::Test)?;
    let model = settings::model(args.session.model.as_deref(), Some(train.shape))?;
    settings::check_shape(&model, &train)?;
    settings::check_shape(&model, &test)?;
    let samples = settings::split(train.len(), args.session.share_of_p0)?;
    let secrets = Secrets::new(args.session.seed);
    let session = settings::session(&args.session, model, samples, secrets.order()?, None)?;
    let task = Train {
        args,
        session: &session,
        train: &train,
        test: &test,
        secrets,
    };
    in_ring(&session, task)
}
