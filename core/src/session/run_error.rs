//! Why a party stops.

use crate::{data::DataError, net::link::LinkError, num::arena::ArenaTooSmall};

use super::{SessionError, rank::RankLost};

/// Why a party of either protocol stops.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunError {
    /// The session's parameters do not fit together.
    Session(SessionError),
    /// The caller's arena is too small.
    Arena(ArenaTooSmall),
    /// The caller's buffer for the peer's opened samples is too small; lengths in ring words.
    OpenedData(ArenaTooSmall),
    /// A link failed.
    Link(LinkError),
    /// This party's samples cannot be used.
    Data(DataError),
    /// The session is for the other task: training or inference.
    Task,
    /// The caller loads a model at the party that owns none.
    NotModelOwner,
    /// The session begins with this party's model, and a stage of it was not loaded.
    NoModel,
    /// The caller loads another number of parameters than the stage has.
    Parameters {
        /// Parameters of the stage; 0 if there is no such stage.
        needed: usize,
        /// Parameters that the caller gave, or one more than `needed` if there are more.
        given: usize,
    },
    /// The caller asks for an iteration out of order. Nothing was sent; the expected iteration can still run.
    Iteration {
        /// The iteration that comes next.
        expected: u32,
        /// The iteration that the caller gave.
        given: u32,
    },
    /// The caller gives another number of bytes than a state has.
    State {
        /// Bytes of the state.
        needed: usize,
        /// Bytes that the caller gave.
        given: usize,
    },
    /// The revealed loss of an epoch cannot be: values have left their range.
    #[cfg(feature = "extended-training")]
    Loss,
    /// The role has more ranks than the session has work for: see [`Session::most_ranks`](super::Session::most_ranks).
    TooManyRanks,
    /// Another rank of this role has ended before the run has.
    RankLost,
    /// An earlier iteration failed, or the model has been revealed: these session keys and this role's shares take no
    /// iteration any more. Begin a new run with new keys.
    Spent,
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
            RunError::NoModel => {
                f.write_str("the session begins with this party's model, and it has none")
            }
            RunError::NotModelOwner => f.write_str("the model belongs to the other party"),
            RunError::Parameters { needed, given } => {
                write!(f, "a stage has {needed} parameters and was given {given}")
            }
            RunError::Iteration { expected, given } => {
                write!(f, "iteration {expected} comes next and was given as {given}")
            }
            RunError::State { needed, given } => {
                write!(f, "a state has {needed} bytes and was given {given}")
            }
            #[cfg(feature = "extended-training")]
            RunError::Loss => f.write_str(
                "the revealed loss cannot be, so values have left their range: audit the run (--audit), and lower the learning rate or give more --range-bits",
            ),
            RunError::TooManyRanks => {
                f.write_str("a role has more ranks than the session has micro-batches for")
            }
            RunError::RankLost => f.write_str("another rank of this role has ended early"),
            RunError::Spent => f.write_str(
                "this run has failed or is over, and its masks must not serve again: begin a new run with new keys",
            ),
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

impl From<RankLost> for RunError {
    fn from(_: RankLost) -> Self {
        RunError::RankLost
    }
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        RunError::Data(error)
    }
}
