//! From the arguments of a command to a checked session.

pub mod activation;
pub mod args;
mod backbone;
mod contributions;
pub mod model;
pub mod privacy;
pub mod protocol;
pub mod roster;
pub mod session;
pub mod session_file;
mod short_forms;
#[cfg(feature = "collect")]
pub mod task_file;
#[cfg(feature = "collect")]
pub mod task_samples;
mod toml_error;
