//! `ringlet train`: all roles on this machine.

use std::{
    io,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    cost::Traffic,
    network::Network,
    num::Ring,
    session::{Protocol, Session},
};

use crate::run::simulation::{Actor, Simulation, Told, follow};
use crate::{
    config::{
        args::{LinkName, ProfileName, ProtocolName, TrainArgs},
        settings::{self, InRing, in_ring},
    },
    data::{Images, Part, file::check_writable, load, model_file::save},
    error::Failure,
    output::{
        console,
        report::{Report, Spent, counted, layer_table, plan_lines, range_lines, time_table, work},
    },
    run::{
        collect::{Collector, Record},
        event::Event,
        ranges::observers,
        secrets::Secrets,
        supervision,
    },
};

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
        self.train(
            &network,
            |collector, report| self.threads::<R>(&network, collector, report),
            |sums| layer_table::<R>(self.session, &network, sums),
        )
    }

    fn run_assisted(self, network: Network) -> Result<(), Failure> {
        self.train(
            &network,
            |collector, report| self.assisted_threads(&network, collector, report),
            |sums| crate::output::securenn::layer_table(self.session, &network, sums),
        )
    }
}

impl Train<'_> {
    /// Trains, with `threads` if the roles share a process; `table` shows what was sent.
    fn train(
        &self,
        network: &Network,
        threads: impl FnOnce(&mut Collector<'_>, &mut Report) -> Result<Ending, Failure>,
        table: impl FnOnce(&Traffic) -> String,
    ) -> Result<(), Failure> {
        let (session, args) = (self.session, self.args);
        self.train.check_labels(network.classes)?;
        self.test.check_labels(network.classes)?;
        if let Some(path) = &args.output.save {
            check_writable(path)?;
        }
        let mut report = Report::new(session.iterations(), args.output.metrics.as_deref())?;
        report.say(&format!(
            "training {} on {} of p0 and {} of p1, {}",
            session.model.name,
            counted(session.samples[0].into(), "image"),
            session.samples[1],
            work(session)
        ))?;
        let images = [self.train, self.test];
        let mut collector = Collector::new(session, network, images, args.twin);
        let ending = match args.link {
            LinkName::Memory => threads(&mut collector, &mut report),
            LinkName::Tcp => self.processes(&mut collector, &mut report),
        };
        report.finish();
        let ending = ending?;
        if let Some(path) = &args.output.save {
            save(path, &session.model, network, &collector.parameters)?;
            console::line(&format!("the model is in {}", path.display()))?;
        }
        console::line(&format!("\n{}", table(&collector.sums)))?;
        if !ending.spent.is_empty() {
            console::line(&time_table(session, &ending.spent))?;
        }
        if let Some(line) = report.audits() {
            console::line(&line)?;
        }
        match ending.ranges {
            Ok(line) => console::line(&line)?,
            Err(warnings) => warnings.iter().for_each(|warning| eprintln!("{warning}")),
        }
        Ok(())
    }

    /// All roles of a session with an assistant as threads of this process.
    fn assisted_threads(
        &self,
        network: &Network,
        collector: &mut Collector<'_>,
        report: &mut Report,
    ) -> Result<Ending, Failure> {
        let simulation = Simulation {
            session: self.session,
            network,
            images: self.train,
            shape: self.args.shape.shape()?,
            secrets: self.secrets,
        };
        Ok(Ending {
            spent: simulation.run_assisted(recording(collector, report))?,
            ranges: Ok(crate::output::securenn::truncation_line(self.session)),
        })
    }

    /// All roles as threads of this process.
    fn threads<R: Ring>(
        &self,
        network: &Network,
        collector: &mut Collector<'_>,
        report: &mut Report,
    ) -> Result<Ending, Failure> {
        let (watch_p0, watch_p1, ranges) = observers::<R>();
        let simulation = Simulation {
            session: self.session,
            network,
            images: self.train,
            shape: self.args.shape.shape()?,
            secrets: self.secrets,
        };
        let spent = simulation.run::<R>((watch_p0, watch_p1), recording(collector, report))?;
        let ranges = ranges
            .lock()
            .map_err(|_| Failure::new("the range check was interrupted", "report this"))?;
        Ok(Ending {
            spent,
            ranges: range_lines(&plan_lines::<R>(self.session, network), &ranges),
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
        let host = match self.session.protocol {
            Protocol::SecureNn { .. } => Actor::Assistant,
            Protocol::Dealt { .. } => Actor::Dealer,
        };
        let dealer = actors.start(host, self.host_arguments(), &tell)?;
        let dealer = dealer.recv().map_err(|_| actors.first_failure(&told))?;
        let arguments = self.party_arguments(Role::P0, &dealer, "--listen", "127.0.0.1:0");
        let p0 = actors.start(Actor::Party(Role::P0), arguments, &tell)?;
        let p0 = p0.recv().map_err(|_| actors.first_failure(&told))?;
        let arguments = self.party_arguments(Role::P1, &dealer, "--peer", &p0);
        actors.start(Actor::Party(Role::P1), arguments, &tell)?;
        drop(tell);
        let outcome = follow(told, recording(collector, report));
        actors.end(outcome)?;
        Ok(Ending {
            spent: Vec::new(),
            ranges: Ok(match self.session.protocol {
                Protocol::SecureNn { .. } => crate::output::securenn::truncation_line(self.session),
                Protocol::Dealt { .. } => "no process holds both shares, so the range contract is checked by --audit alone \
                         (or use --link memory)"
                    .to_owned(),
            }),
        })
    }

    /// What the dealer or the assistant is told.
    fn host_arguments(&self) -> Vec<String> {
        let mut arguments = [self.host_name(), "--listen", "127.0.0.1:0", "--supervised"]
            .map(str::to_owned)
            .to_vec();
        self.add_common(&mut arguments);
        arguments
    }

    fn host_name(&self) -> &'static str {
        match self.session.protocol {
            Protocol::SecureNn { .. } => "assistant",
            Protocol::Dealt { .. } => "dealer",
        }
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
        option(&format!("--{}", self.host_name()), dealer.to_owned());
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
            option("--triples", session.protocol.triples().to_string());
        }
        if let Protocol::SecureNn { loss, .. } = session.protocol {
            option("--protocol", "securenn".to_owned());
            option("--triples", session.protocol.triples().to_string());
            option("--loss", loss.to_string());
        }
        if let Some(activation) = &args.activation {
            option("--activation", activation.to_string());
        }
        option("--ring", ring.to_owned());
        option("--fraction-bits", session.format.fraction.to_string());
        option("--seed", session.shuffle_seed.to_string());
        if let Some(data) = &args.data {
            option("--data", data.display().to_string());
        }
        if session.audit > 0 {
            option("--audit", session.audit.to_string());
        }
        if session.limit > 0 {
            option("--limit", session.limit.to_string());
        }
        self.add_common(&mut arguments);
        arguments
    }
}

/// Feeds the collector, and reports on what it has joined.
fn recording<'a>(
    collector: &'a mut Collector<'_>,
    report: &'a mut Report,
) -> impl FnMut(Role, Event) -> Result<(), Failure> {
    let start = Instant::now();
    move |role, event| {
        let elapsed = start.elapsed().as_secs_f64();
        match collector.take(role, event, elapsed) {
            Some(Record::Iteration(record, audit)) => {
                report.iteration(&record)?;
                audit.map_or(Ok(()), |audit| report.audit(&audit))
            }
            Some(Record::Epoch(record)) => report.epoch(&record),
            None => Ok(()),
        }
    }
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
                    // Nobody listens any more: the process is to meet a closed pipe, and end.
                    event => {
                        if tell.send((actor, event)).is_err() {
                            return;
                        }
                    }
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
