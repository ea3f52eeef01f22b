//! The command line.

mod predict;
mod qemu;
mod session;

pub use predict::PredictArgs;
pub use qemu::QemuArgs;
pub use session::{LossName, ProtocolName, RingName, SessionArgs, TriplesName};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringlet_core::Role;

use crate::{config::activation::Activation, error::Failure, links::traffic_shaper::TrafficShape};

/// Trains convolutional networks between two parties and a dealer (or an assistant), none of which sees the data, the
/// updates or any value in between (secure multi-party computation).
///
/// Without a command it trains on the built-in digits, beside a plaintext twin.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do; training on the built-in digits when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all roles on this machine and train.
    Train(Box<TrainArgs>),
    /// Classify images of one party by the model of the other, all roles on this machine.
    Predict(Box<PredictArgs>),
    /// Run one computing party, against a peer and a dealer or an assistant elsewhere.
    Party(Box<PartyArgs>),
    /// Run the dealer, for two parties elsewhere.
    Dealer(DealerArgs),
    /// Run the assistant of --protocol securenn, for two parties elsewhere.
    Assistant(AssistantArgs),
    /// Let two devices train with each other: pass on what they and the dealer say.
    Hub(Box<HubArgs>),
    /// Do the dealer's work ahead of time, into files for both parties.
    Deal(Box<DealArgs>),
    /// Make images of samples for devices.
    #[command(subcommand)]
    Data(DataCommand),
    /// Train with a microcontroller that QEMU emulates: it is P0 and owns the images.
    Qemu(Box<QemuArgs>),
    /// Print what a run will cost, without running it.
    Plan(Box<PlanArgs>),
    /// Print what an iteration costs by each protocol, side by side, and write it as CSV and as a chart.
    Compare(CompareArgs),
}

/// What joins the roles of `train`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkName {
    /// Threads of one process.
    Memory,
    /// Processes on this machine.
    Tcp,
}

/// A party's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// The party that gets only a key from the dealer.
    P0,
    /// The party that gets the dealer's corrections.
    P1,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Role {
        match name {
            RoleName::P0 => Role::P0,
            RoleName::P1 => Role::P1,
        }
    }
}

/// What the user gets to see and keep.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Write a line of JSON for each iteration and epoch.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Write the revealed model, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// 0.2 ms, 625 MB/s.
    Lan,
    /// 40 ms, 40 MB/s.
    Wan,
}

impl From<ProfileName> for TrafficShape {
    fn from(name: ProfileName) -> TrafficShape {
        match name {
            ProfileName::Lan => TrafficShape::LAN,
            ProfileName::Wan => TrafficShape::WAN,
        }
    }
}

/// What links are made to be like.
#[derive(Clone, Debug, Args)]
pub struct LinkArgs {
    /// Delay what this process sends by so many milliseconds.
    #[arg(long, value_name = "MS")]
    pub delay: Option<f64>,
    /// Send no faster than so many megabytes a second.
    #[arg(long, value_name = "MB/S")]
    pub rate: Option<f64>,
    /// Delay and rate of a kind of network: lan (0.2 ms, 625 MB/s) or wan (40 ms, 40 MB/s).
    #[arg(long, value_enum, conflicts_with_all = ["delay", "rate"])]
    pub profile: Option<ProfileName>,
}

impl LinkArgs {
    /// The shape of the links.
    pub fn shape(&self) -> Result<TrafficShape, Failure> {
        match self.profile {
            Some(profile) => Ok(profile.into()),
            None => TrafficShape::new(self.delay, self.rate),
        }
    }
}

/// Options of `train`.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// What is trained.
    #[command(flatten)]
    pub session: SessionArgs,
    /// What is kept.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What joins the roles.
    #[arg(long, value_enum, default_value_t = LinkName::Memory)]
    pub link: LinkName,
    /// What the links are like.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// Train a plaintext float32 network beside it, from the same weights on the same batches.
    #[arg(long)]
    pub twin: bool,
}

/// Options of `party`.
#[derive(Clone, Debug, Args)]
pub struct PartyArgs {
    /// Which party this is.
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// Wait for the peer at this address (host:port).
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with = "peer",
        required_unless_present = "peer"
    )]
    pub listen: Option<String>,
    /// Reach the peer at this address (host:port), or a device that is P0 at serial:PATH,
    /// serial:PATH?baud=N, pty:PATH, tcp:HOST:PORT or fifo:DIR (an emulator's).
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Option<String>,
    /// Reach the dealer at this address (host:port).
    #[arg(long, value_name = "ADDRESS", conflicts_with = "dealt")]
    pub dealer: Option<String>,
    /// Reach the assistant at this address (host:port), under --protocol securenn.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["dealer", "dealt"])]
    pub assistant: Option<String>,
    /// Use what `ringlet deal` left in this directory, in place of a dealer.
    #[arg(long, value_name = "DIR")]
    pub dealt: Option<PathBuf>,
    /// Numbers of training images that P0 and P1 own, when each party's --data holds its own alone.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<Samples>,
    /// Reveal the trained model to this party at the end.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub reveal_to: Option<RoleName>,
    /// Classify instead of training: one party brings --data (a file of images, or a directory whose held-out images
    /// are taken), the other --model-file. The former alone learns the classes.
    #[arg(long, conflicts_with_all = ["reveal_to", "save", "dealt", "audit", "share_of_p0"])]
    pub infer: bool,
    /// The model, at the party that owns it: a file that --save has written.
    #[arg(long, value_name = "FILE", requires = "infer", conflicts_with_all = ["data", "model"])]
    pub model_file: Option<PathBuf>,
    /// Write the classes to this file, as CSV.
    #[arg(
        long,
        value_name = "FILE",
        requires = "infer",
        conflicts_with = "model_file"
    )]
    pub out: Option<PathBuf>,
    /// Write everything that the peer sends to this file: what an onlooker would see of it.
    #[arg(long, value_name = "FILE")]
    pub transcript: Option<PathBuf>,
    /// Give up when another role has been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// What is trained.
    #[command(flatten)]
    pub session: SessionArgs,
    /// What is kept.
    #[command(flatten)]
    pub output: OutputArgs,
    /// How the process stands among the others.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Options of `hub`.
#[derive(Clone, Debug, Args)]
pub struct HubArgs {
    /// The device that is P0: serial:PATH, serial:PATH?baud=N, pty:PATH or tcp:HOST:PORT.
    #[arg(long, value_name = "PLUG")]
    pub p0: String,
    /// The device that is P1.
    #[arg(long, value_name = "PLUG")]
    pub p1: String,
    /// Reach the dealer at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub dealer: String,
    /// Numbers of training images that the devices hold. A split of --data, or of the built-in digits, when left
    /// out.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<Samples>,
    /// Write everything that the devices send to each other to the files p0.sent and p1.sent in this directory:
    /// what an onlooker would see of it.
    #[arg(long, value_name = "DIR")]
    pub transcript: Option<PathBuf>,
    /// Seconds to wait for the devices and the dealer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub wait: u64,
    /// Give up when nothing has been said for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// What is trained.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Derive what the devices draw the session's secrets from, beside their own, from a seed: for tests alone.
    #[arg(long, hide = true)]
    pub secret_seed: Option<u64>,
}

/// Options of `deal`.
#[derive(Clone, Debug, Args)]
pub struct DealArgs {
    /// Directory for the files p0.key and p1.dealt.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Numbers of training images that P0 and P1 own, when no directory holds them all.
    #[arg(long, value_name = "N0,N1", conflicts_with = "share_of_p0")]
    pub samples: Option<Samples>,
    /// The party to which the trained model is to be revealed at the end.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub reveal_to: Option<RoleName>,
    /// What is to be trained: as both parties will give it.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Derive the keys from a seed: for tests alone.
    #[arg(long, hide = true)]
    pub secret_seed: Option<u64>,
}

/// What `data` does.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// Pack training images and their labels for a device's flash.
    Pack(PackArgs),
    /// Draw a device's own secret, and the key that it shares with its dealer.
    Secret(SecretArgs),
}

/// Options of `data secret`.
#[derive(Clone, Debug, Args)]
pub struct SecretArgs {
    /// The file for the device: 32 bytes, to be programmed beside its samples.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The file for the dealer: 32 bytes, for `ringlet dealer --p0-key`.
    #[arg(long, value_name = "FILE")]
    pub dealer_key: PathBuf,
}

/// Options of `data pack`.
#[derive(Clone, Debug, Args)]
pub struct PackArgs {
    /// Directory of MNIST-style IDX files, plain or gzipped. The built-in digits when left out.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The first image.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: usize,
    /// The number of images; all from the first on when left out.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `dealer`.
#[derive(Clone, Debug, Args)]
pub struct DealerArgs {
    /// P0 is a device: the file with the key that it shares with this dealer (see `ringlet data secret`).
    #[arg(long, value_name = "FILE")]
    pub p0_key: Option<PathBuf>,
    /// The same where P1 is a device.
    #[arg(long, value_name = "FILE")]
    pub p1_key: Option<PathBuf>,
    /// Wait for the parties at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: String,
    /// How the process stands among the others.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Options of `assistant`.
#[derive(Clone, Debug, Args)]
pub struct AssistantArgs {
    /// Wait for the parties at this address (host:port).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: String,
    /// Give up when a party has been silent for so many seconds during the run.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub idle: u64,
    /// How the process stands among the others.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// What every role in a process of its own is given.
#[derive(Clone, Debug, Args)]
pub struct ProcessArgs {
    /// Seconds to wait for the other roles.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds())]
    pub wait: u64,
    /// What the links are like.
    #[command(flatten)]
    pub shape: LinkArgs,
    /// Report to the simulator that started this process, a party its shares too.
    #[arg(long, hide = true)]
    pub supervised: bool,
    /// Derive this role's secrets from a seed: for simulations alone.
    #[arg(long, hide = true)]
    pub secret_seed: Option<u64>,
}

/// Options of `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Which boards could be P0, and what it would take of them.
    #[arg(long, conflicts_with = "json")]
    pub device: bool,
    /// What it costs to classify a batch in place of training: the party that owns no images, by --share-of-p0, has
    /// the model.
    #[arg(long, conflicts_with = "device")]
    pub infer: bool,
    /// What would be trained.
    #[command(flatten)]
    pub session: SessionArgs,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Model: convnet1, convnet2, digits8, securenn-a to securenn-d, or a JSON file.
    #[arg(long, value_name = "NAME|FILE", default_value = "convnet2")]
    pub model: String,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub batch: u32,
    /// What stands in for ReLU in all protocols but exact: relu:DEGREE or relu:DEGREE:LOW:HIGH (the least-squares
    /// fit on an interval), pond-relu or pond-sigmoid.
    #[arg(long, value_name = "POLYNOMIAL", default_value_t)]
    pub activation: Activation,
    /// Directory for compare-MODEL-BATCH.csv and compare-MODEL-BATCH.svg.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Run so many iterations of each protocol on this machine, and give their time beside the
    /// estimate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub measure: Option<u32>,
    /// What the links of --measure are like: lan (0.2 ms, 625 MB/s) or wan (40 ms, 40 MB/s); as fast as
    /// memory when left out.
    #[arg(long, value_enum, requires = "measure")]
    pub profile: Option<ProfileName>,
    /// Directory of MNIST-style IDX files for --measure. The built-in digits when left out, or random
    /// images where the model takes another shape.
    #[arg(long, value_name = "DIR", requires = "measure")]
    pub data: Option<PathBuf>,
}

/// A time that someone would wait: up to a day.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}

/// Numbers of samples of P0 and P1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples(pub [u32; 2]);

impl std::str::FromStr for Samples {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u32> = text
            .split(',')
            .map(|number| number.trim().parse().map_err(|_| ()))
            .collect::<Result<_, _>>()
            .map_err(|()| format!("{text} is not of the form N0,N1"))?;
        let [p0, p1] = numbers[..] else {
            return Err(format!("{text} is not of the form N0,N1"));
        };
        Ok(Samples([p0, p1]))
    }
}
