//! What inference by SecureNN costs, from the costs of its gates.

use crate::network::{Network, Stage};

use super::{Cost, linear::Map, maxpool::MaxPool, sign::Relu};

const BITS: u32 = 64;

/// Cost of inference on `rows` images: every stage, ReLU also of the last one's values, and the class as the place of
/// the largest, as it was measured. A network whose products are of matrices alone (see [`Network::unroll`]) is what
/// the paper counts; one whose convolutions are opened whole costs less.
pub fn cost(network: &Network, rows: usize) -> Cost {
    let stages = network.stages.iter().map(|stage| stage_cost(stage, rows));
    let class = MaxPool {
        bits: BITS,
        places: network.classes,
    };
    stages.fold(class.cost(rows), |sum, cost| sum + cost)
}

fn stage_cost(stage: &Stage, rows: usize) -> Cost {
    let (linear, rows_each) = stage.product();
    let map = Map {
        linear,
        rows: rows * rows_each,
    };
    let pooled = stage.max_pool.map(|windows| {
        let gate = MaxPool {
            bits: BITS,
            places: windows.places(),
        };
        gate.cost(rows * windows.output_len())
    });
    let relu = Relu { bits: BITS }.cost(rows * stage.leaving_len());
    map.cost() + pooled.unwrap_or_default() + relu
}
