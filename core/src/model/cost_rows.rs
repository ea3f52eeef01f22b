//! Numbering of cost rows. Each stage has two: its bilinear map, and the activation or loss after it.

use crate::model::MAX_STAGES;

/// The most cost rows of a plan.
pub const MAX_COST_ROWS: usize = 2 * MAX_STAGES;

/// The cost row of a stage's bilinear map.
pub(crate) fn map_row(stage: usize) -> usize {
    2 * stage
}

/// The cost row of what follows the map: pooling and activation, or the loss after the last stage.
pub(crate) fn activation_row(stage: usize) -> usize {
    2 * stage + 1
}
