//! `ringlet qemu`: trains with a board that QEMU emulates. The board is P0 and owns the images; this process
//! is P1 and the dealer, and receives the model.

use std::{
    cell::RefCell,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ringlet_core::{
    Role,
    device::Taken,
    net::{Link, Remote},
    network::Network,
    prg::{
        Key,
        device_key::{dealer_key, session_secret},
    },
    session::{
        Session,
        handshake::{Hello, Seal},
    },
    share::NoObserver,
};

use super::data::flash_image;
use crate::{
    board::{Board, Emulated, Line, firmware},
    config::{args::QemuArgs, settings},
    data::{
        Images, OwnImages, Part, file::check_writable, load, model_file::save,
        parameters::Parameters,
    },
    error::Failure,
    links::{
        counted::{Counted, Passed},
        device_address::DeviceAddress,
        memory::{self, MemoryEnd},
        traffic_shaper::TrafficShape,
    },
    output::{
        console,
        report::{Report, bytes},
    },
    reference::twin::Twin,
    run::{
        collect::{EpochRecord, join, own_record, step},
        event::{Event, StageValues},
        roles::{PartySetup, first_shares, run_party},
        secrets::Secrets,
    },
};
use crate::{
    links::connect::UNBOUNDED,
    run::{
        device::{DeviceMux, crash_report, end_session, introduce, plug_in, start_session},
        simulation::deal,
    },
};

/// The ring that devices compute in.
type Ring = u32;

/// How long a board may take to be there.
const WAIT: Duration = Duration::from_secs(30);

/// How long a board may be silent in a session.
const IDLE: Duration = Duration::from_secs(300);

/// Iterations below which a model has hardly learnt.
const FEW: u32 = 25;

/// The digits that the board gets.
fn digits(args: &QemuArgs) -> Result<Images, Failure> {
    let all = load(None, Part::Train)?;
    let usual = match args.board.line {
        Line::Serial => 64,
        Line::Tcp(_) | Line::Fifos => all.len(),
    };
    let count = args.count.map_or(usual, |count| count as usize);
    if count > all.len() {
        return Err(Failure::new(
            format!("there are {} digits", all.len()),
            "correct --count",
        ));
    }
    Ok(all.slice(0..count))
}

/// A session with a board.
struct Run<'a> {
    session: &'a Session,
    network: &'a Network,
    train: &'a Images,
    secrets: Secrets,
    nonce: u64,
    /// The key that the board shares with the dealer.
    shared: Key,
    /// Secrets for the first weights: what the board will make of its own, and P1's.
    first: [Key; 2],
}

/// What came of it.
struct Outcome<'a> {
    model: Vec<Parameters>,
    twin: Twin<'a>,
    taken: Taken,
    rounds: u64,
    time: Duration,
}

impl<'a> Run<'a> {
    /// Runs the dealer and P1 beside the board at `port`.
    fn train(&self, port: &DeviceMux, passed: &Passed) -> Result<Outcome<'a>, Failure> {
        let keys = self.secrets.dealer_keys()?;
        let seal = Seal {
            shared: self.shared.clone(),
            nonce: self.secrets.seal(Role::P0)?,
        };
        let seals = [Some(seal), None];
        let [supply_p0, dealt_p0] = memory::bounded(TrafficShape::default());
        let [supply_p1, dealt_p1] = memory::bounded(TrafficShape::default());
        let (party, dealer) = thread::scope(|scope| {
            let dealer = scope.spawn(move || deal::<Ring>(keys, seals, [supply_p0, supply_p1]));
            // It lets go of its links at its end, so the dealer ends too.
            let party = self.party(port, [dealt_p0, dealt_p1], passed);
            (party, dealer.join())
        });
        match (party, dealer) {
            (Err(failure), Ok(Err(cause))) if failure.is_consequence() => {
                Err(cause.of("the dealer"))
            }
            (party, _) => party,
        }
    }

    fn party(
        &self,
        port: &DeviceMux,
        ends: [MemoryEnd; 2],
        passed: &Passed,
    ) -> Result<Outcome<'a>, Failure> {
        let (session, network) = (self.session, self.network);
        let start = Instant::now();
        let [mut relay, mut dealer] = ends.map(|end| Link::new(end, Remote::Dealer, UNBOUNDED));
        start_session(port, &Hello::new(Role::P0, session), self.nonce)?;
        let (peer, key) = introduce(port, session, None, (&mut relay, &mut dealer))?;
        let peer = Counted::new(peer.into_inner(), passed);
        let peer = Link::new(peer, Remote::Peer, 0);
        let mut twin = Twin::new(network, session, self.first_model()?);
        let mut rounds = 0;
        let report = Report::new(session.iterations(), None)?;
        let report = RefCell::new(report);
        let emit = |event| {
            let Event::Iteration {
                iteration,
                samples,
                seconds,
                traffic,
                ..
            } = event
            else {
                return Ok(());
            };
            rounds += traffic.total().rounds;
            step(&mut twin, session, self.train, iteration, samples);
            let mut report = report.borrow_mut();
            report.iteration(&own_record(
                Role::P1,
                iteration,
                seconds,
                (session, network),
                &traffic,
            ))?;
            if (iteration + 1) % session.iterations_per_epoch() == 0 {
                report.epoch(&EpochRecord {
                    kind: "epoch",
                    epoch: session.batch(iteration).epoch + 1,
                    accuracy: None,
                    twin_accuracy: None,
                    seconds: start.elapsed().as_secs_f64(),
                })?;
            }
            Ok(())
        };
        let setup = PartySetup {
            session,
            network,
            role: Role::P1,
            secret: self.first[1].clone(),
            key,
            simulated: false,
        };
        let mut none = OwnImages::new(self.train.slice(0..0), network.classes);
        let values = run_party::<Ring, _, _>(setup, peer, dealer, &mut none, &mut NoObserver, emit);
        report.borrow().finish();
        let taken = values.and_then(|values| Ok((values, end_session(port)?)));
        let (values, taken) = taken?;
        let model = self.decode(&values.unwrap_or_default());
        Ok(Outcome {
            model,
            twin,
            taken,
            rounds,
            time: start.elapsed(),
        })
    }

    /// What both parties' first weights make: this process gave the board its secret, so it knows.
    fn first_model(&self) -> Result<Vec<Parameters>, Failure> {
        let shares = |role: Role| {
            let secret = &self.first[role.index()];
            first_shares::<Ring>(self.session, self.network, role, secret)
        };
        let (one, other) = (shares(Role::P0)?, shares(Role::P1)?);
        Ok(join(self.network, self.session, &one, &other))
    }

    fn decode(&self, values: &[StageValues]) -> Vec<Parameters> {
        let stages = self.network.stages.iter().zip(values);
        stages
            .map(|(stage, values)| Parameters::decode(stage, self.session, values))
            .collect()
    }
}

/// Starts the board with these images and this secret in its flash, and plugs it in.
fn start(
    board: &Board,
    firmware: &Path,
    images: &Images,
    root: &Key,
) -> Result<(Emulated, DeviceAddress, DeviceMux), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            format!("the board's flash cannot be written to a temporary directory: {error}"),
            "check the space left there, and TMPDIR",
        )
    };
    // QEMU has read the files when the board answers.
    let dir = tempfile::tempdir().map_err(cannot)?;
    let (samples, secret) = (dir.path().join("samples"), dir.path().join("secret"));
    fs::write(&samples, flash_image(images)?).map_err(cannot)?;
    fs::write(&secret, root.reveal()).map_err(cannot)?;
    let emulated = board.start(firmware, &samples, &secret)?;
    let address = DeviceAddress::parse(&emulated.address)?;
    let address = address.ok_or_else(|| Failure::new("QEMU names no line of the board", ""))?;
    let port = plug_in(&address, WAIT, IDLE)?;
    Ok((emulated, address, port))
}

/// Trains with a board in QEMU.
pub fn run(args: &QemuArgs) -> Result<(), Failure> {
    let board = args.board;
    if let Some(path) = &args.save {
        check_writable(path)?;
    }
    let (train, test) = (digits(args)?, load(None, Part::Test)?);
    let secrets = Secrets::new(args.seed);
    let model = settings::model(Some(&args.model), None)?;
    settings::check_shape(&model, &train)?;
    let samples = settings::split(train.len(), 1.0)?;
    let order = secrets.order()?;
    let session = settings::session(&args.session(), model, samples, order, Some(Role::P1))?;
    let network = ringlet_core::dealt::check::<Ring>(&session)?;
    for images in [&train, &test] {
        images.check_labels(network.classes)?;
    }
    board.check_emulator()?;
    let firmware = match &args.firmware {
        Some(file) if file.is_file() => file.clone(),
        Some(file) => {
            return Err(Failure::new(
                format!("there is no file {}", file.display()),
                "correct --firmware",
            ));
        }
        None => firmware::ready(board)?,
    };
    let (root, nonce) = (secrets.device_root()?, secrets.nonce()?);
    let run = Run {
        session: &session,
        network: &network,
        train: &train,
        secrets,
        nonce,
        shared: dealer_key(&root),
        first: [
            session_secret(&root, nonce),
            secrets.initial_weights(Role::P1)?,
        ],
    };

    let [program, machine] = board.emulator;
    console::line(&format!(
        "{}: {} ({program} -M {machine})",
        board.name, board.about
    ))?;
    // It is dropped after the port, so the line is there as long as anyone holds it.
    let (mut emulated, address, port) = start(board, &firmware, &train, &root)?;
    console::line(&format!(
        "the board answers at {address}: it is p0 and owns {} digits; p1 and the dealer run here",
        train.len()
    ))?;
    console::line(&format!(
        "training {}, {} iterations of {}",
        session.model.name,
        session.iterations(),
        session.batch
    ))?;
    let passed = Passed::default();
    let outcome = run.train(&port, &passed);
    let outcome = outcome.map_err(|failure| match emulated.process().try_wait() {
        Ok(Some(status)) => Failure::new(
            format!("QEMU ended in the middle of the session ({status})"),
            "start again",
        ),
        _ => crash_report(&port, &address, failure),
    })?;
    if let Some(path) = &args.save {
        save(path, &session.model, &network, &outcome.model)?;
        console::line(&format!("the model is in {}", path.display()))?;
    }
    console::print(&summary(&run, outcome, &test, &passed))
}

/// The lines at the end.
fn summary(run: &Run<'_>, outcome: Outcome<'_>, test: &Images, passed: &Passed) -> String {
    let accuracy = |twin: &Twin<'_>| format!("{:.2} %", 100.0 * twin.accuracy(test));
    let model = Twin::new(run.network, run.session, outcome.model);
    let Taken { memory, stack } = outcome.taken;
    let few = if run.session.iterations() < FEW {
        " (few iterations teach little: more with --limit)"
    } else {
        ""
    };
    format!(
        "accuracy on the {} held-out digits: {}, plaintext twin {}{few}\n\
         the board sent {} and received {}, in {} rounds and {:.1} s of emulation\n\
         the board took {} of its memory and {} of stack\n\
         done: a microcontroller has taken part in training, and all that it sent was masked\n\
         (p1 and the dealer shared this process; apart, they are `ringlet party` and `ringlet dealer`)\n",
        test.len(),
        accuracy(&model),
        accuracy(&outcome.twin),
        bytes(passed.received.get()),
        bytes(passed.sent.get()),
        outcome.rounds,
        outcome.time.as_secs_f64(),
        bytes(memory.into()),
        bytes(stack.into()),
    )
}
