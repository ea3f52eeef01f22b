//! Links between roles: openings, messages, and channels over a serial line.

pub(crate) mod link;
pub mod message;
pub mod serial;

#[cfg(feature = "internals")]
pub use link::Segment;
pub use link::{Link, LinkError, Remote};
pub use message::MessageError;
