//! What a command tells on standard error.

use clap::{Args, ValueEnum};

use crate::console::Log;

/// The form of what is told on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Sentences, and bars on a terminal.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// What a command tells on standard error.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LogArgs {
    /// Tell nothing but results, warnings and errors.
    #[arg(long, short = 'q', conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell of each iteration, in place of every few seconds.
    #[arg(long, short = 'v')]
    pub verbose: bool,
    /// The form of what is told on standard error.
    ///
    /// Standard output carries results alone, and keeps its form.
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// What is told, and how.
    pub fn log(&self) -> Log {
        Log {
            quiet: self.quiet,
            verbose: self.verbose,
            json: self.log_format == LogFormat::Json,
        }
    }

    /// The same options, for the command line of another process. Only the starter of that process tells how far the run has
    /// got.
    pub fn to_options(&self) -> Vec<String> {
        let quiet = self.quiet.then(|| "--quiet".to_owned());
        let json = self.log().json.then(|| "--log-format=json".to_owned());
        quiet.into_iter().chain(json).collect()
    }
}
