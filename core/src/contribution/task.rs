//! What the task of a collection asks of owners: the shape and scale of samples, and to whom they are sealed.

use serde::{Deserialize, Serialize};

use crate::{
    Role,
    data::{MOST_MASKED_FRACTION, Normalisation},
    net::secure::{Prologue, PublicIdentity},
};

/// The name of a task: a hash of all that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TaskId(pub [u8; 16]);

/// What owners are asked to contribute. It is public, and the same for owners, servers and dealer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionTask {
    /// Rows, columns and channels of a sample.
    pub input: [u32; 3],
    /// Number of classes.
    pub classes: u8,
    /// How pixels become numbers.
    pub normalisation: Normalisation,
    /// Fraction bits of the numbers: those of a training, less the headroom of its input.
    pub fraction: u32,
    /// The identities of P0, P1 and the dealer.
    pub identities: [PublicIdentity; 3],
    /// A hash of what owners agree to beside this: who may contribute, until when, and the like.
    pub terms: [u8; 32],
}

/// Why a task cannot be used.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TaskError {
    /// The fraction bits are not 1 to 24.
    Format,
    /// A sample has no value, or more than 2^24, or there are fewer than two classes.
    Shape,
    /// The normalisation is for another number of channels, or makes numbers of 64 and more.
    Normalisation,
    /// Two of the roles have the same identity.
    Identities,
}

impl core::fmt::Display for TaskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            TaskError::Format => "the numbers of a task have 1 to 24 fraction bits",
            TaskError::Shape => "a task takes samples of 1 to 2^24 values, of two classes or more",
            TaskError::Normalisation => "the normalisation of the task does not fit its samples",
            TaskError::Identities => {
                "P0, P1 and the dealer of a task must have different identities"
            }
        })
    }
}

impl core::error::Error for TaskError {}

/// The most values of a sample.
const MOST_VALUES: u64 = 1 << 24;

impl CollectionTask {
    /// Checks that the task can be used.
    pub fn check(&self) -> Result<(), TaskError> {
        if !(1..=MOST_MASKED_FRACTION).contains(&self.fraction) {
            return Err(TaskError::Format);
        }
        let values = self.input.iter().try_fold(1u64, |values, &len| {
            values
                .checked_mul(len.into())
                .filter(|&values| values <= MOST_VALUES)
        });
        if values.is_none_or(|values| values == 0) || self.classes < 2 {
            return Err(TaskError::Shape);
        }
        if !self.normalisation.is_sound(self.input[2] as usize) {
            return Err(TaskError::Normalisation);
        }
        let [p0, p1, dealer] = self.identities;
        match p0 == p1 || p1 == dealer || p0 == dealer {
            true => Err(TaskError::Identities),
            false => Ok(()),
        }
    }

    /// The task's name.
    pub fn id(&self) -> TaskId {
        let mut hash = Prologue::new("ringlet task");
        hash.add_message(self);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.hash()[..16]);
        TaskId(id)
    }

    /// Values of a sample.
    pub fn input_len(&self) -> usize {
        self.input.iter().map(|&len| len as usize).product()
    }

    /// Bytes of a masked value: 2 to 4, as few as numbers of this range and precision allow.
    pub fn value_len(&self) -> usize {
        let channels = self.input[2] as usize;
        self.normalisation.masked_bits(channels, self.fraction) as usize / 8
    }

    /// Bytes of a contribution: the masked sample and its masked label.
    pub fn contribution_len(&self) -> usize {
        (self.input_len() + usize::from(self.classes)) * self.value_len()
    }

    /// The identity of a party.
    pub fn party(&self, role: Role) -> &PublicIdentity {
        &self.identities[role.index()]
    }

    /// The identity of the dealer.
    pub fn dealer(&self) -> &PublicIdentity {
        &self.identities[2]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A task of samples of this shape.
    pub(in crate::contribution) fn task(input: [u32; 3]) -> CollectionTask {
        CollectionTask {
            input,
            classes: 3,
            normalisation: Normalisation::NONE,
            fraction: 12,
            identities: [1, 2, 3].map(|byte| {
                let secret = crate::prg::Key::new([byte; 32]);
                crate::net::secure::Identity::new(secret).public()
            }),
            terms: [9; 32],
        }
    }

    #[test]
    fn every_part_counts_in_the_name() {
        let good = task([2, 3, 1]);
        assert_eq!(good.check(), Ok(()));
        let changes: [fn(&mut CollectionTask); 6] = [
            |c| c.input[0] = 3,
            |c| c.classes = 4,
            |c| {
                let channel = crate::data::Channel {
                    scale: 1 << 24,
                    offset: 0,
                };
                c.normalisation = Normalisation::new(&[channel]).unwrap();
            },
            |c| c.fraction = 11,
            |c| c.identities.swap(0, 1),
            |c| c.terms[31] = 0,
        ];
        for change in changes {
            let mut other = good.clone();
            change(&mut other);
            assert_eq!(other.check(), Ok(()));
            assert_ne!(other.id(), good.id());
        }
    }

    #[test]
    fn what_cannot_be_collected_is_refused() {
        let refused = |change: fn(&mut CollectionTask)| {
            let mut task = task([2, 3, 1]);
            change(&mut task);
            task.check().unwrap_err()
        };
        assert_eq!(refused(|c| c.fraction = 0), TaskError::Format);
        assert_eq!(refused(|c| c.fraction = 25), TaskError::Format);
        assert_eq!(refused(|c| c.input[1] = 0), TaskError::Shape);
        assert_eq!(refused(|c| c.input = [u32::MAX; 3]), TaskError::Shape);
        assert_eq!(refused(|c| c.classes = 1), TaskError::Shape);
        let channels = |c: &mut CollectionTask| {
            let channel = crate::data::Channel {
                scale: 1,
                offset: 0,
            };
            c.normalisation = Normalisation::new(&[channel; 2]).unwrap();
        };
        assert_eq!(refused(channels), TaskError::Normalisation);
        assert_eq!(
            refused(|c| c.identities[2] = c.identities[0]),
            TaskError::Identities
        );
    }
}
