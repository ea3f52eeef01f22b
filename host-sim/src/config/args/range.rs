//! What a run does when values leave their range.

use clap::{Args, ValueEnum};

/// What a run does when values leave their range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnRange {
    /// End the run as a failure; checkpoints before that iteration stay.
    #[default]
    Stop,
    /// Go on, and mark the model and the metrics.
    Warn,
}

/// What a run does when values leave their range.
#[derive(Clone, Copy, Debug, Args)]
pub struct RangeArgs {
    /// When values leave the range contract: end the run at that iteration, or go on and mark the model and the metrics.
    #[arg(long, value_enum, value_name = "ACTION", default_value_t)]
    pub on_range: OnRange,
}
