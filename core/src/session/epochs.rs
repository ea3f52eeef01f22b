//! Which epochs and iterations a session works through.

use crate::share::Role;

use super::{Batch, ContributionList, Contributions, EarlierEpochs, Session};

impl Session {
    /// The earlier epochs, if each epoch of the training is a session of its own.
    pub fn earlier(&self) -> Option<EarlierEpochs> {
        // Without the feature a session on contributions is refused, and small devices spare the rest.
        match cfg!(feature = "contributions") {
            true => self.contributions.and_then(|of| of.earlier),
            false => None,
        }
    }

    /// The iteration with which the session begins, unless it goes on from a checkpoint within.
    pub fn first_iteration(&self) -> u32 {
        self.earlier().map_or(0, |earlier| earlier.iterations)
    }

    /// Iterations of an epoch.
    pub fn iterations_per_epoch(&self) -> u32 {
        self.total_samples().div_ceil(self.batch)
    }

    /// The iteration at which the session ends, with the limit applied: the number of its iterations, and of those before it.
    pub fn iterations(&self) -> u32 {
        match self.earlier() {
            None => self.limited(self.epochs * self.iterations_per_epoch()),
            Some(earlier) => self.limited(earlier.iterations + self.iterations_per_epoch()),
        }
    }

    /// The iteration at which the training ends, as far as the session knows: later sessions may have other contributions.
    pub fn planned_iterations(&self) -> u32 {
        let Some(earlier) = self.earlier() else {
            return self.iterations();
        };
        let left = self.epochs - earlier.epochs;
        self.limited(earlier.iterations + left * self.iterations_per_epoch())
    }

    /// Whether no later session goes on with the training.
    pub fn ends_training(&self) -> bool {
        self.earlier().is_none() || self.iterations() == self.planned_iterations()
    }

    /// The party that learns the model when the session ends, if one does.
    pub fn reveals_to(&self) -> Option<Role> {
        self.receiver.filter(|_| self.ends_training())
    }

    /// Whether an iteration is the last one of the training.
    pub fn is_last(&self, iteration: u32) -> bool {
        self.ends_training() && iteration.saturating_add(1) == self.iterations()
    }

    /// Whether an iteration is the last one of a whole epoch.
    pub fn ends_epoch(&self, iteration: u32) -> bool {
        let done = iteration.saturating_add(1);
        let done = done.saturating_sub(self.first_iteration());
        done.is_multiple_of(self.iterations_per_epoch())
    }

    /// The batch of an iteration.
    pub fn batch(&self, iteration: u32) -> Batch {
        let earlier = self.earlier().map_or(0, |earlier| earlier.epochs);
        let number = iteration.saturating_sub(self.first_iteration());
        let first = number % self.iterations_per_epoch() * self.batch;
        Batch {
            iteration,
            epoch: earlier + number / self.iterations_per_epoch(),
            first,
            len: match self.privacy() {
                Some(_) => self.batch_rows(),
                None => self.batch.min(self.total_samples() - first),
            },
        }
    }

    /// The session of the epoch after this one's, on `samples` contributions of a list. None if this one ends the training, or
    /// has more than one epoch.
    pub fn next_epoch(&self, list: ContributionList, samples: u32) -> Option<Session> {
        let earlier = self.earlier().filter(|_| !self.ends_training())?;
        let earlier = EarlierEpochs {
            epochs: earlier.epochs + 1,
            iterations: self.iterations(),
        };
        Some(Session {
            samples: [samples, 0],
            contributions: Some(Contributions {
                list,
                earlier: Some(earlier),
            }),
            ..self.clone()
        })
    }

    /// Whether both sessions are epochs of one training, as far as can be told: all else but their contributions is the same.
    pub fn is_of_training(&self, other: &Session) -> bool {
        let of = |session: &Session| Session {
            samples: self.samples,
            contributions: self.contributions,
            ..session.clone()
        };
        self.earlier().is_some() && other.earlier().is_some() && of(other) == *self
    }

    /// Whether this session takes up a training where `before`, of which an epoch is a session, has ended.
    pub fn goes_on_from(&self, before: &Session) -> bool {
        let of = self.contributions;
        let next = of.and_then(|of| before.next_epoch(of.list, self.samples[0]));
        next.as_ref() == Some(self)
    }

    /// Whether the epochs and iterations of the training can be counted, and some are left after the earlier ones.
    pub(super) fn counts_epochs(&self) -> bool {
        let earlier = self.earlier().unwrap_or(EarlierEpochs::NONE);
        let EarlierEpochs { epochs, iterations } = earlier;
        let left = self.epochs.checked_sub(epochs);
        let all = left
            .and_then(|left| left.checked_mul(self.iterations_per_epoch()))
            .and_then(|left| left.checked_add(iterations));
        let goes_on = epochs < self.epochs
            && (epochs == 0) == (iterations == 0)
            && (self.limit == 0 || iterations < self.limit);
        all.is_some() && (self.earlier().is_none() || goes_on)
    }

    fn limited(&self, iterations: u32) -> u32 {
        match self.limit {
            0 => iterations,
            limit => iterations.min(limit),
        }
    }
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
