//! Groups of options that several commands share.

pub mod backbone;
pub mod checkpoints;
pub mod classification;
pub mod data;
pub mod identity;
pub mod init;
pub mod links;
pub mod log;
pub mod output;
pub mod parties;
pub mod process;
pub mod range;
pub mod report;
pub mod secrets;
pub mod session;
pub mod session_file;
pub mod training;
pub mod validation;

pub use backbone::BackboneArgs;
pub use checkpoints::CheckpointArgs;
pub use classification::{ClassificationArgs, positive};
pub use data::DataArgs;
pub use identity::{IdentityArgs, Membership};
pub use init::InitArgs;
pub use links::{LinkArgs, ProfileName};
pub use log::{LogArgs, LogFormat};
pub use output::OutputArgs;
pub use parties::{RoleName, SampleCounts};
pub use process::{ProcessArgs, seconds, threads};
pub use range::{OnRange, RangeArgs};
pub use report::ReportArgs;
pub use secrets::{SecretArgs, seeded};
pub use session::{LossName, ProtocolName, RingName, SessionArgs, TriplesName};
pub use session_file::SessionFileArgs;
pub use validation::ValidationArgs;
