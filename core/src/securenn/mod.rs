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

pub mod assistant;
mod config;
pub mod context;
pub mod gates;
pub mod layout;
pub mod party;
pub mod plan;
pub mod scale;
mod stream_ids;

#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod session_tests;

pub use config::check;
