//! Standard output and the notes beside it. A full output is an error, a closed one ends the program, and neither is a
//! panic.

use std::io::{self, Write};

use crate::error::Failure;

/// Prints text as it is.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::output_closed(),
            _ => Failure::unwritten("the output", &error),
        })
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints a line on standard error, whole or not at all: the program may end while a thread of it prints. If nobody reads
/// it, nothing is left to tell.
pub fn note(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}
