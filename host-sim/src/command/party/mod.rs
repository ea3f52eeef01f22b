//! `ringlet party`: one computing party on its own.

mod device_peer;
mod inputs;
mod source;

use std::{
    cell::RefCell,
    io,
    time::{Duration, Instant},
};

use embedded_io::{Read, Write};
use ringlet_core::{
    Role,
    cost::Traffic,
    net::{Link, Remote},
    network::Network,
    num::Ring,
    prg::Key,
    session::{
        Protocol, Session, Task,
        handshake::{Hello, receive_key},
    },
    share::NoObserver,
};

use inputs::{Own, brings_its_part};
use source::Source;

use super::predict::classes_table;
use crate::{
    config::{
        args::{PartyArgs, ProtocolName, Samples},
        settings::{self, InRing, in_ring},
    },
    data::{
        Images, OwnImages,
        file::{check_writable, write_whole},
        model_file::save,
        parameters::Parameters,
    },
    error::Failure,
    links::{
        capture::{Capture, transcript},
        device_address::DeviceAddress,
        tcp::{TcpEnd, connect},
        wait_time::WaitTime,
    },
    output::{
        console,
        report::{Report, Spent, bytes, time_table},
    },
    run::{
        audits::AuditRecord,
        collect::{EpochRecord, own_record},
        dealt_files::DealtFile,
        event::{Event, StageValues},
        inference::{self, Classes, encode, run_assisted_party},
        roles::{PartySetup, run_party},
        secrets::Secrets,
        securenn, supervision,
    },
};
use crate::{
    links::connect::hear,
    links::connect::{UNBOUNDED, broken, listen},
};

/// The numbers of both parties' images, as given or as a split of `total`.
pub(super) fn samples(
    given: Option<Samples>,
    total: usize,
    share_of_p0: f64,
) -> Result<[u32; 2], Failure> {
    match given {
        Some(Samples(samples)) => Ok(samples),
        None => settings::split(total, share_of_p0),
    }
}

struct Run<'a> {
    args: &'a PartyArgs,
    role: Role,
    session: &'a Session,
    images: Images,
    /// The model's, at its owner.
    parameters: Vec<Parameters>,
}

/// What a party has at the end.
enum Made {
    /// The model, if it receives it.
    Model(Option<Vec<StageValues>>),
    /// The classes of its images.
    Classes(Classes),
}

impl Run<'_> {
    /// Meets the peer, whichever of the two waits for the other.
    fn meet(&self, hello: &Hello, patience: Duration) -> Result<Link<Capture<TcpEnd>>, Failure> {
        let who = format!("party {}", self.role.other());
        let shape = self.args.process.shape.shape()?;
        let kept = transcript(self.args.transcript.as_deref())?;
        match (&self.args.listen, &self.args.peer) {
            (Some(address), _) => {
                let listener = listen(address)?;
                let address = listener.local_addr().map_err(broken)?.to_string();
                if self.args.process.supervised {
                    supervision::send(io::stdout(), &Event::Listening(address))?;
                } else {
                    console::line(&format!("{}: waiting for {who} at {address}", self.role))?;
                }
                let end = |stream| Capture::new(TcpEnd::free(stream, shape)?, &kept);
                let (mut link, heard) = hear(&listener, &who, Remote::Peer, patience, end)?;
                hello.answer_peer(&mut link, &heard)?;
                Ok(link)
            }
            (None, Some(address)) => {
                let end = TcpEnd::free(reach(address, &who, "--peer", patience)?, shape);
                let end = end.map_err(broken)?;
                end.set_patience(patience).map_err(broken)?;
                let mut link = Link::new(
                    Capture::new(end, &kept).map_err(broken)?,
                    Remote::Peer,
                    UNBOUNDED,
                );
                hello.meet_peer(&mut link)?;
                Ok(link)
            }
            (None, None) => Err(Failure::new(
                "there is no way to the peer",
                "give --listen or --peer",
            )),
        }
    }

    /// Trains once everyone has met; `waited` is what waiting for the peer and the dealer takes.
    fn train<R: Ring, P: Read + Write, D: Read + Write>(
        self,
        network: &Network,
        key: Key,
        (peer, dealer): (Link<P>, Link<D>),
        wait_time: [WaitTime; 2],
    ) -> Result<(), Failure> {
        let model = encode(self.session, network, &self.parameters);
        self.go(network, key, wait_time, |setup, data, emit| {
            match setup.session.task {
                Task::Train => {
                    run_party::<R, _, _>(setup, peer, dealer, data, &mut NoObserver, emit)
                        .map(Made::Model)
                }
                Task::Infer => {
                    let links = (peer, dealer);
                    inference::run_party::<R, _, _>(setup, &model, links, data, emit)
                        .map(Made::Classes)
                }
            }
        })
    }

    /// Does what [`Run::train`] does by `party`, which gets what a party needs, its data, and where to tell its events.
    fn go(
        self,
        network: &Network,
        key: Key,
        wait_time: [WaitTime; 2],
        party: impl FnOnce(
            PartySetup<'_>,
            &mut OwnImages,
            &mut dyn FnMut(Event) -> Result<(), Failure>,
        ) -> Result<Made, Failure>,
    ) -> Result<(), Failure> {
        let (args, role, session) = (self.args, self.role, self.session);
        let setup = PartySetup {
            session,
            network,
            role,
            secret: Secrets::new(args.process.secret_seed).initial_weights(role)?,
            key,
            simulated: args.process.supervised,
        };
        let mut data = OwnImages::new(self.images.clone(), network.classes);
        let start = Instant::now();
        if args.process.supervised {
            let mut emit = |event| supervision::send(io::stdout(), &event);
            party(setup, &mut data, &mut emit)?;
            return Ok(());
        }
        if session.task == Task::Train && session.receiver.is_none() {
            console::line(
                "nobody will learn the model; to reveal it, give both parties --reveal-to",
            )?;
        }
        let report = Report::new(session.iterations(), args.output.metrics.as_deref())?;
        let report = RefCell::new(report);
        let sums = RefCell::new(Traffic::default());
        let mut emit = |event| record(&report, &sums, (session, network), role, start, event);
        let made = party(setup, &mut data, &mut emit)?;
        report.borrow().finish();
        if let Some(line) = report.borrow().audits() {
            console::line(&format!("{role}: {line}"))?;
        }
        self.keep(network, made)?;
        let total = sums.borrow().total();
        let assisted = matches!(session.protocol, Protocol::SecureNn { .. });
        console::line(&format!(
            "{role}: done; sent {} to {} in {} rounds, received {} {}",
            bytes(total.online_bytes),
            if assisted { "the others" } else { "the peer" },
            total.rounds,
            bytes(total.dealer_bytes),
            if assisted {
                "from the assistant"
            } else {
                "of corrections"
            },
        ))?;
        let spent = [Spent {
            name: if role == Role::P0 { "p0" } else { "p1" },
            total: start.elapsed(),
            peer: wait_time[0].total(),
            dealer: wait_time[1].total(),
        }];
        console::print(&time_table(session, &spent))
    }

    /// Puts what has been made where the user wants it.
    fn keep(&self, network: &Network, made: Made) -> Result<(), Failure> {
        let (args, role, session) = (self.args, self.role, self.session);
        match made {
            Made::Model(Some(values)) => {
                let Some(path) = &args.output.save else {
                    return Ok(());
                };
                let parameters: Vec<Parameters> = network
                    .stages
                    .iter()
                    .zip(&values)
                    .map(|(stage, values)| Parameters::decode(stage, session, values))
                    .collect();
                save(path, &session.model, network, &parameters)?;
                console::line(&format!("{role}: the model is in {}", path.display()))
            }
            Made::Classes(classes) if session.asking() == role => {
                let table = classes_table(classes, 0);
                match &args.out {
                    None => console::print(&table),
                    Some(path) => {
                        write_whole(path, table.as_bytes())?;
                        console::line(&format!("{role}: the classes are in {}", path.display()))
                    }
                }
            }
            _ => Ok(()),
        }
    }
}

/// Connects to another role at `address`, which the user gave with `option`.
pub(super) fn reach(
    address: &str,
    who: &str,
    option: &str,
    patience: Duration,
) -> Result<std::net::TcpStream, Failure> {
    connect(address, patience).map_err(|error| {
        Failure::new(
            format!("cannot reach {who} at {address} ({error})"),
            format!("start it there, or correct {option}"),
        )
    })
}

impl InRing for Run<'_> {
    type Output = ();

    fn run_assisted(self, network: Network) -> Result<(), Failure> {
        let args = self.args;
        if let Some(address) = args
            .peer
            .as_deref()
            .map(DeviceAddress::parse)
            .transpose()?
            .flatten()
        {
            return Err(Failure::new(
                format!("a device cannot take part in --protocol securenn ({address})"),
                "choose another --protocol",
            ));
        }
        let Some(address) = &args.assistant else {
            return Err(Failure::new(
                "SecureNN's parties need an assistant",
                "start `ringlet assistant`, and give its address with --assistant",
            ));
        };
        let patience = Duration::from_secs(args.process.wait);
        let shape = args.process.shape.shape()?;
        let stream = reach(address, "the assistant", "--assistant", patience)?;
        let end = TcpEnd::free(stream, shape).map_err(broken)?;
        let mut assistant = Link::new(end, Remote::Assistant, UNBOUNDED);
        let hello = Hello::new(self.role, self.session);
        // The assistant first: so it too learns what the parties differ in.
        hello.announce(&mut assistant)?;
        let mut peer = self.meet(&hello, patience)?;
        let wait_time = [
            peer.transport().inner().wait_time(),
            assistant.transport().wait_time(),
        ];
        let idle = Duration::from_secs(args.idle);
        let end = assistant.transport();
        // It answers only when both parties are there.
        end.set_patience(2 * patience).map_err(broken)?;
        let key = receive_key(&mut assistant)?;
        assistant.transport().set_patience(idle).map_err(broken)?;
        let secrets = Secrets::new(args.process.secret_seed);
        let pair = securenn::share_pair_key(&secrets.pair_part(self.role)?, &mut peer)?;
        peer.transport()
            .inner()
            .set_patience(idle)
            .map_err(broken)?;
        let model = encode(self.session, &network, &self.parameters);
        self.go(&network, key, wait_time, |setup, data, emit| {
            let links = (peer, assistant);
            match setup.session.task {
                Task::Train => securenn::run_party(setup, pair, links, data, emit).map(Made::Model),
                Task::Infer => {
                    run_assisted_party(setup, (pair, &model), links, data, emit).map(Made::Classes)
                }
            }
        })
    }

    fn run<R: Ring>(self, network: Network) -> Result<(), Failure> {
        let address = self
            .args
            .peer
            .as_deref()
            .map(DeviceAddress::parse)
            .transpose()?;
        if let Some(address) = address.flatten() {
            return self.beside_device::<R>(&address, network);
        }
        let (args, role, session) = (self.args, self.role, self.session);
        let patience = Duration::from_secs(args.process.wait);
        let shape = args.process.shape.shape()?;
        // Without a dealer everything is in the file, which is checked before anyone is met.
        let source = match (&args.dealt, &args.dealer) {
            (Some(dir), _) => Source::File(DealtFile::open(dir, role, session)?),
            (None, Some(address)) => {
                let stream = reach(address, "the dealer", "--dealer", patience)?;
                Source::Tcp(TcpEnd::free(stream, shape).map_err(broken)?)
            }
            (None, None) => {
                return Err(Failure::new(
                    "there is no dealer",
                    "give --dealer or --dealt",
                ));
            }
        };
        let mut hello = Hello::new(role, session);
        if let Source::File(file) = &source {
            hello = hello.holding(file.identity);
        }
        let dealing = source.wait_time();
        let mut dealer = Link::new(source, Remote::Dealer, UNBOUNDED);
        // The dealer first: so it too learns what the parties differ in.
        if let Source::Tcp(_) = dealer.transport() {
            hello.announce(&mut dealer)?;
        }
        let peer = self.meet(&hello, patience)?;
        let wait_time = [peer.transport().inner().wait_time(), dealing];
        let idle = Duration::from_secs(args.idle);
        peer.transport()
            .inner()
            .set_patience(idle)
            .map_err(broken)?;
        let key = match dealer.transport_mut() {
            Source::File(file) => {
                file.consume()?;
                file.key.clone()
            }
            Source::Tcp(end) => {
                // The dealer answers only when both parties are there.
                end.set_patience(2 * patience).map_err(broken)?;
                let handle = end.patience().map_err(broken)?;
                let key = receive_key(&mut dealer)?;
                handle.set(idle).map_err(broken)?;
                key
            }
        };

        self.train::<R, _, _>(&network, key, (peer, dealer), wait_time)
    }
}

/// Reports what a lone party can see of its own run.
fn record(
    report: &RefCell<Report>,
    sums: &RefCell<Traffic>,
    (session, network): (&Session, &Network),
    role: Role,
    start: Instant,
    event: Event,
) -> Result<(), Failure> {
    let Event::Iteration {
        iteration,
        seconds,
        traffic,
        audit,
        ..
    } = event
    else {
        return Ok(());
    };
    sums.borrow_mut().add(&traffic);
    let mut report = report.borrow_mut();
    report.iteration(&own_record(
        role,
        iteration,
        seconds,
        (session, network),
        &traffic,
    ))?;
    if let Some(counts) = audit {
        report.audit(&AuditRecord::new(iteration, (session, network), &counts))?;
    }
    let trains = session.task == Task::Train;
    if trains && (iteration + 1) % session.iterations_per_epoch() == 0 {
        report.epoch(&EpochRecord {
            kind: "epoch",
            epoch: session.batch(iteration).epoch + 1,
            accuracy: None,
            twin_accuracy: None,
            seconds: start.elapsed().as_secs_f64(),
        })?;
    }
    Ok(())
}

/// Runs the party to the end.
pub fn run(args: &PartyArgs) -> Result<(), Failure> {
    let role = Role::from(args.role);
    let receiver = args.reveal_to.map(Role::from);
    if let Some(path) = &args.output.save {
        if receiver != Some(role) {
            return Err(Failure::new(
                format!("--save needs the model, which {role} does not receive"),
                format!("start both parties with --reveal-to {role}"),
            ));
        }
        check_writable(path)?;
    }
    if receiver == Some(role) && args.output.save.is_none() && !args.process.supervised {
        return Err(Failure::new(
            format!("{role} receives the model but has nowhere to put it"),
            "give a file with --save",
        ));
    }
    if let Some(path) = &args.out {
        check_writable(path)?;
    }
    if args.assistant.is_some() && args.session.protocol != ProtocolName::Securenn {
        return Err(Failure::new(
            "--assistant belongs to --protocol securenn",
            "add that --protocol, or give --dealer or --dealt",
        ));
    }
    let own = Own::new(args, role)?;
    // The order is public; the parties only have to agree on it.
    let order = args.session.seed.unwrap_or(0);
    let session = settings::session(&args.session, own.model, own.samples, order, receiver)?;
    let session = match args.infer {
        true => settings::inference(session)?,
        false => session,
    };
    if args.infer {
        brings_its_part(args, role, &session)?;
    }
    let run = Run {
        args,
        role,
        session: &session,
        images: own.images,
        parameters: own.parameters,
    };
    in_ring(&session, run)
}
