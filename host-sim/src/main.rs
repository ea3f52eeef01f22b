//! The `ringlet` program.

use std::{io, process::ExitCode};

use clap::Parser;
use ringlet::{
    command,
    config::args::{Cli, Command},
    error::Failure,
    output::console,
    run::{event::Event, supervision},
};

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => {
            let default = Cli::parse_from(["ringlet", "train", "--twin"]);
            run(default)
        }
        Some(Command::Train(args)) => command::train::run(&args),
        Some(Command::Predict(args)) => command::predict::run(&args),
        Some(Command::Party(args)) => {
            let outcome = command::party::run(&args);
            supervised(args.process.supervised, outcome)
        }
        Some(Command::Dealer(args)) => {
            let outcome = command::dealer::run(&args);
            supervised(args.process.supervised, outcome)
        }
        Some(Command::Assistant(args)) => {
            let outcome = command::assistant::run(&args);
            supervised(args.process.supervised, outcome)
        }
        Some(Command::Hub(args)) => command::hub::run(&args),
        Some(Command::Deal(args)) => command::deal::run(&args),
        Some(Command::Compare(args)) => command::compare::run(&args),
        Some(Command::Data(command)) => command::data::run(&command),
        Some(Command::Qemu(args)) => command::qemu::run(&args),
        Some(Command::Plan(args)) => console::print(&command::plan::run(&args)?),
    }
}

/// A supervised role tells its supervisor, not the terminal, how it failed.
fn supervised(supervised: bool, outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(failure) if supervised => {
            // If the supervisor is gone there is nobody to tell.
            let _ = supervision::send(io::stdout(), &Event::from(&failure));
            std::process::exit(1)
        }
        outcome => outcome,
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
