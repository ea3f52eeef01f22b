//! The contributions that a session trains on.

use serde::{Deserialize, Serialize};

/// The name of a list of contributions: a hash of the task that they are for and of each contribution's name, in the order of
/// the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ContributionList(pub [u8; 16]);

/// The epochs of a training that came before a session. Where contributions come and go while a training runs, each epoch is a
/// session of its own, on the contributions that there are then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct EarlierEpochs {
    /// Their number.
    pub epochs: u32,
    /// Their iterations.
    pub iterations: u32,
}

// As an array, for which small devices have the code already.
impl From<[u32; 2]> for EarlierEpochs {
    fn from([epochs, iterations]: [u32; 2]) -> Self {
        EarlierEpochs { epochs, iterations }
    }
}

impl From<EarlierEpochs> for [u32; 2] {
    fn from(earlier: EarlierEpochs) -> Self {
        [earlier.epochs, earlier.iterations]
    }
}

impl EarlierEpochs {
    /// None.
    pub const NONE: Self = EarlierEpochs {
        epochs: 0,
        iterations: 0,
    };
}

/// What a session trains on if neither party owns the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contributions {
    /// Their list.
    pub list: ContributionList,
    /// If each epoch of the training is a session of its own, on the list as it is then: the epochs before this one.
    pub earlier: Option<EarlierEpochs>,
}

impl Contributions {
    /// All epochs on one list.
    pub const fn fixed(list: ContributionList) -> Self {
        Contributions {
            list,
            earlier: None,
        }
    }

    /// The first epoch of a training whose list may grow and shrink.
    pub const fn growing(list: ContributionList) -> Self {
        Contributions {
            list,
            earlier: Some(EarlierEpochs::NONE),
        }
    }
}
