//! SecureNN's protocols (Wagh, Gupta, Chandran, "SecureNN: 3-Party Secure Computation for Neural Network Training",
//! PETS 2019): an assistant, the paper's P2, takes part in comparisons online, in place of a dealer.
//!
//! P0 and P1 hold additive shares in the even ring Z_2^l or in the odd ring Z_(2^l - 1). The assistant holds no share
//! of the data. Each pair of roles has its own key, and the assistant sees only values that P0 and P1 mask with streams
//! of their common key. A gate works on any number of elements at once. It has its ideal function, the computing
//! parties' part, the assistant's part, and its cost.
//!
//! Where the paper's listings are wrong, the gates implement what they are meant to do: share conversion (Algorithm 4)
//! compares with r - 1, not r, and forces the answer if r is 0. Private compare (Algorithm 3) likewise forces the
//! answer for the largest bound.
//!
//! [`check`] checks a session and compiles its network. [`plan`] gives its costs; [`party_words`] and
//! [`assistant_words`] give the memory of its roles. The parties are [`Trainer`]s or [`Classifier`]s, each with a
//! [`PartyContext`]; the [`Assistant`] has an [`AssistantContext`].

mod assistant;
mod audit;
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
mod audit_tests;
#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod rank_tests;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod session_tests;

pub use assistant::Assistant;
pub use config::check;
pub use context::{AssistantContext, PartyContext};
pub use gates::Cost;
pub use layout::{assistant_words, party_words};
pub use party::{Classifier, Trainer};
