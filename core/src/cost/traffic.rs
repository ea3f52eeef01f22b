//! Traffic that a role really had, by cost row.

use serde::{Deserialize, Serialize};

use crate::{cost::Cost, model::cost_rows::MAX_COST_ROWS};

/// Measured cost of a run or of an iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The cost of each row: `[forward pass, backward pass]`.
    pub cost_rows: [[Cost; 2]; MAX_COST_ROWS],
    /// Nanoseconds that the role spent in each row, waiting included: `[forward pass, backward pass]`. 0 without a clock.
    #[cfg(feature = "clock")]
    pub nanoseconds: [[u64; 2]; MAX_COST_ROWS],
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            cost_rows: [[Cost::ZERO; 2]; MAX_COST_ROWS],
            #[cfg(feature = "clock")]
            nanoseconds: [[0; 2]; MAX_COST_ROWS],
        }
    }
}

impl Traffic {
    /// Adds the counts and the times of `other`.
    pub fn add(&mut self, other: &Traffic) {
        for (sum, cost_row) in self
            .cost_rows
            .iter_mut()
            .flatten()
            .zip(other.cost_rows.iter().flatten())
        {
            *sum += *cost_row;
        }
        #[cfg(feature = "clock")]
        for (sum, &time) in self
            .nanoseconds
            .iter_mut()
            .flatten()
            .zip(other.nanoseconds.iter().flatten())
        {
            *sum = sum.saturating_add(time);
        }
    }

    /// The sum over all cost rows.
    pub fn total(&self) -> Cost {
        self.cost_rows.iter().flatten().copied().sum()
    }
}
