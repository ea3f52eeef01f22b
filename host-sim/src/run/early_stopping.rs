//! When a training stops early: by the accuracy of evaluations on held-out images, of which each owner knows its own.

use ringlet_core::session::{Ranks, RunError, Session, Validation};

use super::role_ranks::RoleRanks;

/// What a party has seen of its evaluations.
pub struct EarlyStopping {
    /// Evaluations in a row without a higher accuracy after which it wishes to stop.
    patience: u32,
    /// The most of its images that were right.
    best: Option<usize>,
    /// Evaluations since then.
    since: u32,
}

impl EarlyStopping {
    /// Before the first evaluation.
    pub fn new(patience: u32) -> Self {
        EarlyStopping {
            patience,
            best: None,
            since: 0,
        }
    }

    /// Whether the party wishes to stop after an evaluation that found so many of its images right. One that has none leaves it
    /// to the other.
    pub fn wishes(&mut self, right: Option<usize>) -> bool {
        let Some(right) = right else { return true };
        if self.best.is_none_or(|best| right > best) {
            self.best = Some(right);
            self.since = 0;
            return false;
        }
        self.since += 1;
        self.since >= self.patience
    }
}

/// Tells all ranks of a role whether the training stops after an iteration, which the first one knows.
pub fn share_stop(
    ranks: &mut RoleRanks<'_>,
    (validation, session): (Option<&Validation>, &Session),
    iteration: u32,
    stops: bool,
) -> Result<bool, RunError> {
    if !validation.is_some_and(|validation| validation.may_stop_after(session, iteration)) {
        return Ok(false);
    }
    let mut byte = [u8::from(stops)];
    ranks.broadcast(0, &mut byte)?;
    Ok(byte == [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_waits_as_long_as_it_has_patience() {
        let mut stopping = EarlyStopping::new(2);
        let wishes = [5, 7, 7, 8, 8, 3].map(|right| stopping.wishes(Some(right)));
        assert_eq!(wishes, [false, false, false, false, false, true]);
        // Without images of its own it agrees with the other.
        assert!(EarlyStopping::new(2).wishes(None));
    }
}
