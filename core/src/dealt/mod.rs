//! The dealt protocols: two parties, and a dealer that works ahead.
//!
//! [`check`] takes a session and makes its network; [`Plan`] says what it costs and how much memory each role takes. A
//! [`Trainer`] or a [`Classifier`] is a party, which works in a [`PartyContext`], and a [`Dealer`] works in a
//! [`DealerContext`].

mod audit;
mod config;
mod dealer;
mod gate_set;
mod layout;
mod micro_batch;
mod party;
mod party_context;
mod plan;
mod stream_ids;

pub use config::check;
pub use dealer::{Dealer, DealerContext};
pub use party::{Classifier, Trainer};
pub use party_context::PartyContext;
pub use plan::{CostRow, GateCost, Plan};
