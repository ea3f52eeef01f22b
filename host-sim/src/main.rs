//! The `ringlet` program.

use std::process::ExitCode;

use clap::Parser;
use ringlet::command::{self, Cli};

fn main() -> ExitCode {
    match command::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
