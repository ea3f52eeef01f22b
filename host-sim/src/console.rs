//! Standard output; a closed or full one is an error, not a panic.

use std::io::{self, Write};

use crate::error::Failure;

/// Prints text as it is.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                format!("the output cannot be written: {error}"),
                "direct it to something that takes all of it",
            )
        })
}

/// Prints a line.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}
