//! The records of `--metrics`.

use ringlet_core::{
    Role,
    cost::Traffic,
    network::Network,
    prg::Key,
    session::{Session, Task, cost_row_names},
};
use serde::Serialize;

use super::event::Evaluated;
use crate::error::Failure;

/// What a run is, as `--metrics` writes it when the run begins and when it goes on from checkpoints. All of it is public.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRecord {
    /// "run".
    pub kind: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// Who writes: "train", "p0" or "p1".
    pub role: String,
    /// What the run is for: "train", "predict" or "evaluate".
    pub task: &'static str,
    /// The model's name.
    pub model: String,
    /// Iterations of the whole run; batches, if it does not train.
    pub iterations: u32,
    /// Iterations of an epoch.
    pub iterations_per_epoch: u32,
    /// Samples of an iteration.
    pub batch: u32,
    /// Samples of P0 and of P1.
    pub samples: [u32; 2],
    /// Iterations that were done before, if the run goes on.
    pub done: u32,
}

impl RunRecord {
    /// The record of a session that `role` begins after `done` iterations.
    pub fn new(role: String, session: &Session, done: u32) -> Self {
        RunRecord {
            kind: "run",
            version: env!("CARGO_PKG_VERSION"),
            role,
            task: match session.task {
                Task::Train => "train",
                Task::Infer => "predict",
                Task::Evaluate => "evaluate",
            },
            model: session.model.name.to_string(),
            iterations: session.planned_iterations(),
            iterations_per_epoch: session.iterations_per_epoch(),
            batch: session.batch,
            samples: session.samples,
            done,
        }
    }
}

/// How a run ended, as `--metrics` writes it. A run that was killed has no such record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndRecord {
    /// "end".
    pub kind: &'static str,
    /// Whether the run ended as it should.
    pub well: bool,
    /// What the program said of a failure.
    pub message: Option<String>,
    /// Seconds since the run began.
    pub seconds: f64,
}

impl EndRecord {
    /// The record of a run that ended after some seconds, as it should or by a failure.
    pub fn new(failure: Option<&Failure>, seconds: f64) -> Self {
        EndRecord {
            kind: "end",
            well: failure.is_none(),
            message: failure.map(Failure::to_string),
            seconds,
        }
    }
}

/// One iteration, as `--metrics` writes it. Counts are of that iteration only; what a lone party
/// cannot see of the others is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IterationRecord {
    /// "iteration".
    pub kind: &'static str,
    /// From 1.
    pub iteration: u32,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes that P0 sent to P1, and to the assistant if there is one.
    pub online_bytes_p0: Option<u64>,
    /// Bytes that P1 sent to P0, and to the assistant if there is one.
    pub online_bytes_p1: Option<u64>,
    /// Bytes that the dealer sent to P0: its key, in the first iteration; or what the assistant sent to it.
    pub dealer_bytes_p0: Option<u64>,
    /// Bytes of corrections that the dealer sent to P1, or of what the assistant sent to it.
    pub dealer_bytes_p1: Option<u64>,
    /// The mean loss of its samples, before the update: of the private logits, which a simulation sees.
    pub loss: Option<f64>,
    /// The loss of the plaintext twin on the same samples, if the run's report shows it.
    #[serde(skip)]
    pub twin_loss: Option<f64>,
    /// Rounds: times that a party waited for the other.
    pub rounds: u64,
    /// Values that were opened.
    pub opened_values: u64,
    /// The opened values, layer by layer.
    pub layers: Vec<LayerRecord>,
}

/// Values that one layer opened in an iteration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerRecord {
    /// The layer's name in the plan.
    pub name: String,
    /// Values opened in the forward pass.
    pub opened_values_forward: u64,
    /// Values opened in the backward pass, the update included.
    pub opened_values_backward: u64,
}

/// One epoch, as `--metrics` writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochRecord {
    /// "epoch".
    pub kind: &'static str,
    /// From 1.
    pub epoch: u32,
    /// Whether the run has all of it. The last one may be cut short.
    pub whole: bool,
    /// Share of held-out images that the revealed model classifies right; null if nothing is revealed.
    pub accuracy: Option<f64>,
    /// The same for the plaintext twin.
    pub twin_accuracy: Option<f64>,
    /// The mean loss of its samples, if both parties revealed it.
    pub loss: Option<f64>,
    /// Seconds since the run began.
    pub seconds: f64,
}

/// One evaluation of the shared model, as `--metrics` writes it. What a party does not learn is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationRecord {
    /// "validation".
    pub kind: &'static str,
    /// Iterations of the training before it.
    pub iteration: u32,
    /// The owner of the held-out images.
    pub owner: String,
    /// Their number.
    pub images: u32,
    /// Share of them that the model classifies right.
    pub accuracy: Option<f64>,
    /// Numbers of images by label, then by the class that the model found.
    pub confusion: Option<Vec<Vec<u32>>>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Bytes that this party sent to the other.
    pub online_bytes: u64,
    /// Bytes of corrections that this party got from the dealer.
    pub dealer_bytes: u64,
    /// Rounds: times that a party waited for the other.
    pub rounds: u64,
}

impl ValidationRecord {
    /// The record of an evaluation, of which the owner of the images has the accuracy and the counts.
    pub fn new(evaluated: &Evaluated, found: Option<(f64, &[Vec<u32>])>) -> Self {
        let cost = evaluated.traffic.total();
        ValidationRecord {
            kind: "validation",
            iteration: evaluated.done,
            owner: evaluated.owner.to_string(),
            images: evaluated.images,
            accuracy: found.map(|(accuracy, _)| accuracy),
            confusion: found.map(|(_, counts)| counts.to_vec()),
            seconds: evaluated.seconds,
            online_bytes: cost.online_bytes,
            dealer_bytes: cost.dealer_bytes,
            rounds: cost.rounds,
        }
    }
}

/// The record of an iteration from the view of one party.
pub fn party_record(
    role: Role,
    iteration: u32,
    seconds: f64,
    (session, network): (&Session, &Network),
    traffic: &Traffic,
) -> IterationRecord {
    let cost = traffic.total();
    let layers = cost_row_names(session, network)
        .into_iter()
        .zip(&traffic.cost_rows);
    let own = |of: Role, bytes: u64| (of == role).then_some(bytes);
    let key = if iteration == 0 { Key::LEN as u64 } else { 0 };
    IterationRecord {
        kind: "iteration",
        iteration: iteration + 1,
        seconds,
        online_bytes_p0: own(Role::P0, cost.online_bytes),
        online_bytes_p1: own(Role::P1, cost.online_bytes),
        dealer_bytes_p0: own(Role::P0, key + cost.dealer_bytes),
        dealer_bytes_p1: own(Role::P1, cost.dealer_bytes),
        loss: None,
        twin_loss: None,
        rounds: cost.rounds,
        opened_values: cost.opened_values,
        layers: layers
            .map(|(name, [forward, backward])| LayerRecord {
                name: name.to_string(),
                opened_values_forward: forward.opened_values,
                opened_values_backward: backward.opened_values,
            })
            .collect(),
    }
}
