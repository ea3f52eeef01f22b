//! The `ringlet` program.

use std::{env, process::ExitCode};

use ringlet::{
    command::{self, Cli, report::report},
    resources::{Memory, grow_stack},
};

#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> ExitCode {
    grow_stack();
    match Cli::from_arguments(env::args_os()).and_then(command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure).into(),
    }
}
