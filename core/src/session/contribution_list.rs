//! The list of contributions that a session trains on.

use serde::{Deserialize, Serialize};

/// The name of a list of contributions: a hash of the task that they are for and of each contribution's name, in the order of
/// the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ContributionList(pub [u8; 16]);
