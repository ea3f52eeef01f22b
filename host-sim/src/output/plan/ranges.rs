//! The range contracts of a session, by layer.

use ringlet_core::{
    dealt::{Plan, Ranged},
    network::Network,
    num::Ring,
    session::{Session, Task, cost_row_names},
    share::Values,
};
use serde::Serialize;

/// Values that stay below 2^bits.
#[derive(Serialize)]
pub struct RangeJson {
    layer: String,
    values: &'static str,
    bits: i32,
}

/// The contracts of a session.
pub fn ranges<R: Ring>(session: &Session, network: &Network) -> Vec<RangeJson> {
    let names = cost_row_names(session, network);
    let plan = Plan::new(session, network);
    let used = plan
        .ranges::<R>()
        .filter(|ranged| session.task == Task::Train || !ranged.backward);
    used.map(|ranged: Ranged| RangeJson {
        layer: names[ranged.cost_row].to_string(),
        values: match ranged.values {
            Values::Outputs => "outputs",
            Values::Arguments => "arguments",
            Values::Gradients => "gradients",
            Values::Velocities => "velocities",
        },
        bits: ranged.bits,
    })
    .collect()
}

/// The contracts, a line for each layer.
pub fn lines(ranges: &[RangeJson]) -> String {
    let mut text = "Values have to stay below:\n".to_owned();
    for of_layer in ranges.chunk_by(|one, other| one.layer == other.layer) {
        let limits: Vec<String> = of_layer
            .iter()
            .map(|range| format!("{} {}", range.values, 2f64.powi(range.bits)))
            .collect();
        text += &format!("  {:<14}{}\n", of_layer[0].layer, limits.join(", "));
    }
    text
}
