//! Where costs are booked: on two cost rows for each stage, its map's and that of what follows it.

use crate::model::MAX_STAGES;

/// The most cost rows of a plan.
pub const MAX_COST_ROWS: usize = 2 * MAX_STAGES;

/// The cost row of a stage's bilinear map.
pub(crate) fn map_row(stage: usize) -> usize {
    2 * stage
}

/// The cost row of what follows the map: an activation, or the softmax after the last one.
pub(crate) fn activation_row(stage: usize) -> usize {
    2 * stage + 1
}
