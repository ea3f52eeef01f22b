//! Where the time of a role went.

use std::time::Duration;

/// Where the time of a role went.
#[derive(Clone, Copy, Debug)]
pub struct RoleTime {
    /// The role.
    pub name: &'static str,
    /// From start to end.
    pub total: Duration,
    /// Waiting for the peer.
    pub peer: Duration,
    /// Waiting for the dealer or the assistant; of the dealer, waiting for P1 to read.
    pub helper: Duration,
}
