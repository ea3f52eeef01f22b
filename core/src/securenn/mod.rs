//! SecureNN's protocols (Wagh, Gupta, Chandran, "SecureNN: 3-Party Secure Computation for Neural Network Training", PETS
//! 2019): comparisons with an assistant that is there during the run, in place of a dealer that works ahead.
//!
//! P0 and P1 hold additive shares in the even ring Z_2^l, or in the odd one Z_(2^l - 1). The assistant P2 holds
//! none and sees only what the others have blinded with streams that it does not have: each pair of roles has a
//! key of its own. Gates work on any number of elements together; each has its ideal function, the computing
//! parties' part, the assistant's part, and its cost.
//!
//! Where the paper's listings are wrong, these follow what they are meant to do: the conversion compares with
//! r - 1, not r, and where r is 0 forces the answer; the comparison with the largest bound is forced likewise.
//!
//! [`check`] takes a session and makes its network; [`plan`] says what it costs, [`party_words`] and
//! [`assistant_words`] how much memory its roles take. A [`Trainer`] or a [`Classifier`] is a party, which works in a
//! [`PartyContext`], and the [`Assistant`] works in an [`AssistantContext`].

mod assistant;
mod config;
mod context;
mod layout;
mod party;
pub mod plan;
mod scale;
mod stream_ids;

#[cfg(not(feature = "internals"))]
#[allow(dead_code, reason = "tests and benchmarks call the ideal functions")]
pub(crate) mod gates;
#[cfg(feature = "internals")]
pub mod gates;

#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod session_tests;

pub use assistant::Assistant;
pub use config::check;
pub use context::{AssistantContext, PartyContext};
pub use gates::Cost;
pub use layout::{assistant_words, party_words};
pub use party::{Classifier, Trainer};
