//! What was really sent, counted where it is sent, layer by layer.

use serde::{Deserialize, Serialize};

use crate::{cost::Cost, lines::MAX_LINES};

/// Counts of one run, or of one iteration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// For each line of the plan, forward and backward.
    pub lines: [[Cost; 2]; MAX_LINES],
}

impl Default for Meter {
    fn default() -> Self {
        Meter {
            lines: [[Cost::ZERO; 2]; MAX_LINES],
        }
    }
}

impl Meter {
    /// Adds what another meter counted.
    pub fn add(&mut self, other: &Meter) {
        for (sum, line) in self
            .lines
            .iter_mut()
            .flatten()
            .zip(other.lines.iter().flatten())
        {
            *sum += *line;
        }
    }

    /// The sum over all lines.
    pub fn total(&self) -> Cost {
        self.lines.iter().flatten().copied().sum()
    }
}
