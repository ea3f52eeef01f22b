//! The option that names a session file.

use std::path::PathBuf;

use clap::Args;

/// The option that names a session file.
#[derive(Clone, Debug, Default, Args)]
pub struct SessionFileArgs {
    /// Take options from this TOML file; the command line wins.
    ///
    /// All roles of a run can share it. A key is an option's name, such as `batch = 128`; a flag is true or false. What
    /// one role has of its own stands in its table: [role.p0], [role.p1], [role.dealer], [role.assistant]. A command
    /// takes what it has an option for. Paths begin at the file's directory.
    #[arg(long = "session", id = "session_file", value_name = "FILE")]
    pub session_file: Option<PathBuf>,
}
