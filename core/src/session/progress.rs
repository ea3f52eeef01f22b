//! The order of a run's iterations: each once, in order, and none after one that failed.
//!
//! A second try of an iteration under the same session keys would open new values under masks that have already served.
//! So every role and every protocol context, which holds the keys, keeps a [`Progress`]. That of a role guards its
//! state, that of a context its masks.

use super::{RunError, Session, Task};
use crate::Role;

/// The iteration that a role or its session keys take next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Any iteration may come first: the keys have made no mask yet.
    Any,
    /// None before this stage of the initial model is loaded, and those after it.
    Loading(usize),
    /// Only this iteration.
    Next(u32),
    /// None: an iteration has begun and not ended, or the run is over.
    Spent,
}

impl Progress {
    /// Whether this iteration may begin.
    fn check(self, iteration: u32) -> Result<(), RunError> {
        match self {
            Progress::Next(expected) if expected != iteration => Err(RunError::Iteration {
                expected,
                given: iteration,
            }),
            Progress::Spent => Err(RunError::Spent),
            Progress::Loading(_) => Err(RunError::NoModel),
            _ => Ok(()),
        }
    }

    /// The progress of a new party of a training session.
    pub fn of_trainer(session: &Session, role: Role) -> Self {
        match session.initial_model == Some(role) {
            true => Progress::Loading(0),
            false => Progress::Next(0),
        }
    }

    /// Lets `load` load a stage of the initial model, one of `stages`, in order. Fails with [`RunError::NotModelOwner`] if
    /// the party has no model to load or has begun, with [`RunError::NoModel`] if another stage comes next, and if `load`
    /// does.
    pub fn load(
        self,
        (stage, stages): (usize, usize),
        load: impl FnOnce() -> Result<(), RunError>,
    ) -> Result<Self, RunError> {
        match self {
            Progress::Loading(next) if next == stage => load()?,
            Progress::Loading(_) => return Err(RunError::NoModel),
            _ => return Err(RunError::NotModelOwner),
        }
        match stage + 1 < stages {
            true => Ok(Progress::Loading(stage + 1)),
            false => Ok(Progress::Next(0)),
        }
    }

    /// The progress of a role whose shares are those between the iterations `start - 1` and `start` of a training
    /// session. Fails with [`RunError::Task`] in inference, and with [`RunError::Iteration`] beyond the session's end.
    pub fn start_at(session: &Session, start: u32) -> Result<Self, RunError> {
        let expected = session.iterations();
        if session.task != Task::Train {
            return Err(RunError::Task);
        }
        match start <= expected {
            true => Ok(Progress::Next(start)),
            false => Err(RunError::Iteration {
                expected,
                given: start,
            }),
        }
    }

    /// Begins an iteration of a role and of its keys. Until [`Progress::end`] both take no other. Fails with
    /// [`RunError::Iteration`] or [`RunError::Spent`], and changes nothing then, if it is not the next one.
    #[inline(never)]
    pub fn begin(both: [&mut Progress; 2], iteration: u32) -> Result<(), RunError> {
        both[0].check(iteration)?;
        both[1].check(iteration)?;
        for progress in both {
            *progress = Progress::Spent;
        }
        Ok(())
    }

    /// Ends an iteration that succeeded.
    pub fn end(both: [&mut Progress; 2], iteration: u32) {
        let next = iteration.checked_add(1);
        for progress in both {
            *progress = next.map_or(Progress::Spent, Progress::Next);
        }
    }

    /// Lets keys that are derived from these serve between two iterations: [`Progress::Any`] until the caller sets what
    /// this returns again. Fails with [`RunError::Spent`] if an iteration failed or the run is over.
    pub fn pause(&mut self) -> Result<Progress, RunError> {
        match self {
            Progress::Spent => Err(RunError::Spent),
            _ => Ok(core::mem::replace(self, Progress::Any)),
        }
    }

    /// Ends the run of a role and of its keys. Fails with [`RunError::Spent`] if an iteration failed or the run is
    /// over.
    pub fn close(both: [&mut Progress; 2]) -> Result<(), RunError> {
        if both.iter().any(|progress| **progress == Progress::Spent) {
            return Err(RunError::Spent);
        }
        for progress in both {
            *progress = Progress::Spent;
        }
        Ok(())
    }
}
