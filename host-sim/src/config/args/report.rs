//! Options of a run's report.

use std::path::PathBuf;

use clap::Args;

use super::seconds;

/// Options of a run's report.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Write a report of the run as one web page.
    ///
    /// It holds all figures and tables, and the settings to run it again. It needs a program that was built with `--features report`.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Seconds from one page of --report to the next while the run goes on.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "report", value_parser = seconds())]
    pub report_every: u64,
}
