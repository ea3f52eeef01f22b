//! `ringlet hub`: two devices train with each other, each with one line to this process.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use ringlet_core::{Role, session::Task};

use crate::{
    config::{
        args::{CheckpointArgs, LogArgs, SampleCounts, SessionArgs, SessionFileArgs, seconds},
        protocol::Protocol,
        session::{CheckedSession, ModelSource, Samples, Setting, session},
    },
    console::{self, bar::Bar},
    data::Part,
    error::Failure,
    links::device_address::DeviceAddress,
    output::amounts::bytes,
    run::{checkpoints::CheckpointPlan, dealer::corrections, hub::Hub},
};

/// Options of `hub`.
#[derive(Clone, Debug, Args)]
pub struct HubArgs {
    /// The session file.
    #[command(flatten)]
    pub session_file: SessionFileArgs,
    /// The device that is P0: serial:PATH, serial:PATH?baud=N, pty:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    pub p0: String,
    /// The device that is P1.
    #[arg(long, value_name = "ADDRESS")]
    pub p1: String,
    /// Reach the dealer at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub dealer: String,
    /// Numbers of training images that the devices hold.
    ///
    /// A split of --data, or of the built-in digits, when left out.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<SampleCounts>,
    /// Write everything that the devices send to each other to the files p0.sent and p1.sent in this directory, as an
    /// eavesdropper would see it.
    #[arg(long, value_name = "DIR")]
    pub transcript: Option<PathBuf>,
    /// Seconds to wait for the devices and the dealer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub wait: u64,
    /// Give up when all have been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// The devices' checkpoints.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// The session.
    #[command(flatten)]
    pub session: SessionArgs,
    /// What is told on standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Relays between two devices until they have trained.
pub fn run(args: &HubArgs) -> Result<(), Failure> {
    let mut args = args.clone();
    let set = args.session.data_set(None)?;
    let args = &args;
    let protocol = Protocol::with_dealer(&args.session)?;
    let addresses = [address(&args.p0, "--p0")?, address(&args.p1, "--p1")?];
    if addresses[0] == addresses[1] {
        return Err(Failure::new(
            format!("both devices are to be at {}", addresses[0]),
            "give each its own line with --p0 and --p1",
        ));
    }
    if args.session.audit.is_some() {
        return Err(Failure::new(
            "only the parties learn what an audit counts, and these are devices, which tell nobody",
            "leave out --audit",
        ));
    }
    // Only the devices have the images; files here give their number.
    let images = match args.samples {
        Some(_) if args.session.data.data.is_none() => None,
        _ => Some(set.load(Part::Train)?),
    };
    let total = images.as_ref().map_or(0, |images| images.len());
    let setting = Setting {
        model: ModelSource::Shape(images.map(|images| images.shape)),
        samples: Samples::given_or_split(args.samples, total),
        shuffle_seed: args.session.seed.unwrap_or(0),
        receiver: None,
        task: Task::Train,
        normalise_by: None,
        backbone: set.backbone.clone(),
    };
    let CheckedSession { session, .. } = session(&args.session, &protocol, setting)?;
    let corrections = corrections(&session)?;
    let hub = Hub {
        session: &session,
        addresses,
        dealer: &args.dealer,
        wait: Duration::from_secs(args.wait),
        idle: Duration::from_secs(args.idle),
        checkpoints: CheckpointPlan::new(&args.checkpoints),
        transcripts: transcripts(args.transcript.as_deref())?,
    };
    console::note("hub: each device has only shares of the model, so nobody will learn it");
    serve(&hub, corrections)
}

/// Runs the session, and tells what it took.
fn serve(hub: &Hub<'_>, corrections: u64) -> Result<(), Failure> {
    let start = Instant::now();
    let mut bar = Bar::of_parts("hub", corrections);
    let outcome = hub.run(|dealt, exchanged| {
        bar.set(dealt, format!("{} between the devices", bytes(exchanged)));
    });
    bar.finish();
    let (totals, time) = (outcome?, start.elapsed());
    for (role, device) in Role::BOTH.into_iter().zip(totals) {
        let address = &hub.addresses[role.index()];
        console::line(&format!(
            "hub: {role} at {address} sent {} to the other device and received {} from the dealer; it took {} of its memory and {} of stack",
            bytes(device.sent),
            bytes(device.dealt),
            bytes(device.taken.memory.into()),
            bytes(device.taken.stack.into()),
        ))?;
    }
    console::line(&format!(
        "hub: done; {} iterations in {:.1} s",
        hub.session.iterations(),
        time.as_secs_f64()
    ))
}

/// The paths of the files for what each device sends to the other, if they are wanted. Makes their directory.
fn transcripts(dir: Option<&Path>) -> Result<Option<[PathBuf; 2]>, Failure> {
    let Some(dir) = dir else { return Ok(None) };
    fs::create_dir_all(dir).map_err(|error| {
        Failure::new(
            format!("{} cannot be made: {error}", dir.display()),
            "give another directory with --transcript",
        )
    })?;
    Ok(Some(["p0.sent", "p1.sent"].map(|name| dir.join(name))))
}

/// The address of a device.
fn address(text: &str, option: &str) -> Result<DeviceAddress, Failure> {
    DeviceAddress::parse(text)?.ok_or_else(|| {
        Failure::new(
            format!("{option} {text} names no line to a device"),
            "give serial:PATH, serial:PATH?baud=N, pty:PATH or tcp:HOST:PORT",
        )
    })
}
