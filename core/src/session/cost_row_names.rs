//! The names of a plan's cost rows.

use heapless::Vec;

use crate::{
    model::{cost_rows::MAX_COST_ROWS, loss::Loss},
    network::{Name, Network},
};

use super::{Session, Task};

/// The names of a plan's cost rows, two for each stage: its map, then its max pooling and activation. The last stage's
/// second row is the loss or, in inference, the class.
pub fn cost_row_names(session: &Session, network: &Network) -> Vec<Name, MAX_COST_ROWS> {
    let end = match (session.task, session.protocol.loss()) {
        (Task::Infer | Task::Evaluate, _) => "class",
        (Task::Train, Loss::Normalised) => "normalise",
        (Task::Train, Loss::Softmax) => "softmax",
    };
    let mut names = Vec::new();
    let last = network.stages.len().saturating_sub(1);
    for (index, stage) in network.stages.iter().enumerate() {
        let after = if index == last {
            Name::try_from(end).unwrap_or_default()
        } else {
            stage.activation_name.clone()
        };
        let _ = names.push(stage.name.clone());
        let _ = names.push(after);
    }
    names
}
