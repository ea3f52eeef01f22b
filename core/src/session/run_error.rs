//! Why a party of either protocol stopped.

use crate::{data::DataError, net::link::LinkError, num::arena::ArenaTooSmall};

use super::SessionError;

/// Why a party stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunError {
    /// The session's parameters do not fit together.
    Session(SessionError),
    /// The caller gave too little memory.
    Arena(ArenaTooSmall),
    /// The caller gave too little room to keep the other party's opened samples, in words of the ring.
    OpenedData(ArenaTooSmall),
    /// A link failed.
    Link(LinkError),
    /// This party's own data is at fault.
    Data(DataError),
    /// The session is for the other task, training or inference.
    Task,
    /// The party was given a model to load, and the model is the other party's.
    NotModelOwner,
    /// A stage was given other parameters than it has.
    Parameters {
        /// Parameters of the stage.
        needed: usize,
        /// Parameters that were given, at least.
        given: usize,
    },
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RunError::Session(error) => error.fmt(f),
            RunError::Arena(error) => error.fmt(f),
            RunError::OpenedData(error) => write!(
                f,
                "the other party's samples need room for {} words and were given {}",
                error.needed, error.given
            ),
            RunError::Link(error) => error.fmt(f),
            RunError::Data(error) => error.fmt(f),
            RunError::Task => f.write_str(
                "the session is for training and was to classify, or the other way round",
            ),
            RunError::NotModelOwner => f.write_str("the model belongs to the other party"),
            RunError::Parameters { needed, given } => {
                write!(f, "a stage has {needed} parameters and was given {given}")
            }
        }
    }
}

impl core::error::Error for RunError {}

impl From<SessionError> for RunError {
    fn from(error: SessionError) -> Self {
        RunError::Session(error)
    }
}

impl From<ArenaTooSmall> for RunError {
    fn from(error: ArenaTooSmall) -> Self {
        RunError::Arena(error)
    }
}

impl From<LinkError> for RunError {
    fn from(error: LinkError) -> Self {
        RunError::Link(error)
    }
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        RunError::Data(error)
    }
}
