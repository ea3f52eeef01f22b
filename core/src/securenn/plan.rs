//! The plan of a SecureNN session: the cost of each cost row, from the costs of its gates.

use heapless::Vec;

use crate::{
    cost,
    model::{
        cost_rows::{MAX_COST_ROWS, activation_row, map_row},
        loss::Loss,
    },
    network::{Activation, Name, Network, Stage},
    session::{Session, Task, cost_row_names},
};

use super::{
    audit::Audits,
    gates::{
        Cost,
        division::Division,
        linear::Wanted,
        maxpool::{MaxPool, OneHot},
        product::Product,
        sign::Relu,
    },
    layout::{map_gate, one_hot_len, softmax},
};

const BITS: u32 = u64::BITS;

/// The costs of one cost row in one iteration, of all three roles together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRow {
    /// Name of the cost row, as [`cost_row_names`] gives it.
    pub name: Name,
    /// Cost of the forward pass.
    pub forward: Cost,
    /// Cost of the backward pass.
    pub backward: Cost,
}

/// The cost rows of an iteration of training or inference over `len` samples.
///
/// Each product opens its weights and data again, and an update sends nothing.
pub fn cost_rows(session: &Session, network: &Network, len: u32) -> Vec<CostRow, MAX_COST_ROWS> {
    let mut cost_rows = empty_rows(session, network);
    let size = session.micro_batch;
    for (rows, times) in [(size, len / size), (len % size, 1)] {
        if rows > 0 {
            add_micro_batches(
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

/// The cost rows of what an audit adds to an iteration of training or inference over `len` samples. The opening of the
/// counts counts for the first one.
pub fn audit_cost_rows(
    session: &Session,
    network: &Network,
    len: u32,
) -> Vec<CostRow, MAX_COST_ROWS> {
    let mut cost_rows = empty_rows(session, network);
    Audits::gates::<u64>(session, network, len, |_, (cost_row, backward), cost| {
        let cost_row: &mut CostRow = &mut cost_rows[cost_row];
        let sum = match backward {
            true => &mut cost_row.backward,
            false => &mut cost_row.forward,
        };
        *sum = *sum + of_all(cost);
    });
    cost_rows
}

/// The cost that an audit adds to an iteration over `len` samples, for one party: what it sends to the other one, and
/// what the assistant sends to P1, in place of a dealer.
pub fn audit(session: &Session, network: &Network, len: u32) -> cost::Cost {
    let mut sum = cost::Cost::ZERO;
    Audits::gates::<u64>(session, network, len, |_, _, cost| sum += cost);
    sum
}

/// Bytes of an audit's corrections that the assistant may send before it waits for a party: those of a micro-batch's
/// backward pass and of the update, in which it does not wait, and of the first outputs after it.
pub fn audit_ahead(session: &Session, network: &Network) -> u64 {
    let (mut bytes, len) = (0, session.micro_batch);
    Audits::gates::<u64>(session, network, len, |_, (cost_row, backward), cost| {
        if backward || cost_row == map_row(0) {
            bytes += cost.dealer_bytes;
        }
    });
    bytes
}

/// The cost rows of a session, all zero.
fn empty_rows(session: &Session, network: &Network) -> Vec<CostRow, MAX_COST_ROWS> {
    let names = cost_row_names(session, network).into_iter();
    let rows = names.map(|name| CostRow {
        name,
        forward: Cost::default(),
        backward: Cost::default(),
    });
    rows.collect()
}

/// The cost for all roles of a gate of the dealt protocols, which the assistant deals.
fn of_all(cost: cost::Cost) -> Cost {
    Cost {
        bytes: 2 * cost.online_bytes + cost.dealer_bytes,
        messages: cost.rounds,
        rounds: cost.rounds,
    }
}

/// Adds the costs of `times` micro-batches of `rows` samples.
fn add_micro_batches(
    session: &Session,
    network: &Network,
    rows: usize,
    times: u64,
    cost_rows: &mut [CostRow],
) {
    let trains = session.task == Task::Train;
    let last = network.stages.len() - 1;
    for (index, stage) in network.stages.iter().enumerate() {
        let product = |wanted| map_gate(stage, wanted, rows).cost();
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
            cost_row.backward = cost_row.backward + activation_backward(stage, rows) * times;
        }
        if index == last {
            cost_row.forward = cost_row.forward + loss_or_class(session, network, rows) * times;
        }
    }
}

/// Cost of a stage's max pooling and activation.
fn activation(stage: &Stage, rows: usize) -> Cost {
    let len = rows * stage.leaving_len();
    let pool = stage.max_pool.map(|windows| {
        let places = windows.positions();
        MaxPool { bits: BITS, places }.cost(len)
    });
    let relu = stage.activation == Some(Activation::Relu);
    let relu = relu.then(|| Relu { bits: BITS }.cost(len));
    pool.unwrap_or_default() + relu.unwrap_or_default()
}

/// Cost of the backward pass of a stage's max pooling and activation.
fn activation_backward(stage: &Stage, rows: usize) -> Cost {
    let len = rows * stage.leaving_len();
    let product = |len| Product { bits: BITS }.cost(len);
    let pool = stage.max_pool.and_then(|windows| {
        let places = windows.positions();
        let bits = OneHot::new(BITS, one_hot_len(places))?;
        Some(bits.cost(len) + product(places * len))
    });
    let relu = stage.activation == Some(Activation::Relu);
    let relu = relu.then(|| product(len));
    pool.unwrap_or_default() + relu.unwrap_or_default()
}

/// Cost after the last stage: the loss, or finding the classes and sending them to the samples' owner.
fn loss_or_class(session: &Session, network: &Network, rows: usize) -> Cost {
    let classes = network.classes;
    let len = rows * classes;
    match (session.task, session.protocol.loss()) {
        (Task::Infer | Task::Evaluate, _) => {
            let answer = Cost {
                bytes: rows as u64,
                messages: 1,
                rounds: 1,
            };
            class(classes, rows) + answer
        }
        (Task::Train, Loss::Normalised) => {
            let division = Division {
                bits: BITS,
                fraction: session.format.fraction,
            };
            Relu { bits: BITS }.cost(len) + division.cost(len)
        }
        (Task::Train, Loss::Softmax) => of_all(softmax(session, network).cost(rows)),
    }
}

/// Cost of finding the index of each sample's largest logit.
fn class(classes: usize, rows: usize) -> Cost {
    let gate = MaxPool {
        bits: BITS,
        places: classes,
    };
    gate.cost(rows)
}

/// Cost of inference on `rows` images as the paper counts it: with matrix products of patches, and with a ReLU of the
/// logits before the argmax. A session of this crate leaves out that ReLU, which costs less and finds the right class
/// even if no logit is positive.
pub fn published_inference(network: &Network, rows: usize) -> Cost {
    let mut network = network.clone();
    network.unroll();
    let relu = Relu { bits: BITS }.cost(rows * network.classes);
    let stages = network.stages.iter();
    let stages =
        stages.map(|stage| map_gate(stage, Wanted::Output, rows).cost() + activation(stage, rows));
    stages.fold(class(network.classes, rows) + relu, |sum, cost| sum + cost)
}
