//! The command line, and one file for each command: it parses, calls and prints.

pub mod assistant;
pub mod audit_privacy;
pub mod bench;
pub mod calibrate;
mod classification;
pub mod collect;
pub mod compare;
pub mod contribute;
pub mod data;
pub mod deal;
pub mod dealer;
pub mod device_record;
pub mod evaluate;
mod help;
pub mod hub;
pub mod init;
pub mod inspect;
mod model_image;
pub mod models;
pub mod party;
pub mod plan;
pub mod predict;
pub mod privacy;
pub mod qemu;
pub mod report;
pub mod role_processes;
mod session_options;
pub mod shell;
pub mod task;
pub mod train;
mod usage;
pub mod watch;

use std::{ffi::OsString, io};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    config::args::LogArgs,
    console,
    error::Failure,
    run::{event::Event, supervision},
};

use assistant::AssistantArgs;
use audit_privacy::AuditPrivacyArgs;
use bench::BenchArgs;
use calibrate::CalibrateArgs;
use collect::CollectArgs;
use compare::CompareArgs;
use contribute::ContributeArgs;
use data::DataCommand;
use deal::DealArgs;
use dealer::DealerArgs;
use evaluate::EvaluateArgs;
use hub::HubArgs;
use init::InitArgs;
use party::PartyArgs;
use plan::PlanArgs;
use predict::PredictArgs;
use privacy::PrivacyArgs;
use qemu::QemuArgs;
use shell::{CompletionsArgs, ManArgs};
use task::TaskCommand;
use train::TrainArgs;
use watch::WatchArgs;

/// Trains convolutional networks between two parties and a dealer (or an assistant), none of which sees the data, the
/// updates or any value in between (secure multi-party computation).
///
/// Without a command it trains on the built-in digits, and a plaintext twin with it.
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
    /// Tell how well a model classifies held-out images of one party, all roles on this machine.
    Evaluate(Box<EvaluateArgs>),
    /// Run one computing party, against a peer and a dealer or an assistant elsewhere.
    Party(Box<PartyArgs>),
    /// Run the dealer, for two parties elsewhere.
    Dealer(DealerArgs),
    /// Run the assistant of --protocol securenn, for two parties elsewhere.
    Assistant(AssistantArgs),
    /// Make the identities of a deployment's roles, and their roster.
    Init(InitArgs),
    /// Let two devices train with each other: relay between them and the dealer.
    Hub(Box<HubArgs>),
    /// Do the dealer's work ahead of time, into files for both parties.
    Deal(Box<DealArgs>),
    /// Make the task of a collection, and keys of owners.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Run a role of a collection: take masked samples from any number of owners, for a training.
    Collect(Box<CollectArgs>),
    /// Mask samples once, and send them to a collection.
    Contribute(Box<ContributeArgs>),
    /// Look at images, and make flash images and secrets for devices.
    #[command(subcommand)]
    Data(DataCommand),
    /// Train with a microcontroller that QEMU emulates: it is P0 and owns the images.
    Qemu(Box<QemuArgs>),
    /// Print the cost of a run, without running it.
    Plan(Box<PlanArgs>),
    /// Measure what this machine reaches, and what training takes here.
    Bench(Box<BenchArgs>),
    /// Train in plaintext on images at hand, and print the range that the values of a private training need.
    Calibrate(Box<CalibrateArgs>),
    /// Compare the cost of an iteration by each protocol, as a table, as CSV and as a chart.
    Compare(CompareArgs),
    /// Print the epsilon of a training with differentially private gradients, or the noise that a wanted epsilon takes.
    Privacy(PrivacyArgs),
    /// Attack trainings on this machine with and without differentially private gradients, and print what their models tell.
    AuditPrivacy(Box<AuditPrivacyArgs>),
    /// Show runs in the terminal while they go on, by the files that --metrics writes.
    Watch(WatchArgs),
    /// Print the built-in models.
    Models,
    /// Print what a shell needs to complete the command line.
    Completions(CompletionsArgs),
    /// Write the pages of the manual.
    Man(ManArgs),
}

impl Cli {
    /// The command that the arguments name, with the options of its session file. Help, and arguments that cannot be parsed,
    /// end the program.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let program = Cli::program();
        let arguments = help::with_flag(arguments);
        let arguments = session_options::with_session_file(&program, arguments.clone())
            .inspect_err(|_| usage::configure(&arguments))?;
        let matches = program.clone().try_get_matches_from(&arguments);
        let cli = matches.and_then(|matches| Cli::from_arg_matches(&matches));
        Ok(cli.unwrap_or_else(|error| usage::exit(&error, &program, &arguments)))
    }

    /// The program, with the options of all commands in groups.
    pub fn program() -> clap::Command {
        help::grouped(Cli::command())
    }
}

impl Command {
    /// What a command that takes a while tells on standard error.
    fn log(&self) -> Option<&LogArgs> {
        match self {
            Command::Train(args) => Some(&args.log),
            Command::Predict(args) => Some(&args.classification.log),
            Command::Evaluate(args) => Some(&args.classification.log),
            Command::Party(args) => Some(&args.log),
            Command::Dealer(args) => Some(&args.log),
            Command::Assistant(args) => Some(&args.log),
            Command::Hub(args) => Some(&args.log),
            Command::Deal(args) => Some(&args.log),
            Command::Qemu(args) => Some(&args.log),
            Command::Calibrate(args) => Some(&args.log),
            Command::Compare(args) => Some(&args.log),
            Command::AuditPrivacy(args) => Some(&args.log),
            Command::Bench(args) => Some(&args.log),
            Command::Data(command) => command.log(),
            Command::Collect(args) => Some(&args.log),
            Command::Contribute(args) => Some(&args.log),
            _ => None,
        }
    }
}

/// Runs a command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    if let Some(log) = cli.command.as_ref().and_then(Command::log) {
        console::configure(log.log());
    }
    match cli.command {
        None => run(Cli::parse_from(["ringlet", "train", "--twin"])),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Evaluate(args)) => evaluate::run(&args),
        Some(Command::Party(args)) => tell(args.process.supervised, party::run(&args)),
        Some(Command::Dealer(args)) => tell(args.process.supervised, dealer::run(&args)),
        Some(Command::Assistant(args)) => tell(args.process.supervised, assistant::run(&args)),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Hub(args)) => hub::run(&args),
        Some(Command::Deal(args)) => deal::run(&args),
        Some(Command::Task(command)) => task::run(&command),
        Some(Command::Collect(args)) => collect::run(&args),
        Some(Command::Contribute(args)) => contribute::run(&args),
        Some(Command::Data(command)) => data::run(&command),
        Some(Command::Qemu(args)) => qemu::run(&args),
        Some(Command::Plan(args)) => console::print(&plan::run(&args)?),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Calibrate(args)) => calibrate::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Privacy(args)) => privacy::run(&args),
        Some(Command::AuditPrivacy(args)) => audit_privacy::run(&args),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Models) => models::run(),
        Some(Command::Completions(args)) => shell::completions(&args, Cli::program()),
        Some(Command::Man(args)) => shell::man(&args, Cli::program()),
    }
}

/// A supervised role reports its failure to the supervisor, not to the terminal.
fn tell(supervised: bool, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(failure) if supervised => {
            // If the supervisor is gone, nobody reads it.
            let _ = supervision::send(io::stdout(), &Event::from(&failure));
            std::process::exit(1)
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that have an option.
    fn commands_with(option: &str) -> Vec<String> {
        let program = Cli::command();
        let with = program.get_subcommands().filter(|command| {
            command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(option))
        });
        with.map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    #[cfg(not(feature = "seeded-secrets"))]
    fn no_command_lets_the_user_choose_secrets() {
        assert_eq!(commands_with("secret-seed"), [""; 0]);
        for command in [
            &["deal", "--out", "files"][..],
            &["dealer", "--listen", "localhost:1"],
            &["assistant", "--listen", "localhost:1"],
            &["party", "--role", "p0", "--listen", "localhost:1"],
            &["hub", "--p0", "a", "--p1", "b", "--dealer", "c"],
        ] {
            let arguments = [&["ringlet"], command].concat();
            assert!(Cli::try_parse_from(&arguments).is_ok(), "{arguments:?}");
            let arguments = [&arguments[..], &["--secret-seed", "7"]].concat();
            let refused = Cli::try_parse_from(&arguments).map(drop);
            let kind = refused.map_err(|error| error.kind());
            assert_eq!(kind, Err(clap::error::ErrorKind::UnknownArgument));
        }
    }

    #[test]
    #[cfg(not(feature = "seeded-secrets"))]
    fn processes_get_no_seed_for_their_keys() {
        let arguments = ["ringlet", "train", "--link", "tcp", "--seed", "7"];
        let refused = run(Cli::parse_from(arguments)).map_err(|failure| failure.to_string());
        assert!(refused.is_err_and(|line| line.contains("--link memory")));
    }

    #[test]
    #[cfg(feature = "seeded-secrets")]
    fn roles_and_deal_take_a_seed_in_test_builds() {
        let taking = ["party", "dealer", "assistant", "deal"];
        assert_eq!(commands_with("secret-seed"), taking);
    }
}
