//! Files that a training run writes.

use std::path::PathBuf;

use clap::Args;

/// Files that a training run writes.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Write a line of JSON for each iteration and epoch.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Write the revealed model, as safetensors.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}
