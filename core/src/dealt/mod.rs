//! The dealt protocols: two parties, and a dealer of correlated randomness (Beaver, STOC 1997).
//!
//! [`check`] checks a session and compiles its network. A [`Plan`] gives the session's costs and each role's memory.
//! The parties are [`Trainer`]s or [`Classifier`]s, each with a [`PartyContext`]; the dealer is a [`Dealer`] with a
//! [`DealerContext`].

mod audit;
mod config;
#[cfg(feature = "contributions")]
mod contributed_samples;
#[cfg(feature = "contributions")]
mod contribution_check;
mod dealer;
mod evaluations;
mod gate_set;
mod layout;
mod micro_batch;
mod party;
mod party_context;
mod plan;
#[cfg(feature = "private-training")]
mod sample_clip;
pub(crate) mod stream_ids;

pub use config::check;
pub use dealer::{Dealer, DealerContext};
pub use party::{Classifier, Trainer};
pub use party_context::PartyContext;
pub use plan::{CostRow, GateCost, Plan, Ranged, Sent};
