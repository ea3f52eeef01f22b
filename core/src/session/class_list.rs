//! What a role knows of the classes that labels stand for.

use serde::{Deserialize, Serialize};

/// What a role knows of the classes that labels stand for. Names never travel, only their digest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClassList {
    /// Nothing, as at a role without labels. It agrees with every list.
    #[default]
    Unknown,
    /// Classes are numbers without names.
    Numbered,
    /// The digest of the names in the order of their numbers.
    Named([u8; 16]),
}

impl ClassList {
    /// Whether labels of this list and of `other` can mean the same classes.
    pub fn agrees(&self, other: &ClassList) -> bool {
        *self == ClassList::Unknown || *other == ClassList::Unknown || self == other
    }
}
