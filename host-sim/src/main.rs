//! The `ringlet` program.

use std::process::ExitCode;

use clap::Parser;
use ringlet::{
    command::{self, Cli, report::report},
    resources::Memory,
};

#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    match command::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure).into(),
    }
}
