//! What a session with an assistant costs, from the costs of its gates, layer by layer.

use heapless::Vec;

use crate::{
    model::{
        cost_rows::{MAX_COST_ROWS, activation_row, map_row},
        loss::Loss,
    },
    network::{Activation, Name, Network, Stage},
    session::{Session, Task, cost_row_names},
};

use super::{
    gates::{
        Cost,
        division::Division,
        linear::Wanted,
        maxpool::{MaxPool, OneHot},
        product::Product,
        sign::Relu,
    },
    layout::{map, softmax, turned_places},
};

const BITS: u32 = u64::BITS;

/// Cost of one layer in one iteration, of all three roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// The layer.
    pub name: Name,
    /// Cost on the way forward.
    pub forward: Cost,
    /// Cost on the way back.
    pub backward: Cost,
}

/// Cost of one iteration over `len` samples, layer by layer: of training or of inference, as the session says.
/// Weights and data are opened in each product anew, and an update sends nothing.
pub fn cost_rows(session: &Session, network: &Network, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
    let mut cost_rows: Vec<CostRow, MAX_COST_ROWS> = Vec::new();
    for name in cost_row_names(session, network) {
        let _ = cost_rows.push(CostRow {
            name,
            forward: Cost::default(),
            backward: Cost::default(),
        });
    }
    let size = session.micro_batch;
    for (rows, times) in [(size, len / size), (len % size, 1)] {
        if rows > 0 {
            add(
                session,
                network,
                rows as usize,
                times.into(),
                &mut cost_rows,
            );
        }
    }
    cost_rows
}

/// Adds what `times` micro-batches of `rows` samples cost.
fn add(session: &Session, network: &Network, rows: usize, times: u64, cost_rows: &mut [CostRow]) {
    let trains = session.task == Task::Train;
    let last = network.stages.len() - 1;
    for (index, stage) in network.stages.iter().enumerate() {
        let product = |wanted| map(stage, wanted, rows).cost();
        let cost_row = &mut cost_rows[map_row(index)];
        cost_row.forward = cost_row.forward + product(Wanted::Output) * times;
        if trains {
            cost_row.backward = cost_row.backward + product(Wanted::WeightGradient) * times;
        }
        if trains && index > 0 {
            cost_row.backward = cost_row.backward + product(Wanted::InputGradient) * times;
        }
        let cost_row = &mut cost_rows[activation_row(index)];
        cost_row.forward = cost_row.forward + activation(stage, rows) * times;
        if trains {
            cost_row.backward = cost_row.backward + activation_back(stage, rows) * times;
        }
        if index == last {
            cost_row.forward = cost_row.forward + after(session, network, rows) * times;
        }
    }
}

/// What follows a stage's map.
fn activation(stage: &Stage, rows: usize) -> Cost {
    let len = rows * stage.leaving_len();
    let pool = stage.max_pool.map(|windows| {
        let places = windows.places();
        MaxPool { bits: BITS, places }.cost(len)
    });
    let relu = stage.activation == Some(Activation::Relu);
    let relu = relu.then(|| Relu { bits: BITS }.cost(len));
    pool.unwrap_or_default() + relu.unwrap_or_default()
}

fn activation_back(stage: &Stage, rows: usize) -> Cost {
    let len = rows * stage.leaving_len();
    let product = |len| Product { bits: BITS }.cost(len);
    let pool = stage.max_pool.and_then(|windows| {
        let places = windows.places();
        let bits = OneHot::new(BITS, turned_places(places))?;
        Some(bits.cost(len) + product(places * len))
    });
    let relu = stage.activation == Some(Activation::Relu);
    let relu = relu.then(|| product(len));
    pool.unwrap_or_default() + relu.unwrap_or_default()
}

/// What follows the last stage: the loss, or the class and its way to the party that asks.
fn after(session: &Session, network: &Network, rows: usize) -> Cost {
    let classes = network.classes;
    let len = rows * classes;
    match (session.task, session.protocol.loss()) {
        (Task::Infer, _) => {
            let told = Cost {
                bytes: rows as u64,
                messages: 1,
                rounds: 1,
            };
            class(classes, rows) + told
        }
        (Task::Train, Loss::Normalised) => {
            let division = Division {
                bits: BITS,
                fraction: session.format.fraction,
            };
            Relu { bits: BITS }.cost(len) + division.cost(len)
        }
        (Task::Train, Loss::Softmax) => {
            let cost = softmax(session, network).cost(rows);
            Cost {
                bytes: 2 * cost.online_bytes + cost.dealer_bytes,
                messages: cost.rounds,
                rounds: cost.rounds,
            }
        }
    }
}

/// The place of the largest logit.
fn class(classes: usize, rows: usize) -> Cost {
    let gate = MaxPool {
        bits: BITS,
        places: classes,
    };
    gate.cost(rows)
}

/// Cost of inference on `rows` images as it was published: products of matrices, ReLU also of the last stage's
/// values, and the class as the place of the largest. Without that last ReLU a run costs less, and finds the class
/// also where no logit is above zero.
pub fn published_inference(network: &Network, rows: usize) -> Cost {
    let mut network = network.clone();
    network.unroll();
    let relu = Relu { bits: BITS }.cost(rows * network.classes);
    let stages = network.stages.iter();
    let stages =
        stages.map(|stage| map(stage, Wanted::Output, rows).cost() + activation(stage, rows));
    stages.fold(class(network.classes, rows) + relu, |sum, cost| sum + cost)
}
