//! The `ringlet` program.

use std::process::ExitCode;

use clap::Parser;
use ringlet::{
    command::{self, Cli},
    console,
    resources::{self, Memory},
};

#[global_allocator]
static MEMORY: Memory = Memory;

/// What a shell reports of a program that ended by SIGPIPE: 128 and the signal's number.
const OUTPUT_CLOSED: u8 = 141;

fn main() -> ExitCode {
    match command::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_output_closed() => ExitCode::from(OUTPUT_CLOSED),
        Err(failure) => {
            resources::end_alone();
            console::note(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}
