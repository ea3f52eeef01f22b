//! The roles of a session.

use serde::{Deserialize, Serialize};

use crate::Role;

/// A role of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Actor {
    /// A computing party.
    Party(Role),
    /// The dealer.
    Dealer,
    /// SecureNN's assistant.
    Assistant,
}

impl core::fmt::Display for Actor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Actor::Party(role) => write!(f, "party {role}"),
            Actor::Dealer => f.write_str("the dealer"),
            Actor::Assistant => f.write_str("the assistant"),
        }
    }
}
