//! Options of checkpoints.

use std::path::PathBuf;

use clap::Args;

/// Options of checkpoints.
#[derive(Clone, Debug, Args)]
pub struct CheckpointArgs {
    /// Keep checkpoints in this directory, from which a run can go on.
    ///
    /// A link that breaks is dialled again.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub checkpoint: Option<PathBuf>,
    /// Go on from the checkpoints in this directory, and keep more there.
    ///
    /// The run begins anew if there are none.
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Iterations from one checkpoint to the next.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
}

impl CheckpointArgs {
    /// The directory, and whether the run may go on from what is there; none without checkpoints.
    pub fn dir(&self) -> Option<(&PathBuf, bool)> {
        let resume = self.resume.as_ref().map(|dir| (dir, true));
        resume.or(self.checkpoint.as_ref().map(|dir| (dir, false)))
    }

    /// The same options, for the command line of another process.
    pub fn to_options(&self) -> Vec<String> {
        let Some((dir, resumes)) = self.dir() else {
            return Vec::new();
        };
        let option = if resumes { "--resume" } else { "--checkpoint" };
        let every = self.every.to_string();
        [option, &dir.to_string_lossy(), "--every", &every]
            .map(str::to_owned)
            .into()
    }
}
