//! Runs a task in the ring of its session.

use ringlet_core::{
    num::Ring,
    session::{Protocol, Session, SessionError},
};

use crate::error::Failure;

/// A task of the protocols with a dealer, generic over their ring. SecureNN has one ring only, and its tasks are plain
/// functions.
pub trait InRing {
    /// The result of the task.
    type Output;
    /// Runs in ring `R`.
    fn run<R: Ring>(self) -> Result<Self::Output, Failure>;
}

/// Runs `task` in the ring of `session`, which must have a dealer.
pub fn in_ring<T: InRing>(session: &Session, task: T) -> Result<T::Output, Failure> {
    match session.protocol {
        Protocol::SecureNn { .. } => Err(SessionError::Protocol.into()),
        Protocol::Dealt { .. } if session.format.ring == u32::BITS => task.run::<u32>(),
        Protocol::Dealt { .. } => task.run::<u64>(),
    }
}
