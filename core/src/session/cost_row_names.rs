//! Names of the cost rows of a session's network.

use heapless::Vec;

use crate::{
    model::{cost_rows::MAX_COST_ROWS, loss::Loss},
    network::{Name, Network},
};

use super::{Session, Task};

/// The names of a plan's cost rows: each stage's map, and what follows it. After the last one that is the loss, or what
/// finds the class.
pub fn cost_row_names(session: &Session, network: &Network) -> Vec<Name, MAX_COST_ROWS> {
    let end = match (session.task, session.protocol.loss()) {
        (Task::Infer, _) => "class",
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
