//! Limits of a network.

/// The most classes of a network.
pub use crate::gate::softmax::MAX_CLASSES;
/// The most stages of a network.
pub use crate::model::MAX_STAGES;

/// The most weights of a stage, and the most values of one sample in a tensor.
pub const MAX_LEN: usize = 1 << 24;
