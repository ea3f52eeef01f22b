//! Where costs are booked: on two lines for each stage, its map's and that of what follows it.

use crate::model::MAX_STAGES;

/// The most lines of a plan.
pub const MAX_LINES: usize = 2 * MAX_STAGES;

/// The line of a stage's bilinear map.
pub(crate) fn map_line(stage: usize) -> usize {
    2 * stage
}

/// The line of what follows the map: an activation, or the softmax after the last one.
pub(crate) fn activation_line(stage: usize) -> usize {
    2 * stage + 1
}
