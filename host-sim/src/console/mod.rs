//! Standard output, which carries results alone, and standard error, which carries all else. A full output is an error, a
//! closed one ends the program, and neither is a panic.

pub mod bar;

use std::{
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::error::Failure;

/// What is told on standard error, and in what form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    /// Warnings and errors alone.
    pub quiet: bool,
    /// Each step of a run.
    pub verbose: bool,
    /// Lines of JSON.
    pub json: bool,
}

static LOG: OnceLock<Log> = OnceLock::new();

impl Log {
    /// Whether progress is a bar, which only a terminal shows, and no lines.
    pub fn has_bar(self) -> bool {
        !self.quiet && !self.verbose && !self.json && io::stderr().is_terminal()
    }
}

/// Decides once what is told on standard error.
pub fn configure(log: Log) {
    // The first decision counts. There is one command in a process.
    let _ = LOG.set(log);
}

/// What is told on standard error.
pub fn log() -> Log {
    LOG.get().copied().unwrap_or_default()
}

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

/// How far a run has got.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Advance<'a> {
    /// Who runs.
    pub role: &'a str,
    /// Steps that are done.
    pub done: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Seconds since the run began.
    pub seconds: f64,
}

/// A line of JSON on standard error.
#[derive(Serialize)]
struct Told<'a> {
    /// Seconds since 1970.
    time: f64,
    level: &'a str,
    message: &'a str,
    #[serde(flatten)]
    advance: Option<Advance<'a>>,
}

/// Prints a line on standard error: what happens, or what begins with `warning: ` or `error: `. If nobody reads it, nothing
/// is left to tell.
pub fn note(text: &str) {
    tell(text, None);
}

/// Prints on standard error how far a run has got.
pub fn advance(text: &str, advance: Advance<'_>) {
    tell(text, Some(advance));
}

fn tell(text: &str, advance: Option<Advance<'_>>) {
    let log = log();
    let (level, message) = match text.split_once(": ") {
        Some((level @ ("warning" | "error"), message)) => (level, message),
        _ => ("info", text),
    };
    if log.quiet && level == "info" {
        return;
    }
    let line = match log.json {
        true => json(level, message, advance),
        false => text.to_owned(),
    };
    // Whole or not at all: the program may end while a thread of it prints.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn json(level: &str, message: &str, advance: Option<Advance<'_>>) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let told = Told {
        time: time.map_or(0.0, |time| time.as_secs_f64()),
        level,
        message,
        advance,
    };
    // Numbers and texts have no form that JSON lacks.
    serde_json::to_string(&told).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_has_its_level_and_numbers() {
        let advance = Advance {
            role: "p0",
            done: 3,
            total: 9,
            seconds: 1.5,
        };
        let line = json("info", "a \"b\"\nc", Some(advance));
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert!(!line.contains('\n') && told["time"].is_f64());
        assert_eq!(told["message"], "a \"b\"\nc");
        assert_eq!(
            (&told["level"], &told["role"]),
            (&"info".into(), &"p0".into())
        );
        assert_eq!((&told["done"], &told["total"]), (&3.into(), &9.into()));
        assert!(!json("error", "why", None).contains("done"));
    }
}
