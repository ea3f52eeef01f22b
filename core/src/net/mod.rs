//! Links between roles: openings, messages, secure links, and channels over a serial line.

pub(crate) mod link;
pub mod message;
pub mod secure;
pub mod serial;

#[cfg(feature = "internals")]
pub use link::Segment;
pub use link::{Finish, Link, LinkError, Remote};
pub use message::MessageError;
