//! The checkpoints from which a role could go on, as it tells the others.

use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Name of a checkpoint. Checkpoints of both parties with the same name belong together: the same run has made them
/// after the same iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointId {
    /// The iteration that comes next.
    pub iteration: u32,
    /// Drawn anew whenever a run begins or goes on.
    pub run: [u8; 16],
}

/// The checkpoints that a party keeps: the last two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Their names.
    pub kept: Vec<CheckpointId, 2>,
    /// Whether the party goes on from a checkpoint when a link breaks, so that the others wait for it.
    pub durable: bool,
}

impl Checkpoints {
    /// The latest checkpoint that both parties have, if there is one.
    pub fn common(&self, other: &Checkpoints) -> Option<CheckpointId> {
        let both = self
            .kept
            .iter()
            .filter(|id| other.kept.contains(id))
            .copied();
        both.max_by_key(|id| id.iteration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(ids: &[(u32, u8)]) -> Checkpoints {
        let ids = ids.iter().map(|&(iteration, run)| CheckpointId {
            iteration,
            run: [run; 16],
        });
        Checkpoints {
            kept: ids.collect(),
            durable: true,
        }
    }

    #[test]
    fn the_latest_checkpoint_of_the_same_run_is_common() {
        let common = |one, other| {
            let common = kept(one).common(&kept(other));
            common.map(|id| (id.iteration, id.run[0]))
        };
        assert_eq!(
            common(&[(10, 1), (20, 1)], &[(20, 1), (10, 1)]),
            Some((20, 1))
        );
        assert_eq!(common(&[(10, 1), (20, 1)], &[(10, 1)]), Some((10, 1)));
        // After 10 the runs are different ones.
        assert_eq!(
            common(&[(10, 1), (20, 1)], &[(10, 1), (20, 2)]),
            Some((10, 1))
        );
        assert_eq!(common(&[(20, 1)], &[(20, 2)]), None);
        assert_eq!(common(&[], &[(20, 2)]), None);
    }
}
