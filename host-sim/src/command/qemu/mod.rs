//! `ringlet qemu`: trains with a board that QEMU emulates. The board is P0 and owns the images; this process is P1 and the
//! dealer, and receives the model. Or the board contributes to a collection, and this process is its gateway.

#[cfg(feature = "collect")]
mod contribution;

use std::{
    ffi::OsStr,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{
    Args,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use ringlet_core::{
    Role,
    session::{Session, Task},
};

use crate::{
    board::{
        BOARDS, Board, Line,
        firmware::{self, Purpose},
    },
    config::{
        args::{DataArgs, LogArgs, PrivacyArgs, SessionArgs, SessionFileArgs},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console,
    data::{
        Images, Part, load,
        model_file::{self, save},
    },
    error::Failure,
    links::counted::ByteCounts,
    output::{amounts::bytes, progress::Progress},
    reference::twin::Twin,
    run::{
        board_session::{BoardSession, Outcome},
        device::{crash_report, open_device},
        secrets::Secrets,
    },
};

/// How long a board may take to answer.
const WAIT: Duration = Duration::from_secs(30);

/// How long a board may be silent in a session.
const IDLE: Duration = Duration::from_secs(300);

/// Iterations below which a model has hardly learnt.
const FEW: u32 = 25;

/// Options of `qemu`.
#[derive(Clone, Debug, Args)]
pub struct QemuArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// The board.
    #[arg(long, value_name = "BOARD", value_parser = BoardParser)]
    pub board: &'static Board,
    /// The board's firmware.
    ///
    /// When left out, that of the checkout around this program or the current directory, which is built if it is
    /// missing.
    #[arg(long, value_name = "FILE")]
    pub firmware: Option<PathBuf>,
    /// Contribute the digits to the collection of this task, in place of training. The board draws a new secret, so the task has to be
    /// open.
    #[arg(long, value_name = "TASK", conflicts_with_all = ["session_file", "model", "batch", "micro_batch", "epochs", "limit", "lr", "seed", "save", "dp_epsilon", "dp_noise", "dp_delta", "dp_clip"])]
    pub contribute: Option<PathBuf>,
    /// Built-in digits that the board gets: 64 over a serial line, all over TCP, and 4 to contribute, when left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Model: digits8, or a JSON file.
    #[arg(long, value_name = "NAME|FILE", default_value = "digits8")]
    pub model: String,
    /// Images in a batch: 8 over a serial line and 20 over TCP when left out.
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Images processed at a time within a batch; fewer take less of the board's memory and more rounds. 4 over
    /// a serial line and the whole batch over TCP when left out.
    #[arg(long, value_name = "N")]
    pub micro_batch: Option<u32>,
    /// Passes over the digits.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epochs: u32,
    /// Stop after this many iterations: 3 over a serial line when left out, which QEMU makes slow.
    #[arg(long, visible_alias = "iterations", value_name = "N")]
    pub limit: Option<u32>,
    /// Learning rate; powers of two are exact.
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.03125,
        allow_negative_numbers = true
    )]
    pub lr: f64,
    /// How single digits are protected, on boards that can: riscv-virt.
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    /// Seed that makes the whole run reproducible, keys included: for tests.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Write the model, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Parses the name of a board.
#[derive(Clone)]
struct BoardParser;

impl TypedValueParser for BoardParser {
    type Value = &'static Board;

    fn parse_ref(
        &self,
        _: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        value.to_str().and_then(Board::named).ok_or_else(|| {
            let names = BOARDS.map(|board| board.name).join(", ");
            let name = value.display();
            let text = format!("no board is called {name}: choose one of {names}\n");
            clap::Error::raw(ErrorKind::InvalidValue, text)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values = BOARDS.map(|board| PossibleValue::new(board.name).help(board.about));
        Some(Box::new(values.into_iter()))
    }
}

impl QemuArgs {
    /// The arguments of the session. Defaults suit the speed of the board's line.
    fn session(&self) -> SessionArgs {
        let serial = self.board.line == Line::Serial;
        let batch = self.batch.unwrap_or(if serial { 8 } else { 20 });
        SessionArgs {
            model: Some(self.model.clone()),
            epochs: self.epochs,
            batch,
            micro_batch: self.micro_batch.or(serial.then_some(batch.min(4))),
            lr: self.lr,
            privacy: self.privacy.clone(),
            limit: self.limit.or(serial.then_some(3)),
            seed: self.seed,
            ..SessionArgs::usual(DataArgs::default())
        }
    }
}

/// Trains with a board in QEMU.
pub fn run(args: &QemuArgs) -> Result<(), Failure> {
    if let Some(task) = &args.contribute {
        return contribution::run(args, task);
    }
    let board = args.board;
    let session_args = args.session();
    let protocol = Protocol::with_device(&session_args)?;
    let (train, test) = (digits(args)?, load(None, Part::Test)?);
    let secrets = Secrets::new(args.seed);
    let setting = Setting {
        model: ModelSource::Images(&[&train]),
        samples: Samples::Split(train.len()),
        shuffle_seed: secrets.shuffle_seed()?,
        receiver: Some(Role::P1),
        task: Task::Train,
        normalise_by: None,
        backbone: None,
    };
    let checked = session(&session_args, &protocol, setting)?;
    let CheckedSession {
        session, network, ..
    } = &checked;
    if session.privacy().is_some() && !board.private_training {
        return Err(Failure::new(
            format!("the firmware of {} has no private gradients", board.name),
            "choose --board riscv-virt, or leave out --dp-epsilon and --dp-noise",
        ));
    }
    if let Some(path) = &args.save {
        model_file::check(path, &session.model)?;
    }
    for images in [&train, &test] {
        images.check_labels(network.classes)?;
    }
    board.check_emulator()?;
    let firmware = firmware::chosen(args.firmware.as_deref(), board, Purpose::Party)?;
    let root = secrets.device_root()?;
    let board_session = BoardSession::new(session, network, &train, secrets, root)?;

    let [program, machine] = board.emulator;
    console::note(&format!(
        "{}: {} ({program} -M {machine})",
        board.name, board.about
    ));
    // The emulator is dropped after the mux, so the line lives as long as the mux.
    let (mut emulated, address) =
        board.start_with_images(&firmware, &train, &board_session.record())?;
    let mux = open_device(&address, WAIT, IDLE)?;
    console::note(&format!(
        "the board answers at {address}: it is p0 and owns {} digits; p1 and the dealer run here",
        train.len()
    ));
    console::note(&format!(
        "training {}, {} iterations of {}",
        session.model.name,
        session.iterations(),
        session.batch
    ));
    let (start, counts) = (Instant::now(), ByteCounts::default());
    let mut progress = Progress::new("p1", session, (None, None))?;
    let outcome = board_session.train(&mux, &counts, IDLE, &mut |event| {
        progress.party_event(Role::P1, (session, network), start, event)
    });
    progress.finish();
    let outcome = outcome.map_err(|failure| match emulated.process().try_wait() {
        Ok(Some(status)) => Failure::new(
            format!("QEMU ended in the middle of the session ({status})"),
            "start again",
        ),
        _ => crash_report(&mux, &address, failure),
    })?;
    if let Some(path) = &args.save {
        let saved = checked.saved(&outcome.model, progress.left_range())?;
        let model = (&saved.model, saved.marks);
        save(path, model, &saved.network, &saved.parameters)?;
        console::line(&format!("the model is in {}", path.display()))?;
    }
    let model = Twin::new(network, session, outcome.model.clone());
    console::print(&summary(
        session,
        model.accuracy(&test),
        &outcome,
        &test,
        &counts,
    ))
}

#[cfg(not(feature = "collect"))]
mod contribution {
    use std::path::Path;

    use super::{Failure, QemuArgs};

    pub fn run(_: &QemuArgs, _: &Path) -> Result<(), Failure> {
        Err(Failure::new(
            "this program was built without collections",
            "build it with `cargo build --release --features collect`",
        ))
    }
}

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

/// The lines at the end of a session.
fn summary(
    session: &Session,
    accuracy: f64,
    outcome: &Outcome<'_>,
    test: &Images,
    counts: &ByteCounts,
) -> String {
    let few = if session.iterations() < FEW {
        " (few iterations teach little: more with --limit)"
    } else {
        ""
    };
    format!(
        "accuracy on the {} held-out digits: {:.2} %, plaintext twin {:.2} %{few}\n\
         the board sent {} and received {}, in {} rounds and {:.1} s of emulation\n\
         the board took {} of its memory and {} of stack\n\
         done: a microcontroller has taken part in training, and all that it sent was masked\n\
         (p1 and the dealer shared this process; apart, they are `ringlet party` and `ringlet dealer`)\n",
        test.len(),
        100.0 * accuracy,
        100.0 * outcome.twin.accuracy(test),
        bytes(counts.received.get()),
        bytes(counts.sent.get()),
        outcome.rounds,
        outcome.time.as_secs_f64(),
        bytes(outcome.taken.memory.into()),
        bytes(outcome.taken.stack.into()),
    )
}
